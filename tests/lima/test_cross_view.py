"""Every way of unifying cameras against its definition, one point at a time."""

import math

import pytest
import torch

from lima_bench.lima.batch import PairIndex
from lima_bench.lima.cross_view import observe

SIZE = (9, 13)
OPERATORS = ["mean", "mean_of_normalised", "center_weighted", "nearest_center", "max"]


def _pairs(point, seed=0):
    generator = torch.Generator().manual_seed(seed)
    row, col = (torch.randint(0, length, (len(point),), generator=generator) for length in SIZE)
    return PairIndex(torch.tensor(point), torch.zeros(len(point), dtype=torch.int64), row, col)


def _pixels(n, seed=1):
    return torch.randn(n, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


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


@pytest.mark.parametrize("operator", OPERATORS)
def test_one_feature_per_point(operator):
    point = [7, 2, 5, 2, 7, 0, 7, 9]
    pairs, pixels = _pairs(point), _pixels(len(point))
    observed = observe(pixels, pairs, SIZE, operator)
    assert observed.point.tolist() == [0, 2, 5, 7, 9]
    for number, feature in zip(observed.point.tolist(), observed.features, strict=True):
        members = [pair for pair, owner in enumerate(point) if owner == number]
        torch.testing.assert_close(feature, _by_the_book(operator, pixels, pairs, members))


def test_off_keeps_one_feature_per_camera():
    point = [7, 2, 5, 2]
    pixels = _pixels(4)
    observed = observe(pixels, _pairs(point), SIZE, "off")
    assert observed.point.tolist() == [2, 2, 5, 7]
    assert torch.equal(observed.features, pixels[[1, 3, 2, 0]])


@pytest.mark.parametrize("operator", [name for name in OPERATORS if name != "mean_of_normalised"])
def test_a_point_seen_once_keeps_its_pixel_to_the_bit(operator):
    point = [4, 1, 3, 0]
    pixels = _pixels(4).float()
    observed = observe(pixels, _pairs(point), SIZE, operator)
    assert torch.equal(observed.features, pixels[[3, 1, 2, 0]])


def test_a_pixel_in_the_corner_still_counts_alone():
    pairs = PairIndex(*(torch.tensor([value]) for value in (3, 0, 0, 0)))
    observed = observe(_pixels(1), pairs, SIZE, "center_weighted")
    torch.testing.assert_close(observed.features, _pixels(1))


@pytest.mark.parametrize("operator", ["off", *OPERATORS])
def test_no_pairs(operator):
    observed = observe(
        _pixels(0), _pairs([]).__class__(*(4 * [torch.zeros(0).long()])), SIZE, operator
    )
    assert observed.point.shape == (0,)
    assert observed.features.shape == (0, 3)
