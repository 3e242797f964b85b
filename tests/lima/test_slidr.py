"""SLidR against its definition written out pixel by pixel, in float64."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lima_bench.lima.methods.cards.slidr import SlidrSettings
from lima_bench.lima.methods.slidr import Slidr
from lima_bench.lima.synthetic import (
    N_SUPERPIXELS,
    GridTeacher,
    TinyStudent,
    random_drive,
    without_pairs,
)
from lima_bench.lima.synthetic_batch import collate
from lima_bench.lima.views import View, ViewPlan
from tests.lima import trials


def _method(**settings):
    torch.manual_seed(0)
    return Slidr(SlidrSettings(width=6, **settings), GridTeacher(), TinyStudent()).double()


def _scans(points=40):
    return [random_drive(name, frames=1, points=points)[0] for name in ("a", "b")]


def _written_out(method, batch, *, renormalise=False):
    """Loss by the book: dense maps, one superpixel at a time."""
    points = F.normalize(method.point_head(method.student(batch.voxels)), dim=1)
    grids = method.pixel_head(batch.images.grids).permute(0, 3, 1, 2)
    dense = F.interpolate(grids, batch.images.size, mode="bilinear", align_corners=True)
    dense = F.normalize(dense, dim=1)
    row_of = {int(point): row for row, point in enumerate(batch.source)}
    pairs = torch.stack(
        [batch.pairs.point, batch.pairs.image, batch.pairs.row, batch.pairs.col], 1
    ).tolist()
    k, q = [], []
    for image in range(batch.images.n_images):
        segments = batch.images.superpixels[image]
        for number in range(N_SUPERPIXELS):
            rows = [
                row_of[point]
                for point, i, r, c in pairs
                if i == image and segments[r, c] == number and point in row_of
            ]
            if rows:
                inside = dense[image][:, segments == number]
                k.append(points[rows].sum(0) / (len(rows) + 1e-6))
                q.append(inside.sum(1) / (inside.shape[1] + 1e-6))
    k, q = torch.stack(k), torch.stack(q)
    if renormalise:
        k, q = F.normalize(k, dim=1), F.normalize(q, dim=1)
    logits = k @ q.T / 0.07
    return -(logits.diagonal() - logits.logsumexp(1)).mean()


@pytest.mark.parametrize("renormalise", [False, True])
def test_value_and_gradients_equal_the_definition(renormalise):
    method = _method(renormalise_pool=renormalise)
    batch = collate(_scans(), dtype=torch.float64)
    loss, expected = method(batch).total, _written_out(method, batch, renormalise=renormalise)
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=0)
    weights = [parameter for parameter in method.parameters() if parameter.requires_grad]
    for one, other in zip(
        torch.autograd.grad(loss, weights), torch.autograd.grad(expected, weights), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-11)


def test_points_that_the_student_does_not_see_do_not_count():
    scans = _scans()
    views = tuple(
        View(((number, np.arange(0, len(scan.xyz), 3)),)) for number, scan in enumerate(scans)
    )
    batch = collate(scans, ViewPlan(views, (None, None)), dtype=torch.float64)
    method = _method()
    torch.testing.assert_close(method(batch).total, _written_out(method, batch))


def test_heads_are_linear_and_the_teacher_has_no_trainable_part():
    method = _method()
    names = {name for name, parameter in method.named_parameters() if parameter.requires_grad}
    assert {name for name in names if not name.startswith("student.")} == {
        "point_head.weight",
        "point_head.bias",
        "pixel_head.weight",
        "pixel_head.bias",
    }


def test_a_step_moves_student_and_heads_and_never_the_teacher():
    method = _method()
    trained = {name for name, p in method.named_parameters() if p.requires_grad}
    assert trials.reached(method, trials.batch_of()) == trained
    assert "teacher.gain" not in trained


def test_same_seed_same_loss():
    batch = trials.batch_of()
    assert _method()(batch).total.item() == _method()(batch).total.item()


@pytest.mark.parametrize("name", ["one scan unseen", "one scan"])
def test_odd_batches_are_survived(name):
    assert _method()(trials.odd_batches()[name]).total > 0


def test_saved_and_resumed_equals_uninterrupted():
    whole, cut = trials.cut_in_two(_method, [trials.batch_of()] * 4)
    assert whole == cut


def test_keeping_empty_superpixels_adds_candidates():
    batch = collate(_scans(points=4), dtype=torch.float64)
    assert _method(mask_empty=False)(batch).total > _method()(batch).total


def test_no_pairs_give_zero_and_zero_gradients():
    method = _method()
    loss = method(collate([without_pairs(scan) for scan in _scans()], dtype=torch.float64)).total
    loss.backward()
    assert loss.item() == 0
    for name, parameter in method.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert not parameter.grad.any(), name


def test_a_batch_without_superpixels_is_refused():
    batch = collate(_scans(), dtype=torch.float64)
    blank = replace(batch, images=replace(batch.images, superpixels=None))
    with pytest.raises(ValueError, match="superpixels"):
        _method()(blank)
