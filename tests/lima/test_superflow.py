"""SuperFlow against its definition written out class by class and pixel by pixel, in float64."""

from __future__ import annotations

import io
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lima_bench.lima.api import METHODS
from lima_bench.lima.class_groups import pixel_class_means
from lima_bench.lima.company import Company
from lima_bench.lima.methods.cards.superflow import SuperflowSettings
from lima_bench.lima.methods.superflow import Superflow
from lima_bench.lima.synthetic import (
    N_SUPERPIXELS,
    GridTeacher,
    TinyStudent,
    accompanied,
    random_drive,
    without_pairs,
)
from lima_bench.lima.synthetic_batch import collate
from lima_bench.lima.views import ScanInput, plan_views
from tests.lima.overfit import losses

EPS = 1e-6


def _method(**settings):
    torch.manual_seed(0)
    settings = SuperflowSettings(**{"width": 6, "cameras": 2, **settings})
    method = Superflow(settings, GridTeacher(), TinyStudent()).double()
    with torch.no_grad():  # away from where all points look alike
        method.point_head.weight.mul_(50)
    return method


def _drives(holes=True, points=30):
    """Three frames of two recordings; a tenth of the pixels belongs to no class."""
    rng = np.random.default_rng(0)

    def cut(scan):
        lost = rng.random(scan.superpixels.shape) < 0.1
        return replace(scan, superpixels=np.where(lost & holes, -1, scan.superpixels))

    return [[cut(scan) for scan in random_drive(name, points=points)] for name in ("a", "b")]


def _batch(method, drives=None, index=1, scans=2):
    drives = (drives or _drives())[:scans]
    anchors = [drive[index] for drive in drives]
    placed = accompanied(anchors, drives, Superflow.company(method.settings))
    inputs = [one.input for one in placed]
    plan = plan_views(Superflow, method.settings, inputs, np.random.default_rng(3))
    return collate(placed, plan, dtype=torch.float64)


def _written_out(method, batch):
    """Dense maps, one class of one scan at a time; L_spatial, L_d2s, L_temporal by name."""
    points = F.normalize(method.point_head(method.student(batch.voxels)), dim=1)
    row_of = {int(point): row for row, point in enumerate(batch.source)}
    maps = method.pixel_head(batch.images.grids).permute(0, 3, 1, 2)
    maps = F.interpolate(maps, size=batch.images.size, mode="bilinear", align_corners=True)
    maps = F.normalize(maps, dim=1)
    ids = batch.images.superpixels
    pair_rows = list(
        zip(*(getattr(batch.pairs, n).tolist() for n in ("point", "image", "row", "col")),
            strict=True)
    )  # fmt: skip

    def cloud(number, group):
        scan = batch.scans[number]
        own = [
            points[row_of[p]]
            for p, image, row, col in pair_rows
            if scan.start <= p < scan.stop and ids[image, row, col] == group
        ]
        return (sum(own) / (len(own) + EPS), True) if own else (points[0] * 0, False)

    def picture(number, group):
        images = [i for i, scan in enumerate(batch.images.lenses.scan) if scan == number]
        own = [maps[i][:, ids[i] == group].T for i in images]
        own = torch.cat([torch.zeros(0, 6, dtype=torch.float64), *own])
        return own.sum(0) / (len(own) + EPS)

    anchors = [n for n, scan in enumerate(batch.scans) if scan.anchor == n]
    groups = [(anchor, c) for anchor in anchors for c in range(N_SUPERPIXELS)]
    now, before, after, dense = (
        [cloud(kind * len(anchors) + a, c) for a, c in groups] for kind in range(4)
    )
    seen = [[picture(kind * len(anchors) + a, c) for a, c in groups] for kind in range(3)]

    def nce(queries, keys, there):
        valid = [n for n, _ in enumerate(groups) if all(own[n][1] for own in there)]
        terms = []
        for g in valid:
            logits = torch.stack([queries[g][0] @ keys[h] for h in valid]) / 0.07
            terms.append(logits.logsumexp(0) - logits[valid.index(g)])
        return sum(terms) / len(terms)

    frames = (now, before, after)
    spatial = [nce(own, image, [own]) for own, image in zip(frames, seen, strict=True)]
    temporal = [nce(now, [k for k, _ in one], [now, one]) for one in (before, after)]
    return {
        "spatial": sum(spatial) / 3,
        "d2s": nce(now, [k for k, _ in dense], [now]),
        "temporal": sum(temporal) / 2,
    }


def _trainable(method):
    return {name: p for name, p in method.named_parameters() if p.requires_grad}


def _gradients(value, weights):
    found = torch.autograd.grad(value, list(weights.values()), allow_unused=True, retain_graph=True)
    return dict(zip(weights, found, strict=True))


@pytest.mark.parametrize("index", [0, 1])
def test_value_and_gradient_of_every_term_equal_the_definition(index):
    """Frame 0 has none before it and stands in for it itself."""
    method = _method()
    batch = _batch(method, index=index)
    loss, expected = method(batch), _written_out(method, batch)
    assert dict(loss).keys() == expected.keys()
    weights = _trainable(method)
    for name, value in loss:
        torch.testing.assert_close(value, expected[name], rtol=1e-9, atol=1e-12)
        ours, theirs = _gradients(value, weights), _gradients(expected[name], weights)
        for weight, gradient in ours.items():
            if theirs[weight] is None:
                assert gradient is None or not gradient.any(), (name, weight)
            else:
                torch.testing.assert_close(gradient, theirs[weight], rtol=1e-6, atol=1e-10)


def test_equal_embeddings_tell_no_class_from_another():
    """Every contrast is then the logarithm of the number of valid groups."""
    method = _method()
    for head in (method.point_head, method.pixel_head):
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.ones_(head.bias)
    for name, value in method(_batch(method, _drives(points=200))):
        assert value.item() == pytest.approx(math.log(2 * N_SUPERPIXELS), rel=1e-5), name


def test_cosine_is_zero_where_the_dense_cloud_looks_the_same():
    """The synthetic dense cloud repeats every point beside itself, seen by the same pixel."""
    method = _method(d2s="cosine")
    for part in method.student.net:
        if hasattr(part, "weight"):
            torch.nn.init.zeros_(part.weight)
    batch = _batch(method)
    assert dict(method(batch))["d2s"].item() == pytest.approx(0, abs=1e-12)
    assert dict(_method(d2s="cosine")(batch))["d2s"] > 1e-6


def test_gradients_reach_what_they_should_and_nothing_else():
    method = _method()
    weights = _trainable(method)
    heads = {"point_head.weight", "point_head.bias", "pixel_head.weight", "pixel_head.bias"}
    assert {name for name in weights if not name.startswith("student.")} == heads
    for name, value in method(_batch(method)):
        moved = {w for w, g in _gradients(value, weights).items() if g is not None and g.any()}
        expected = set(weights) if name == "spatial" else {w for w in weights if "pixel" not in w}
        assert moved == expected, name


def test_heads_start_as_published():
    torch.manual_seed(0)
    method = Superflow(SuperflowSettings(), GridTeacher(), TinyStudent(96))
    assert float(method.point_head.weight.detach().std()) == pytest.approx(0.01, rel=0.05)
    assert not method.point_head.bias.any()


def test_the_teacher_is_bit_equal_after_a_step():
    method, teacher = _method(), GridTeacher()
    method.teacher = teacher.double()
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    optimiser = torch.optim.AdamW([p for p in method.parameters() if p.requires_grad], lr=0.1)
    method(_batch(method)).total.backward()
    optimiser.step()
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())


def test_same_seed_same_loss_bit_for_bit():
    found = [_method()(_batch(_method())).total.item() for _ in range(2)]
    assert found[0] == found[1]


def test_classes_are_shared_by_the_cameras_of_a_scan_and_not_by_scans():
    """One group per class and scan, over the pixels of all its cameras, whatever their number."""
    method = _method(cameras=3)
    batch = _batch(method)
    maps = batch.images.grids.permute(0, 3, 1, 2)
    maps = F.interpolate(maps, size=batch.images.size, mode="bilinear", align_corners=True)
    maps = F.normalize(maps, dim=1)
    means = pixel_class_means(batch.images.grids, batch)
    for scan in (0, 3):
        images = batch.images.lenses.scan == scan
        assert int(images.sum()) == 3
        own = maps[images].permute(0, 2, 3, 1)[batch.images.superpixels[images] == 2]
        torch.testing.assert_close(means[scan, 2], own.sum(0) / (len(own) + EPS))
    dense = [number for number, scan in enumerate(batch.scans) if scan.dense]
    assert not means[dense].any()


def test_a_scan_without_camera_overlap_takes_no_part():
    """Its classes are neither asked nor answers, though its images are there."""
    drives = _drives()
    drives[1] = [without_pairs(scan) for scan in drives[1]]
    method = _method(cameras=3)
    batch = _batch(method, drives)
    assert {int(scan) for scan in batch.images.lenses.scan} == set(range(6))
    expected = _written_out(method, batch)
    for name, value in method(batch):
        torch.testing.assert_close(value, expected[name], rtol=1e-9, atol=0)


@pytest.mark.parametrize("hole", ["pixels", "pairs"])
def test_nothing_to_compare_gives_zero_and_zero_gradients(hole):
    method, drives = _method(), _drives()
    empty = (
        (lambda scan: replace(scan, superpixels=np.full_like(scan.superpixels, -1)))
        if hole == "pixels"
        else without_pairs
    )
    loss = method(_batch(method, [[empty(scan) for scan in drive] for drive in drives]))
    loss.total.backward()
    assert loss.total.item() == 0
    for name, parameter in _trainable(method).items():
        assert parameter.grad is not None and not parameter.grad.any(), name


def test_a_batch_of_one_sample():
    method = _method()
    batch = _batch(method, scans=1)
    for name, value in method(batch):
        torch.testing.assert_close(value, _written_out(method, batch)[name], rtol=1e-9, atol=0)


def test_saved_and_loaded_goes_on_alike():
    one, other = _method(), _method()
    for parameter in other.parameters():
        torch.nn.init.normal_(parameter)
    file = io.BytesIO()
    torch.save(one.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    batch = _batch(one)
    assert torch.equal(one(batch).total, other(batch).total)


@pytest.mark.parametrize(
    ("settings", "terms", "company"),
    [
        ({}, {"spatial", "d2s", "temporal"}, Company(offsets=(-1, 1), sweeps=2)),
        ({"frames": 2, "sweeps": 3}, {"spatial", "d2s", "temporal"}, Company((-1,), sweeps=3)),
        ({"frames": 1, "sweeps": 1}, {"spatial", "d2s"}, Company(sweeps=1)),
        ({"frames": 3, "sweeps": 0}, {"spatial", "temporal"}, Company(offsets=(-1, 1))),
        ({"frames": 1, "sweeps": 0}, {"spatial"}, Company()),
    ],
)
def test_what_is_left_out_is_not_loaded(settings, terms, company):
    method = _method(**settings)
    assert Superflow.company(method.settings) == company
    assert {name for name, _ in method(_batch(method))} == terms


def test_cameras_are_drawn_per_sample_and_shared_by_its_frames():
    drives = _drives()
    settings = SuperflowSettings(cameras=2)
    placed = accompanied([drive[1] for drive in drives], drives, Superflow.company(settings))
    inputs = [one.input for one in placed]
    rng = np.random.default_rng(0)
    plans = [plan_views(Superflow, settings, inputs, rng).cameras for _ in range(30)]
    for cameras in plans:
        for number, one in enumerate(placed):
            assert len(cameras[number]) == 2
            assert set(cameras[number]) == set(cameras[one.anchor])
    drawn = {tuple(sorted(cameras[0])) for cameras in plans}
    assert drawn == {(0, 1), (0, 2), (1, 2)}
    assert any(set(cameras[0]) != set(cameras[1]) for cameras in plans)


def test_a_rig_with_fewer_cameras_keeps_all():
    blind = without_pairs(_drives()[0][0])
    scan = ScanInput(blind.xyz, blind.sequence, blind.pairs)
    plan = plan_views(Superflow, SuperflowSettings(), [scan], np.random.default_rng(0))
    assert plan.cameras == (None,)
    settings = SuperflowSettings(cameras=3)
    placed = accompanied([_drives()[0][1]], _drives()[:1], Superflow.company(settings))
    inputs = [one.input for one in placed]
    assert set(plan_views(Superflow, settings, inputs, np.random.default_rng(0)).cameras) == {None}


def test_learns_one_batch_by_heart_with_the_cosine_term():
    found = losses(METHODS.get("superflow"), SuperflowSettings(d2s="cosine"))
    assert found[-1] < 0.5 * found[0]
