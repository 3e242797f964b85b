"""Boxes that say the same: NMS of turned rectangles, against a loop over shapely's polygons.

Offers `rows`. The loop is the usual one: in order of score, each box is held against the kept ones
that a tree of bounding boxes says are near.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import shapely
import torch
from torch import Tensor

from benchmarks.rows import Row, interleave
from lima_bench.downstream.detection.rotated import rotated_nms

BOXES, QUICK_BOXES = 1_000, 100
"""Of one group of classes; detectors look at this many."""
REACH_M = 51.2
CLUSTERS = 60
IOU = 0.2
AFTER = 83


def rows(quick: bool) -> list[Row]:
    """The best 83, as detectors ask, and all that stay."""
    n_boxes, rounds = (QUICK_BOXES, 3) if quick else (BOXES, 9)
    crowd, spread = _boxes(n_boxes, CLUSTERS), _boxes(n_boxes, n_boxes)
    return [
        *_nms_rows("around objects", crowd, AFTER, rounds),
        *_nms_rows("all over, none dropped early", spread, n_boxes, rounds),
    ]


def _boxes(n_boxes: int, n_clusters: int) -> tuple[Tensor, Tensor]:
    """Car-sized boxes, thrown around as many places: what a head says before NMS."""
    rng = np.random.default_rng(0)
    place = rng.uniform(-REACH_M, REACH_M, (n_clusters, 2))[rng.integers(0, n_clusters, n_boxes)]
    size = np.array([4.63, 1.97]) * rng.uniform(0.7, 1.3, (n_boxes, 2))
    yaw = rng.uniform(-np.pi, np.pi, n_boxes)
    boxes = np.c_[place + rng.normal(0, 0.8, place.shape), size, yaw].astype(np.float32)
    return torch.from_numpy(boxes), torch.from_numpy(rng.random(n_boxes, np.float32))


def _nms_rows(what: str, made: tuple[Tensor, Tensor], most: int, rounds: int) -> list[Row]:
    boxes, score = made
    kept = rotated_nms(boxes, score, IOU, most).tolist()
    assert kept == _by_shapely(boxes, score, most)
    work: dict[str, Callable[[], object]] = {
        "ours": lambda: rotated_nms(boxes, score, IOU, most),
        "shapely": lambda: _by_shapely(boxes, score, most),
    }
    timings = interleave(work, rounds=rounds)
    own, note = timings.sample("ours", 1e3), f"{len(boxes)} boxes, {len(kept)} stay"
    ratio = timings.ratio("shapely", "ours")
    return [
        Row.of(f"boxes/nms {what}", own, "ms", at_most=50, note=note),
        Row.of(f"boxes/nms {what} over shapely", ratio, "x", at_least=1, note=note),
    ]


def _by_shapely(boxes: Tensor, score: Tensor, most: int) -> list[int]:
    polygons = _polygons(boxes.double().numpy())
    tree, area = shapely.STRtree(polygons), shapely.area(polygons)
    kept: list[int] = []
    stays = np.zeros(len(boxes), dtype=bool)
    for row in torch.sort(score, descending=True, stable=True).indices.tolist():
        near = tree.query(polygons[row])
        near = near[stays[near]]
        shared = shapely.area(shapely.intersection(polygons[row], polygons[near]))
        if not (shared > IOU * (area[row] + area[near] - shared)).any():
            kept.append(row)
            stays[row] = True
            if len(kept) == most:
                break
    return kept


def _polygons(boxes: npt.NDArray[np.float64]) -> npt.NDArray[np.object_]:
    x, y, length, width, yaw = boxes.T
    corners = []
    for forward, left in ((1, -1), (1, 1), (-1, 1), (-1, -1)):
        along, across = forward * length / 2, left * width / 2
        corner_x = x + along * np.cos(yaw) - across * np.sin(yaw)
        corners.append(np.c_[corner_x, y + along * np.sin(yaw) + across * np.cos(yaw)])
    return np.asarray(shapely.polygons(np.stack(corners, axis=1)))
