"""CleverDistiller against its definition pair by pair and meeting by meeting, in float64."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lima_bench.lima.api import METHODS
from lima_bench.lima.methods.cards.cleverdistiller import CleverdistillerSettings
from lima_bench.lima.methods.cards.scalr import ScalrSettings
from lima_bench.lima.methods.cleverdistiller import Cleverdistiller
from lima_bench.lima.methods.scalr import Scalr
from lima_bench.lima.occupancy import queries_of
from lima_bench.lima.sampling import sample_pixels
from lima_bench.lima.synthetic import GridTeacher, TinyStudent, random_drive, without_pairs
from lima_bench.lima.synthetic_batch import collate
from tests.lima.overfit import losses

NEAR = {"radius_m": 6.0, "supports": 100, "queries": 90, "latent": 5, "head_width": 7}
"""Landmarks are metres apart, so the balls are larger; nobody is left out by chance."""


def _method(**settings):
    torch.manual_seed(0)
    settings = CleverdistillerSettings(**{**NEAR, **settings})
    return Cleverdistiller(settings, GridTeacher(), TinyStudent()).double()


def _batch(*scans):
    scans = scans or [random_drive(name, frames=1, points=60)[0] for name in ("a", "b")]
    return collate(scans, dtype=torch.float64)


def _blind():
    return [without_pairs(random_drive(name, frames=1, points=60)[0]) for name in ("a", "b")]


def _similarity(method, batch):
    """Mean over pairs of |s - q|, the head's statistics over the voxels that are paired."""
    row_of = {int(point): row for row, point in enumerate(batch.source)}
    rows = torch.tensor([row_of[point] for point in batch.pairs.point.tolist()])
    values = method.student.net(batch.voxels.features)[batch.voxels.inverse[rows]]
    read = method.student.net(batch.voxels.features)[batch.voxels.inverse[rows].unique()]
    for layer in getattr(method.head, "hidden", []):
        if isinstance(layer, torch.nn.BatchNorm1d):
            mean, spread = read.mean(0), (read.var(0, unbiased=False) + layer.eps).sqrt()
            values, read = ((x - mean) / spread * layer.weight + layer.bias for x in (values, read))
        else:
            values, read = layer(values), layer(read)
    values = getattr(method.head, "last", method.head)(values)
    pixels = sample_pixels(batch.images.grids, batch.pairs, batch.images.size)
    return (F.normalize(values, dim=1) - F.normalize(pixels, dim=1)).norm(dim=1).mean()


def _occupancy(method, batch, kind="sight"):
    """Mean over every query and every voxel's first point of its view that is near it."""
    torch.manual_seed(5)
    n, size = method.settings.queries, {"depth_m": 0.1, "voxel_m": 0.4}
    queries = queries_of(batch, kind, n, **size)
    features = method.student.net(batch.voxels.features)
    terms = []
    for place, view, full in zip(queries.xyz, queries.view, queries.occupied, strict=True):
        for cell, row in enumerate(batch.voxels.first.tolist()):
            offset = place - batch.voxels.xyz[row]
            if batch.view[row] == view and offset.double().norm() <= method.settings.radius_m:
                entered = torch.cat([method.decoder.latent(features[cell]), offset.double()])
                value = method.decoder.enter(entered)
                for layer in method.decoder.hidden:
                    value = layer(value.relu())
                logit = method.decoder.leave(value)[0]
                terms.append(F.softplus(logit) - full * logit)
    assert len(terms) > 100
    return torch.stack(terms).mean()


def _gradients(value, weights):
    found = torch.autograd.grad(value, list(weights.values()), allow_unused=True, retain_graph=True)
    return dict(zip(weights, found, strict=True))


def _trainable(method):
    return {name: p for name, p in method.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("occupancy", ["sight", "voxel"])
def test_value_and_gradient_of_every_term_equal_the_definition(occupancy):
    method, batch = _method(occupancy=occupancy, occupancy_weight=0.5), _batch()
    torch.manual_seed(5)
    loss = method(batch)
    expected = {
        "distill": _similarity(method, batch),
        "occupancy": 0.5 * _occupancy(method, batch, occupancy),
    }
    weights = _trainable(method)
    assert dict(loss).keys() == expected.keys()
    for name, value in loss:
        torch.testing.assert_close(value, expected[name], rtol=1e-8, atol=0)
        theirs = _gradients(expected[name], weights)
        for weight, gradient in _gradients(value, weights).items():
            if theirs[weight] is None:
                assert gradient is None or not gradient.any(), (name, weight)
            else:
                torch.testing.assert_close(gradient, theirs[weight], rtol=1e-6, atol=1e-10)


def test_gradients_reach_what_they_should_and_nothing_else():
    method = _method()
    weights = _trainable(method)
    reached = {
        name: {w for w, g in _gradients(value, weights).items() if g is not None and g.any()}
        for name, value in method(_batch())
    }
    student = {name for name in weights if name.startswith("student.")}
    head = {name for name in weights if name.startswith("head.")}
    decoder = {name for name in weights if name.startswith("decoder.")}
    # A bias before batch normalisation moves nothing.
    idle = {"head.hidden.0.bias", "head.hidden.3.bias"}
    assert reached["distill"] - idle == (student | head) - idle
    assert reached["occupancy"] == student | decoder
    assert set(weights) == student | head | decoder


def test_with_a_linear_head_and_no_second_task_it_is_scalr():
    ours, batch = _method(head_layers=1, occupancy_weight=0), _batch()
    scalr = Scalr(ScalrSettings(), GridTeacher(), TinyStudent()).double()
    scalr.load_state_dict(ours.state_dict())
    assert [name for name, _ in ours(batch)] == ["distill"]
    assert torch.equal(ours(batch).total, scalr(batch).total)


def test_a_decoder_that_knows_nothing_is_as_wrong_as_a_coin():
    method = _method()
    torch.nn.init.zeros_(method.decoder.leave.weight)
    torch.nn.init.zeros_(method.decoder.leave.bias)
    torch.testing.assert_close(
        dict(method(_batch()))["occupancy"], torch.tensor(np.log(2.0)), rtol=1e-12, atol=0
    )


def test_the_teacher_is_bit_equal_after_a_step():
    method = _method()
    before = {name: value.clone() for name, value in method.teacher.state_dict().items()}
    optimiser = torch.optim.AdamW([p for p in method.parameters() if p.requires_grad], lr=0.1)
    method(_batch()).total.backward()
    optimiser.step()
    for name, value in method.teacher.state_dict().items():
        assert torch.equal(value, before[name])


def test_same_seed_same_loss_bit_for_bit():
    found = []
    for seed in (1, 1, 2):
        method = _method()
        torch.manual_seed(seed)
        found.append(method(_batch()).total.item())
    assert found[0] == found[1] != found[2]


def test_a_scan_without_camera_overlap_still_tells_its_occupancy():
    """The head's statistics and pairs are the other scan's alone."""
    seen, blind = random_drive("a", frames=1, points=60)[0], _blind()[1]
    method = _method(head_norm="bn")
    both, alone = method(_batch(seen, blind)), method(_batch(seen))
    torch.testing.assert_close(dict(both)["distill"], dict(alone)["distill"])
    assert dict(both)["occupancy"] > 0


def test_without_pairs_only_occupancy_is_learnt():
    method = _method()
    loss = method(_batch(*_blind()))
    loss.total.backward()
    assert dict(loss)["distill"].item() == 0 and dict(loss)["occupancy"] > 0
    for name, parameter in method.named_parameters():
        if name.startswith("head."):
            assert parameter.grad is not None and not parameter.grad.any(), name
        elif parameter.requires_grad:
            assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name


def test_empty_superpixels_mean_nothing_to_it():
    assert "superpixels" not in METHODS.get("cleverdistiller").needs


def test_a_batch_of_one_scan():
    method, batch = _method(), _batch(random_drive("a", frames=1, points=60)[0])
    torch.manual_seed(5)
    loss = dict(method(batch))
    torch.testing.assert_close(loss["distill"], _similarity(method, batch))
    torch.testing.assert_close(loss["occupancy"], _occupancy(method, batch))


def test_saved_and_loaded_goes_on_alike():
    """Running means of the head are state: in evaluation they decide."""
    one, other, batch = _method(), _method(), _batch()
    one(batch)
    file = io.BytesIO()
    torch.save(one.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    found = []
    for method in (one.eval(), other.eval()):
        torch.manual_seed(1)
        found.append(method(batch).total.item())
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("settings", "widths"),
    [
        ({"head_layers": 1}, [(5, 8)]),
        ({"head_layers": 2, "head_width": 11}, [(11, 8), (5, 11)]),
        ({}, [(1024, 8), (1024, 1024), (5, 1024)]),
        ({"head_layers": 4, "head_width": "teacher"}, [(5, 8), (5, 5), (5, 5), (5, 5)]),
    ],
)
def test_the_head_is_as_deep_and_wide_as_asked(settings, widths):
    method = Cleverdistiller(CleverdistillerSettings(**settings), GridTeacher(), TinyStudent())
    linear = [m for m in method.head.modules() if isinstance(m, torch.nn.Linear)]
    assert [tuple(layer.weight.shape) for layer in linear] == widths
    norms = [m for m in method.head.modules() if isinstance(m, torch.nn.BatchNorm1d)]
    assert len(norms) == len(widths) - 1


def test_the_diagnosis_tells_both_ranks_and_learns_nothing():
    method = _method().float().eval()
    before = {name: value.clone() for name, value in method.state_dict().items()}
    drive = random_drive("a", points=60)
    with torch.no_grad():
        told = method.diagnose(collate([scan]) for scan in drive)
    assert told.keys() == {"rankme_student", "rankme_head", "rankme_points"}
    assert told["rankme_points"] == 180
    assert 1 < told["rankme_student"] <= 8.01 and 1 < told["rankme_head"] <= 5.01
    for name, value in method.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_learns_one_batch_by_heart_with_occupied_voxels():
    small = {"occupancy": "voxel", "distance": "cosine", "head_width": 64, "latent": 32}
    found = losses(METHODS.get("cleverdistiller"), CleverdistillerSettings(**small))
    assert found[-1] < 0.5 * found[0]
