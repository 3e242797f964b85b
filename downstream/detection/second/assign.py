"""Which anchor learns which object: overlap of upright rectangles, seen from above, class by class.

Offers `assign` and `Assignment`. An anchor that overlaps an object of its class by the positive
threshold or more learns the one it overlaps most; so does, below the threshold, each anchor that no
other surpasses for some object. Below the negative threshold an anchor is background, and between
the two it learns nothing (OpenPCDet, pcdet/models/dense_heads/target_assigner/
axis_aligned_target_assigner.py; detection 4).

Anchors stand on a grid, so an object meets a small rectangle of rows and columns. Only those pairs
are ever made, for all classes and frames at once: hundreds per object instead of 32,768.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lima_bench.downstream.detection.second.anchors import AnchorGrid, upright

TIE = 1e-4
"""Overlaps this near, relatively, are equal. In float32 a box 50 m away is off by micrometres, and
rounding must not choose among the anchors around it; the published code compares exactly."""


@dataclass(frozen=True)
class Assignment:
    """What the anchors of some frames learn; those in neither list are background.

    Attributes:
        positive: Anchors that learn an object, by number, ascending.
        object: Row of the object that each of them learns.
        ignored: Anchors that learn nothing, by number, ascending.
    """

    positive: Int[Tensor, " positive"]
    object: Int[Tensor, " positive"]
    ignored: Int[Tensor, " ignored"]


@dataclass(frozen=True)
class _Pairs:
    """Anchors that overlap objects of their class."""

    anchor: Int[Tensor, " pairs"]
    object: Int[Tensor, " pairs"]
    iou: Float[Tensor, " pairs"]


def assign(
    boxes: Float[Tensor, "objects 9"],
    label: Int[Tensor, " objects"],
    frame: Int[Tensor, " objects"],
    grid: AnchorGrid,
) -> Assignment:
    """Let every object find its anchors.

    Objects without a volume, of a class that no group has, or out of all anchors' reach are learnt
    by none. Of objects that an anchor overlaps equally, it learns the first.

    Args:
        boxes: `lima_bench.downstream.detection.boxes.COLUMNS`.
        label: Class of each.
        frame: The frame of each, from 0; anchors are numbered through all frames.
        grid: The anchors of a frame, on the same device.
    """
    pairs = _pairs(boxes, label, frame, grid)
    anchors, at = torch.unique(pairs.anchor, return_inverse=True)
    best = pairs.iou.new_zeros(len(anchors)).scatter_reduce(0, at, pairs.iou, "amax")
    nearest = pairs.iou.new_zeros(len(boxes)).scatter_reduce(0, pairs.object, pairs.iou, "amax")
    forced = torch.zeros_like(anchors, dtype=torch.bool)
    forced[at[pairs.iou >= nearest[pairs.object] * (1 - TIE)]] = True
    learnt = at.new_full((len(anchors),), len(boxes))
    most = pairs.iou == best[at]
    learnt = learnt.scatter_reduce(0, at[most], pairs.object[most], "amin")
    slot = grid.places(anchors)[1]
    positive = forced | (best >= grid.positive[slot])
    ignored = ~positive & (best >= grid.negative[slot])
    return Assignment(anchors[positive], learnt[positive], anchors[ignored])


def _pairs(
    boxes: Float[Tensor, "objects 9"],
    label: Int[Tensor, " objects"],
    frame: Int[Tensor, " objects"],
    grid: AnchorGrid,
) -> _Pairs:
    """Every anchor and object with an overlap above 0."""
    first = grid.first_slot[label]
    rows = ((first >= 0) & (boxes[:, 3:6] > 0).all(1)).nonzero()[:, 0]
    slot = (first[rows, None] + torch.arange(grid.rotations, device=rows.device)).flatten()
    rows = rows.repeat_interleave(grid.rotations)
    middle, size = boxes[rows, :2].double(), boxes[rows, 3:5].double()
    extent = upright(size[:, 0], size[:, 1], boxes[rows, 6].double())
    anchor = upright(*grid.slots[slot][:, [1, 2, 4]].unbind(1))
    reach = (extent + anchor) / 2
    entry, row, column = _windows(middle, reach, grid)
    away = torch.stack((grid.x[column], grid.y[row]), 1) - middle[entry]
    side = torch.minimum(reach[entry] - away.abs(), torch.minimum(extent, anchor)[entry])
    shared = side.clamp_min(0).prod(1)
    iou = shared / ((extent.prod(1) + anchor.prod(1))[entry] - shared)
    slots, n_rows, n_columns = grid.shape
    number = ((frame[rows] * slots + slot)[entry] * n_rows + row) * n_columns + column
    met = iou > 0
    return _Pairs(number[met], rows[entry][met], iou[met])


def _windows(
    middle: Float[Tensor, "entries 2"], reach: Float[Tensor, "entries 2"], grid: AnchorGrid
) -> tuple[Int[Tensor, " cells"], Int[Tensor, " cells"], Int[Tensor, " cells"]]:
    """Entry, row and column of every cell within reach, entry by entry."""
    lower, upper = (middle - reach).T.contiguous(), (middle + reach).T.contiguous()
    left, right = (torch.searchsorted(grid.x, side[0]) for side in (lower, upper))
    below, above = (torch.searchsorted(grid.y, side[1]) for side in (lower, upper))
    n_columns = right - left
    n_cells = n_columns * (above - below)
    entry = torch.arange(len(middle), device=middle.device).repeat_interleave(n_cells)
    within = torch.arange(len(entry), device=entry.device)
    within = within - (n_cells.cumsum(0) - n_cells)[entry]
    row = below[entry] + within // n_columns[entry]
    return entry, row, left[entry] + within % n_columns[entry]
