"""Gathered pixel features equal the dense maps of the released decoders."""

import pytest
import torch
from torch.nn import functional as F

from lima_bench.lima.batch import PairIndex
from lima_bench.lima.features import sample_pixels

SIZE = (224, 448)


def pairs_of(image, row, col):
    return PairIndex(torch.arange(len(row)), image, row, col)


@pytest.fixture
def random_pairs():
    generator = torch.Generator().manual_seed(0)
    draw = [torch.randint(0, n, (500,), generator=generator) for n in (3, *SIZE)]
    draw[1][:4] = torch.tensor([0, 0, SIZE[0] - 1, SIZE[0] - 1])
    draw[2][:4] = torch.tensor([0, SIZE[1] - 1, 0, SIZE[1] - 1])
    return pairs_of(*draw)


@pytest.fixture
def grids():
    return torch.randn(3, 16, 32, 8, generator=torch.Generator().manual_seed(1))


def test_equals_dense_upsampling(grids, random_pairs):
    dense = F.interpolate(
        grids.permute(0, 3, 1, 2), SIZE, mode="bilinear", align_corners=True
    ).permute(0, 2, 3, 1)
    expected = dense[random_pairs.image, random_pairs.row, random_pairs.col]
    torch.testing.assert_close(
        sample_pixels(grids, random_pairs, SIZE), expected, rtol=0, atol=1e-5
    )


def test_equals_grid_sample(grids, random_pairs):
    place = torch.stack(
        [2 * random_pairs.col / (SIZE[1] - 1) - 1, 2 * random_pairs.row / (SIZE[0] - 1) - 1], -1
    )
    for image in range(3):
        mine = random_pairs.image == image
        expected = F.grid_sample(
            grids[image].permute(2, 0, 1)[None], place[mine][None, None], align_corners=True
        )[0, :, 0].T
        found = sample_pixels(grids, random_pairs, SIZE)[mine]
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_half_precision_grids_are_computed_in_single(grids, random_pairs):
    half = grids.half()
    found = sample_pixels(half, random_pairs, SIZE)
    assert found.dtype == torch.float32
    assert torch.equal(found, sample_pixels(half.float(), random_pairs, SIZE))


def test_corners_are_cells(grids):
    corners = pairs_of(
        torch.tensor([2, 2]), torch.tensor([0, SIZE[0] - 1]), torch.tensor([0, SIZE[1] - 1])
    )
    expected = torch.stack([grids[2, 0, 0], grids[2, -1, -1]])
    torch.testing.assert_close(sample_pixels(grids, corners, SIZE), expected)


def test_gradient_reaches_the_four_cells_with_their_shares():
    grids = torch.zeros(1, 3, 3, 1, requires_grad=True)
    pair = pairs_of(torch.tensor([0]), torch.tensor([1]), torch.tensor([5]))
    sample_pixels(grids, pair, (9, 9)).sum().backward()  # row 0.25, column 1.25
    expected = torch.tensor([[0, 0.5625, 0.1875], [0, 0.1875, 0.0625], [0, 0, 0]])
    torch.testing.assert_close(grids.grad[0, :, :, 0], expected)


@pytest.mark.parametrize("shape", [(1, 1, 1, 4), (2, 1, 5, 4), (2, 5, 1, 4)])
def test_grids_of_one_cell_a_side(shape):
    grids = torch.randn(shape, dtype=torch.float64)
    pair = pairs_of(torch.tensor([0]), torch.tensor([6]), torch.tensor([8]))
    torch.testing.assert_close(sample_pixels(grids, pair, (7, 9))[0], grids[0, -1, -1])


def test_no_pairs(grids):
    none = torch.zeros(0, dtype=torch.long)
    assert sample_pixels(grids, pairs_of(none, none, none), SIZE).shape == (0, 8)
