"""Every way of unifying cameras against its definition, one point at a time."""

import math

import pytest
import torch

from lima_bench.lima import blocks
from lima_bench.lima.batch import PairIndex
from lima_bench.lima.cross_view import observe
from lima_bench.lima.sampling import sample_pixels

SIZE = (9, 13)
OPERATORS = ["mean", "mean_of_normalised", "center_weighted", "nearest_center", "max"]


def _pairs(point, seed=0):
    generator = torch.Generator().manual_seed(seed)
    row, col = (torch.randint(0, length, (len(point),), generator=generator) for length in SIZE)
    return PairIndex(torch.tensor(point), torch.zeros(len(point), dtype=torch.int64), row, col)


def _grids(seed=1, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, 3, 4, 3, dtype=dtype, generator=generator)


def _features(sight):
    return sight.features(0, len(sight))


def _weight(pairs, pair):
    away = math.hypot(int(pairs.row[pair]) - 4, int(pairs.col[pair]) - 6)
    return 1 - away / math.hypot(4, 6)


def _by_the_book(operator, pixels, pairs, members):
    values = [pixels[pair] for pair in members]
    if operator == "mean":
        return sum(values) / len(values)
    if operator == "mean_of_normalised":
        return sum(value / value.norm() for value in values) / len(values)
    if operator == "center_weighted":
        weights = [_weight(pairs, pair) for pair in members]
        return sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights)
    if operator == "nearest_center":
        return pixels[max(members, key=lambda pair: _weight(pairs, pair))]
    return torch.stack(values).amax(0)


@pytest.mark.parametrize("block_values", [1, 1 << 19])
@pytest.mark.parametrize("operator", OPERATORS)
def test_one_feature_per_point(operator, block_values, monkeypatch):
    monkeypatch.setitem(blocks.BLOCK_VALUES, "cpu", block_values)
    point = [7, 2, 5, 2, 7, 0, 7, 9]
    pairs, grids = _pairs(point), _grids()
    pixels = sample_pixels(grids, pairs, SIZE)
    sight = observe(grids, pairs, SIZE, operator)
    assert sight.point.tolist() == [0, 2, 5, 7, 9]
    for number, feature in zip(sight.point.tolist(), _features(sight), strict=True):
        members = [pair for pair, owner in enumerate(point) if owner == number]
        torch.testing.assert_close(feature, _by_the_book(operator, pixels, pairs, members))


def test_off_keeps_one_feature_per_camera():
    pairs, grids = _pairs([7, 2, 5, 2]), _grids()
    sight = observe(grids, pairs, SIZE, "off")
    assert sight.point.tolist() == [2, 2, 5, 7]
    assert torch.equal(_features(sight), sample_pixels(grids, pairs, SIZE)[[1, 3, 2, 0]])


@pytest.mark.parametrize("operator", [name for name in OPERATORS if name != "mean_of_normalised"])
def test_a_point_seen_once_keeps_its_pixel_to_the_bit(operator):
    pairs, grids = _pairs([4, 1, 3, 0]), _grids(dtype=torch.float32)
    sight = observe(grids, pairs, SIZE, operator)
    assert torch.equal(_features(sight), sample_pixels(grids, pairs, SIZE)[[3, 1, 2, 0]])


def test_a_pixel_in_the_corner_still_counts_alone():
    pairs = PairIndex(*(torch.tensor([value]) for value in (3, 0, 0, 0)))
    sight = observe(_grids(), pairs, SIZE, "center_weighted")
    torch.testing.assert_close(_features(sight), _grids()[0, 0, :1])


@pytest.mark.parametrize("operator", ["off", *OPERATORS])
def test_no_pairs(operator):
    sight = observe(_grids(), PairIndex(*(4 * [torch.zeros(0).long()])), SIZE, operator)
    assert sight.point.shape == (0,)
    assert _features(sight).shape == (0, 3)
    assert _features(sight.packed().unpacked(torch.float64)).shape == (0, 3)


@pytest.mark.parametrize("operator", ["off", *OPERATORS])
def test_rows_may_be_asked_in_any_order_and_again(operator):
    sight = observe(_grids(), _pairs([7, 2, 5, 2, 7, 0, 7, 9]), SIZE, operator)
    rows = torch.tensor([3, 0, 3, 4, 1])
    asked = sight.take(rows)
    assert torch.equal(_features(asked), _features(sight)[rows])
    assert torch.equal(asked.features(1, 4), _features(sight)[rows[1:4]])
    assert asked.point.tolist() == sight.point[rows].tolist()


@pytest.mark.parametrize("operator", ["off", *OPERATORS])
def test_once_keeps_the_first_row_of_each_point(operator):
    sight = observe(_grids(), _pairs([7, 2, 5, 2, 7, 0, 7, 9]), SIZE, operator)
    once = sight.once()
    first = [sight.point.tolist().index(point) for point in once.point.tolist()]
    assert once.point.tolist() == [0, 2, 5, 7, 9]
    assert torch.equal(_features(once), _features(sight)[first])


def test_packed_keeps_the_cells_in_use_in_half_precision():
    pairs = _pairs([7, 2, 5, 2])
    pairs = PairIndex(pairs.point, pairs.image + 1, pairs.row, pairs.col)
    sight = observe(_grids(), pairs, SIZE, "mean")
    packed = sight.packed()
    assert packed.grids.dtype == torch.float16
    assert len(packed.grids) <= 3 * 4  # one of two images
    halved = observe(_grids().half().double(), pairs, SIZE, "mean")
    torch.testing.assert_close(_features(packed.unpacked(torch.float64)), _features(halved))
