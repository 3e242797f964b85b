"""What SECOND's anchors learn: assignment, against the overlap of every anchor with every object.

Offers `rows`. The usual form, class by class and frame by frame, writes the whole matrix of a
class's 32,768 anchors and its objects, and looks for the largest of rows and columns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.rows import Row, interleave
from lima_bench.datasets.detection_facts import BoxClass, DetectionFacts
from lima_bench.downstream.detection.head import MapGrid
from lima_bench.downstream.detection.second.anchors import AnchorGrid, anchor_grid, upright
from lima_bench.downstream.detection.second.assign import TIE, assign
from lima_bench.downstream.detection.second.settings import SecondSettings
from lima_bench.downstream.detection.settings import SIX_GROUPS

CELLS, QUICK_CELLS = 128, 16
CELL_M = 0.8
FRAMES = 4
FEW, MANY = 35, 150
"""Objects of a frame: the mean of nuScenes, and a crowded one with pasted objects."""
NAMES = tuple(name for group in SIX_GROUPS for name in group)
FACTS = DetectionFacts(
    metric="none",
    classes=tuple(BoxClass(name=name, categories=(name,), range_m=50) for name in NAMES),
)


@dataclass(frozen=True)
class _Objects:
    boxes: Tensor
    label: Tensor
    frame: Tensor


def rows(quick: bool) -> list[Row]:
    """A batch of ordinary frames, and of crowded ones."""
    cells, rounds = (QUICK_CELLS, 3) if quick else (CELLS, 7)
    reach = CELL_M * cells / 2
    grid = MapGrid((-reach, -reach), (CELL_M, CELL_M), (cells, cells))
    anchors = anchor_grid(SecondSettings(), SIX_GROUPS, FACTS, grid)
    return [_row(f"{n} objects", _objects(n, reach), anchors, rounds) for n in (FEW, MANY)]


def _row(what: str, objects: _Objects, anchors: AnchorGrid, rounds: int) -> Row:
    ours = _ours(objects, anchors)
    assert torch.equal(ours, _dense(objects, anchors, torch.float64))
    work: dict[str, Callable[[], object]] = {
        "ours": lambda: assign(objects.boxes, objects.label, objects.frame, anchors),
        "dense": lambda: _dense(objects, anchors, torch.float32),
    }
    timings = interleave(work, rounds=rounds)
    note = (
        f"{timings.sample('ours', 1e3).median:.1f} ms for {FRAMES} frames of {anchors.n_anchors} "
        f"anchors; {int((ours >= 0).sum())} learn"
    )
    ratio = timings.ratio("dense", "ours")
    return Row.of(f"anchors/assignment of {what} over dense", ratio, "x", at_least=1, note=note)


def _objects(n_objects: int, reach: float) -> _Objects:
    """Objects of all classes, about as large as their anchors, anywhere on the map."""
    generator = torch.Generator().manual_seed(0)
    boxes = torch.rand(FRAMES * n_objects, 9, generator=generator)
    label = torch.randint(0, len(NAMES), (len(boxes),), generator=generator)
    size = torch.tensor([one.size for one in map(SecondSettings().anchors.get, NAMES) if one])
    boxes[:, :2] = (2 * boxes[:, :2] - 1) * reach
    boxes[:, 3:6] = size[label] * (0.8 + 0.4 * boxes[:, 3:6])
    boxes[:, 6] *= 6.28
    return _Objects(boxes, label, torch.arange(FRAMES).repeat_interleave(n_objects))


def _ours(objects: _Objects, anchors: AnchorGrid) -> Tensor:
    """Object of every anchor; -1 background, -2 ignored."""
    found = assign(objects.boxes, objects.label, objects.frame, anchors)
    learnt = torch.full((FRAMES * anchors.n_anchors,), -1)
    learnt[found.positive], learnt[found.ignored] = found.object, -2
    return learnt


def _dense(objects: _Objects, anchors: AnchorGrid, dtype: torch.dtype) -> Tensor:
    """The same from whole matrices."""
    standing = anchors.boxes(torch.arange(anchors.n_anchors)).to(dtype)
    standing = standing.view(len(NAMES), -1, 7)
    parts = []
    for frame in range(FRAMES):
        for label in range(len(NAMES)):
            rows = ((objects.frame == frame) & (objects.label == label)).nonzero()[:, 0]
            slot = int(anchors.first_slot[label])
            level = float(anchors.positive[slot]), float(anchors.negative[slot])
            boxes = objects.boxes[rows].to(dtype)
            parts.append(_class(standing[slot // anchors.rotations], boxes, rows, level))
    return torch.cat(parts)


def _class(anchors: Tensor, boxes: Tensor, rows: Tensor, level: tuple[float, float]) -> Tensor:
    learnt = torch.full((len(anchors),), -1)
    if not len(rows):
        return learnt
    (low, high), (left, right) = _corners(anchors), _corners(boxes)
    side = torch.minimum(high[:, None], right) - torch.maximum(low[:, None], left)
    shared = side.clamp_min(0).prod(2)
    iou = shared / ((high - low).prod(1)[:, None] + (right - left).prod(1) - shared)
    best, row = iou.max(1)
    top = iou.max(0).values * (1 - TIE)
    learnt[best >= level[1]] = -2
    learns = (best >= level[0]) | ((iou >= top) & (iou > 0)).any(1)
    learnt[learns] = rows[row[learns]]
    return learnt


def _corners(boxes: Tensor) -> tuple[Tensor, Tensor]:
    half = upright(boxes[:, 3], boxes[:, 4], boxes[:, 6]) / 2
    return boxes[:, :2] - half, boxes[:, :2] + half
