"""Overlap of turned rectangles against shapely and closed forms; NMS against plain loops."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import shapely
import torch
from torch import Tensor

from lima_bench.common.errors import UserError
from lima_bench.downstream.detection import rotated
from lima_bench.downstream.detection.rotated import circle_nms, overlap_matrix, rotated_nms

FORMS = ["compiled", "torch"]

OCTAGON = 8 * (math.sqrt(2) - 1)
"""Square metres that two squares of edge 2 m share when one is turned by an eighth."""


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each test by the compiled loops, and by what a CUDA tensor takes, in several parts."""
    monkeypatch.setattr(rotated, "_COMPILED", request.param == "compiled")
    monkeypatch.setattr(rotated, "_PAIRS_AT_ONCE", 1 << 12)
    return str(request.param)


def _random(n: int, seed: int, span_m: float = 8.0) -> Tensor:
    rng = np.random.default_rng(seed)
    middle, yaw = rng.uniform(-span_m, span_m, (n, 2)), rng.uniform(-7, 7, n)
    return torch.tensor(np.c_[middle, rng.uniform(0.2, 12, n), rng.uniform(0.2, 4, n), yaw])


def _polygons(boxes: Tensor) -> np.ndarray:
    x, y, length, width, yaw = boxes.double().numpy().T
    corners = []
    for forward, left in ((1, -1), (1, 1), (-1, 1), (-1, -1)):
        along, across = forward * length / 2, left * width / 2
        corner_x = x + along * np.cos(yaw) - across * np.sin(yaw)
        corners.append(np.c_[corner_x, y + along * np.sin(yaw) + across * np.cos(yaw)])
    return shapely.polygons(np.stack(corners, axis=1))


def _by_shapely(a: Tensor, b: Tensor) -> np.ndarray:
    one, other = _polygons(a)[:, None], _polygons(b)[None]
    shared = shapely.area(shapely.intersection(one, other))
    return shared / (shapely.area(one) + shapely.area(other) - shared)


def _one(*numbers: float) -> Tensor:
    return torch.tensor([numbers], dtype=torch.float64)


@pytest.mark.parametrize("seed", range(3))
def test_equals_shapely_on_thousands_of_pairs(form, seed) -> None:
    a, b = _random(70, seed), _random(60, seed + 100)
    expected = _by_shapely(a, b)
    assert 0.05 < (expected > 0).mean() < 0.5
    assert np.abs(overlap_matrix(a, b).numpy() - expected).max() < 1e-12
    assert np.abs(overlap_matrix(a.float(), b.float()).numpy() - expected).max() < 5e-6


def test_both_forms_agree_on_near_copies(monkeypatch) -> None:
    """Edges that almost coincide: where clipping of polygons loses its corners."""
    boxes = _random(300, 5)
    noise = torch.tensor(np.random.default_rng(6).normal(0, 1e-9, boxes.shape))
    turned = boxes + _one(0, 0, 0, 0, math.pi)
    quarter = boxes[:, [0, 1, 3, 2, 4]] - _one(0, 0, 0, 0, math.pi / 2)
    found = {}
    for name in FORMS:
        monkeypatch.setattr(rotated, "_COMPILED", name == "compiled")
        for other, bound in ((boxes + noise, 1e-6), (turned, 1e-12), (quarter, 1e-12)):
            assert (overlap_matrix(boxes, other).diagonal() - 1).abs().max() < bound
        found[name] = overlap_matrix(boxes, turned)
    assert (found["compiled"] - found["torch"]).abs().max() < 1e-12


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ((0, 0, 4, 2, 0.3), (0, 0, 4, 2, 0.3), 1.0),  # the same
        ((0, 0, 2, 2, 0), (0, 0, 2, 2, math.pi / 4), OCTAGON / (8 - OCTAGON)),
        ((0, 0, 4, 4, 0.7), (0.1, 0.2, 1, 2, -2.0), 2 / 16),  # one within the other
        ((0, 0, 4, 2, 0), (4, 0, 4, 2, 0), 0.0),  # a common edge
        ((0, 0, 2, 2, 0), (2, 2, 2, 2, 0), 0.0),  # a common corner
        ((0, 0, 4, 2, 0), (2, 0, 4, 2, math.pi), 4 / 12),
        ((0, 0, 6, 1, 0), (0, 0, 6, 1, math.pi / 2), 1 / 11),  # a cross
        ((0, 0, 6, 1, 0), (0, 0, 6, 1, -math.pi / 2), 1 / 11),
        ((0, 0, 4, 0, 0.3), (0, 0, 4, 0, 0.3), 0.0),  # no area, and the same
        ((0, 0, 4, 2, 0), (0, 0, 3, 0, 1.0), 0.0),
        ((0, 0, 0, 0, 0), (0, 0, 4, 2, 1.0), 0.0),
        ((0, 0, 1e-6, 1e-6, 0.3), (0, 0, 1e6, 1e6, 1.1), 1e-24),
    ],
)
def test_known_overlaps(form, a, b, expected) -> None:
    one, other = _one(*a), _one(*b)
    for value in (overlap_matrix(one, other), overlap_matrix(other, one)):
        assert value.item() == pytest.approx(expected, rel=1e-9, abs=1e-30 if expected else 1e-15)


def test_far_from_the_origin_nothing_is_lost(form) -> None:
    boxes, far = _random(80, 7), torch.tensor([2.0**20, -(2.0**21), 0, 0, 0])
    on_raster = torch.cat((boxes[:, :2].mul(2**20).round() / 2**20, boxes[:, 2:]), dim=1)
    here, there = (
        overlap_matrix(on_raster, on_raster),
        overlap_matrix(on_raster + far, on_raster + far),
    )
    assert (here - there).abs().max() == 0


def test_no_boxes(form) -> None:
    none, some = torch.zeros(0, 5), _random(3, 0).float()
    assert overlap_matrix(none, some).shape == (0, 3)
    assert overlap_matrix(some, none).shape == (3, 0)
    assert len(rotated_nms(none, torch.zeros(0), 0.2, 5)) == 0
    assert len(circle_nms(none[:, :2], torch.zeros(0), 1.0, 5)) == 0


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_is_refused(form, bad) -> None:
    boxes, score = _random(4, 0), torch.rand(4)
    broken = boxes.clone()
    broken[2, 3] = bad
    calls: list[Callable[[], Tensor]] = [
        lambda: overlap_matrix(broken, boxes),
        lambda: rotated_nms(broken, score, 0.2, 4),
        lambda: rotated_nms(boxes, score * bad, 0.2, 4),
        lambda: circle_nms(broken[:, 2:4], score, 1.0, 4),
    ]
    for call in calls:
        with pytest.raises(UserError, match="not finite"):
            call()
    with pytest.raises(UserError, match="negative"):
        overlap_matrix(boxes, -boxes.abs())


def _greedy(better: np.ndarray, suppresses: Callable[[int, int], bool], most: int) -> list[int]:
    kept: list[int] = []
    for row in better:
        if not any(suppresses(best, row) for best in kept):
            kept.append(int(row))
    return kept[:most]


@pytest.mark.parametrize(("span_m", "most"), [(3.0, 200), (20.0, 200), (20.0, 17)])
def test_rotated_nms_equals_a_plain_loop(form, span_m, most) -> None:
    boxes = _random(200, 11, span_m)
    score = torch.randint(0, 12, (200,), generator=torch.Generator().manual_seed(3)) / 12
    overlap = _by_shapely(boxes, boxes)
    order = np.lexsort((np.arange(200), -score.numpy()))
    expected = _greedy(order, lambda best, row: overlap[best, row] > 0.2, most)
    found = rotated_nms(boxes.float(), score, 0.2, most).tolist()
    assert found == expected
    assert found == rotated_nms(boxes.float(), score, 0.2, most).tolist()
    assert len(expected) == min(most, len(expected)) < 200


def test_of_equal_boxes_with_equal_scores_the_first_stays(form) -> None:
    boxes, score = _one(1, 2, 4, 2, 0.5).repeat(6, 1), torch.tensor([0.1, 0.3, 0.3, 0.3, 0.2, 0.1])
    assert rotated_nms(boxes, score, 0.5, 6).tolist() == [1]
    assert circle_nms(boxes[:, :2], score, 0.0, 6).tolist() == [1]


def test_what_was_dropped_drops_nothing(form) -> None:
    """A chain: the second falls to the first, so the third stays."""
    boxes = torch.cat([_one(x, 0, 4, 2, 0) for x in (0, 2, 4)])
    assert rotated_nms(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.2, 3).tolist() == [0, 2]
    assert rotated_nms(boxes, torch.tensor([0.7, 0.8, 0.9]), 0.2, 3).tolist() == [2, 0]
    assert rotated_nms(boxes, torch.tensor([0.7, 0.9, 0.8]), 0.2, 3).tolist() == [1]
    assert rotated_nms(boxes, torch.tensor([0.7, 0.9, 0.8]), 0.34, 3).tolist() == [1, 2, 0]


def test_circle_nms_compares_squared_distances() -> None:
    centre = torch.tensor([[0.0, 0], [3, 0], [0, 1.9], [0, 5]])
    score = torch.tensor([0.9, 0.8, 0.7, 0.6])
    assert circle_nms(centre, score, 4.0, 4).tolist() == [0, 1, 3]
    assert circle_nms(centre, score, 9.0, 4).tolist() == [0, 3]  # exactly this far is near
    assert circle_nms(centre, score, 4.0, 2).tolist() == [0, 1]


@pytest.mark.parametrize("squared_m", [0.5, 4.0])
def test_circle_nms_equals_a_plain_loop(form, squared_m) -> None:
    boxes, score = _random(150, 21), torch.rand(150, generator=torch.Generator().manual_seed(1))
    centre = boxes[:, :2]

    def near(best: int, row: int) -> bool:
        return bool((centre[best] - centre[row]).square().sum() <= squared_m)

    expected = _greedy((-score).argsort().numpy(), near, 150)
    assert circle_nms(centre, score, squared_m, 150).tolist() == expected
    assert 5 < len(expected) < 140


def test_a_thousand_boxes_take_no_time() -> None:
    """50 ms is the target on a core; a crawling form takes seconds."""
    boxes, score = _random(1000, 31, 40.0), torch.rand(1000)
    rotated_nms(boxes, score, 0.2, 1000)
    seconds = []
    for _ in range(5):
        begin = time.process_time()
        rotated_nms(boxes, score, 0.2, 1000)
        seconds.append(time.process_time() - begin)
    assert min(seconds) < 0.05


def test_scores_fall(form) -> None:
    boxes, score = _random(100, 41), torch.rand(100)
    kept = score[rotated_nms(boxes, score, 0.2, 100)].tolist()
    assert all(one >= other for one, other in pairwise(kept))
