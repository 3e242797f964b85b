"""Bumps of heat maps: radii by their definition, drawing against one object after the other."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lima_bench.downstream.detection.centerpoint.gaussian import draw, radii_of
from lima_bench.downstream.detection.second.settings import published_anchors
from tests.lima.elsewhere import elsewhere, moved

STRIDE_M = 0.8


def _radii(sizes, *, min_overlap=0.1, min_radius=0, roots="cornernet"):
    size = torch.tensor(sizes, dtype=torch.float64)
    found = radii_of(size, min_overlap=min_overlap, min_radius=min_radius, roots=roots)
    return found.tolist()


def _published(length: float, width: float, o: float) -> int:
    """CornerNet's formula as its first code has it, number by number."""
    found = []
    for a, b, c, sign in (
        (1, length + width, length * width * (1 - o) / (1 + o), 1),
        (4, 2 * (length + width), (1 - o) * length * width, 1),
        (4 * o, 2 * o * (length + width), (o - 1) * length * width, -1),
    ):
        found.append((sign * b + math.sqrt(b * b - 4 * a * c)) / 2)
    return int(min(found))


def _overlaps(length: float, width: float, r: float) -> list[float]:
    """Of a box with one whose corners are off by r: inwards and outwards, inwards, outwards."""
    area, both = length * width, max(length - r, 0) * max(width - r, 0)
    inner, outer = (length - 2 * r) * (width - 2 * r), (length + 2 * r) * (width + 2 * r)
    inner = inner if min(length, width) > 2 * r else 0.0
    return [both / (2 * area - both), inner / area, area / outer]


@pytest.mark.parametrize("name", sorted(published_anchors()))
def test_every_class_of_nuscenes_gets_the_least_radius_at_published_stride(name: str) -> None:
    size = published_anchors()[name].size
    assert _radii([[one / STRIDE_M for one in size[:2]]], min_radius=2) == [2]


@pytest.mark.parametrize("overlap", [0.1, 0.5, 0.7])
def test_cornernet_radii_are_those_of_the_formula(overlap: float) -> None:
    sizes = np.random.default_rng(0).uniform(0.2, 60, (50, 2)).tolist()
    expected = [_published(*size, overlap) for size in sizes]
    assert _radii(sizes, min_overlap=overlap) == expected
    assert max(expected) > 2


@pytest.mark.parametrize("overlap", [0.1, 0.5, 0.7])
def test_an_exact_radius_is_the_last_that_keeps_the_overlap(overlap: float) -> None:
    sizes = np.random.default_rng(1).uniform(2, 60, (50, 2)).tolist()
    for size, radius in zip(sizes, _radii(sizes, min_overlap=overlap, roots="exact"), strict=True):
        assert min(_overlaps(*size, radius)) >= overlap > min(_overlaps(*size, radius + 1))


def test_the_two_rules_differ_where_it_is_documented() -> None:
    # A 10 x 4 box at overlap 0.5, by hand: exact 1.03, 0.81 and 1.22; CornerNet's last root 2.43.
    assert _radii([[10.0, 4.0]], min_overlap=0.5) == [2]
    assert _radii([[10.0, 4.0]], min_overlap=0.5, roots="exact") == [0]
    assert _radii([[10.0, 4.0]], min_overlap=0.5, roots="exact", min_radius=1) == [1]


def _drawn_one_by_one(shape, plane, row, column, radius) -> np.ndarray:
    heat = np.zeros(shape)
    for p, r, c, reach in zip(plane, row, column, radius, strict=True):
        deviation = (2 * reach + 1) / 6
        for y in range(max(r - reach, 0), min(r + reach + 1, shape[1])):
            for x in range(max(c - reach, 0), min(c + reach + 1, shape[2])):
                bump = math.exp(-((y - r) ** 2 + (x - c) ** 2) / (2 * deviation**2))
                heat[p, y, x] = max(heat[p, y, x], bump)
    return heat


@pytest.mark.parametrize("most", [0, 2, 5, 40])
def test_all_at_once_is_one_after_the_other(most: int) -> None:
    shape, rng = (3, 11, 17), np.random.default_rng(most)
    plane, row, column = (rng.integers(0, n, 25) for n in shape)
    radius = rng.integers(0, most + 1, 25)
    found = draw(shape, *map(torch.as_tensor, (plane, row, column, radius)))
    expected = _drawn_one_by_one(shape, plane, row, column, radius)
    assert found.dtype == torch.float32
    assert np.abs(found.numpy() - expected).max() < 1e-6
    assert ((found == 1).numpy() == (expected == 1)).all()


def test_a_bump_in_numbers() -> None:
    one = torch.tensor([0])
    heat = draw((1, 7, 7), one, one + 3, one + 2, one + 2)[0]
    assert heat[3, 2] == 1 and heat[2, 2] == pytest.approx(math.exp(-18 / 25))
    assert heat[1, 0] == pytest.approx(math.exp(-4 * 36 / 25))
    assert int((heat > 0).sum()) == 25


def test_no_object_leaves_an_empty_map_and_a_giant_costs_no_more_than_the_map() -> None:
    none = torch.zeros(0, dtype=torch.int64)
    assert not draw((2, 4, 5), none, none, none, none).any()
    one = torch.tensor([0])
    heat = draw((1, 4, 5), one, one, one, one + 10_000_000)
    assert bool((heat > 0.999).all())


def test_drawing_takes_place_where_the_objects_lie(monkeypatch) -> None:
    given = [torch.tensor(one) for one in ([0, 1], [1, 2], [0, 3], [1, 2])]
    expected = draw((2, 4, 5), *given)
    with elsewhere(monkeypatch):
        assert torch.equal(draw((2, 4, 5), *map(moved, given)).here, expected)
