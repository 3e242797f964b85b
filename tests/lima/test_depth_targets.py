"""Depth bins, the depth map that points draw, and its loss."""

from dataclasses import replace

import pytest
import torch

from lima_bench.lima.batch import PairIndex
from lima_bench.lima.depth_targets import DepthBins, depth_loss, nearest_depths
from lima_bench.lima.synthetic import random_drive
from lima_bench.lima.synthetic_batch import collate

BINS = DepthBins.between(1.0, 60.0, 0.5)


@pytest.mark.parametrize(
    ("depth_m", "number"),
    [(0.99, -1), (1.0, 0), (1.49, 0), (1.5, 1), (30.2, 58), (59.5, 117), (59.99, 117), (60.0, -1)],
)
def test_bins_are_the_published_ones(depth_m, number):
    assert BINS.of(torch.tensor([depth_m])).item() == number


def test_there_are_118_from_1_to_59_and_a_half():
    edges = BINS.lower_edges(torch.device("cpu"))
    assert (BINS.count, edges[0].item(), edges[-1].item()) == (118, 1.0, 59.5)
    assert BINS.of(torch.tensor(torch.inf)).item() == -1


def _batch(pixels, depths_m):
    """Points straight ahead of camera 0, at the given (row, col) of its image 16 x 24."""
    batch = collate([random_drive("a", frames=1, points=len(pixels))[0]])
    ahead = batch.images.lenses.camera_to_lidar[0, :3, 2]
    row, col = torch.tensor(pixels).T
    pairs = PairIndex(torch.arange(len(pixels)), torch.zeros(len(pixels), dtype=int), row, col)
    xyz = torch.tensor(depths_m)[:, None] * ahead.float()
    return replace(batch, pairs=pairs, xyz=xyz)


def test_a_cell_has_the_least_depth_of_its_block():
    batch = _batch([(0, 0), (3, 3), (3, 4), (15, 23)], [7.0, 5.0, 6.0, 9.0])
    found = nearest_depths(batch, batch.images.lenses, (4, 6))
    assert found.shape == (3, 4, 6)
    assert found[0, 0, 0].item() == pytest.approx(5.0)
    assert found[0, 0, 1].item() == pytest.approx(6.0)
    assert found[0, 3, 5].item() == pytest.approx(9.0)
    assert int(found.isfinite().sum()) == 3


def test_of_two_points_at_one_pixel_the_last_counts():
    batch = _batch([(2, 2), (2, 2)], [5.0, 8.0])
    assert nearest_depths(batch, batch.images.lenses, (4, 6))[0, 0, 0].item() == pytest.approx(8.0)


def test_depth_is_along_the_axis_of_the_pairs_own_camera():
    batch = collate([random_drive("a", frames=1, points=30)[0]])
    lenses = batch.images.lenses
    found = nearest_depths(batch, lenses, batch.images.size)
    pair = len(batch.pairs.point) - 1
    image, point = batch.pairs.image[pair], batch.pairs.point[pair]
    world = torch.cat([batch.xyz[point].double(), torch.ones(1, dtype=torch.float64)])
    camera = torch.linalg.inv(lenses.camera_to_lidar[image]) @ world
    place = image, batch.pairs.row[pair], batch.pairs.col[pair]
    torch.testing.assert_close(found[place].double(), camera[2])


def test_loss_and_gradient_equal_the_definition():
    torch.manual_seed(0)
    logits = torch.randn(2, 5, 3, 4, dtype=torch.float64, requires_grad=True)
    bins = torch.randint(-1, 5, (2, 3, 4))
    total, n_terms = 0.0, 0
    depth = logits.softmax(1)
    for image, row, col in torch.nonzero(bins >= 0).tolist():
        for number in range(5):
            p = depth[image, number, row, col]
            total = total - (p if number == bins[image, row, col] else 1 - p).log()
            n_terms += 1
    found, wanted = depth_loss(depth, bins), total / n_terms
    torch.testing.assert_close(found, wanted)
    ours, theirs = (torch.autograd.grad(v, logits, retain_graph=True)[0] for v in (found, wanted))
    torch.testing.assert_close(ours, theirs)


def test_without_any_depth_there_is_no_loss():
    depth = torch.full((1, 5, 2, 2), 0.2, requires_grad=True)
    loss = depth_loss(depth, torch.full((1, 2, 2), -1))
    loss.backward()
    assert loss.item() == 0
    assert not depth.grad.any()


def test_certainty_costs_nothing_when_right_and_stays_finite_when_wrong():
    depth = torch.zeros(1, 3, 1, 1)
    depth[:, 1] = 1.0
    assert depth_loss(depth, torch.tensor([[[1]]])).item() == 0
    assert depth_loss(depth, torch.tensor([[[0]]])).isfinite()
