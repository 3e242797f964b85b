"""LiMA's long-term propagation: what was seen now and before becomes one target per point.

A `Sight` of now + the `Past` of the bank -> `target_points`, `fill_targets`, and, where a voxel
gets one target for all of its points, `averaged_by_voxel`. Rules: methods-temporal 3.4. The
published figure shows a box named "feature pooling" without parameters, so the plain mean over the
frames that reach a point is the default and the others are axes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lima_bench.lima.blocks import block_slices
from lima_bench.lima.cross_view import Sight
from lima_bench.lima.losses import unit
from lima_bench.lima.methods.cards.lima import LimaSettings

_SHARPNESS = 0.1  # softmax_sim's temperature; assumed
_BY_LIKENESS = ("sim_gate", "softmax_sim")


@dataclass(frozen=True)
class Past:
    """What one past frame gives to the points of a scan; a later one where the window is centred.

    Attributes:
        age: Frames between then and now.
        sight: What cameras saw then.
        rows: For each point of the scan, its row of `sight`, or -1 if the frame does not reach it.
    """

    age: int
    sight: Sight
    rows: Int[Tensor, " points"]


def target_points(
    now: Sight, past: Sequence[Past], n_points: int, settings: LimaSettings
) -> Int[Tensor, " targets"]:
    """The point that each target of a scan is for: those seen now, then those only remembered.

    Args:
        now: What the scan's cameras say.
        past: Frames of the bank.
        n_points: Points of the scan.
        settings: `coverage` is read.
    """
    if settings.coverage == "current" or not past:
        return now.point
    reached = torch.zeros(n_points, dtype=torch.bool, device=now.point.device)
    for frame in past:
        reached |= frame.rows >= 0
    reached[now.point] = False
    return torch.cat([now.point, torch.nonzero(reached).squeeze(1)])


def fill_targets(
    out: Float[Tensor, "targets width"],
    point: Int[Tensor, " targets"],
    now: Sight,
    past: Sequence[Past],
    settings: LimaSettings,
) -> None:
    """Write the targets of one scan into `out`, a block of rows at a time.

    ``mean``: all frames that reach a point count alike. ``decay``: a past frame counts
    ``decay ** age``. ``sim_gate``: it counts only if its cosine with the current feature is at
    least `sim_threshold`. ``softmax_sim``: weights are the softmax of that cosine over 0.1, the
    current frame's own being 1. The last two count alike what has no current feature. ``max``: the
    largest value per channel.

    Args:
        out: Where to write.
        point: As `target_points` gives them.
        now: What the scan's cameras say.
        past: Frames of the bank.
        settings: `pool` and its parameters are read.
    """
    parts = list(block_slices(len(point), out.shape[1], out.device))
    weight = out.new_zeros(len(out))
    weight[: len(now)] = 1.0
    for part in parts:
        current = _current(now, part)
        out[part.start : part.start + len(current)] = current
        out[part.start + len(current) : part.stop] = -torch.inf if settings.pool == "max" else 0.0
    for frame in past:
        # One frame after the other: only one frame's grids are ever in full precision.
        lender = _Lender.of(frame, point, parts, out.dtype)
        for number, part in enumerate(parts):
            slot, lent = lender.of_block(number)
            current = _current(now, part) if settings.pool in _BY_LIKENESS else lent[:0]
            slot = slot - part.start
            _pool(out[part], weight[part], current, slot, lent, frame.age, settings)
    if past and settings.pool != "max":
        for part in parts:
            out[part] /= weight[part, None]


def averaged_by_voxel(
    rows: Int[Tensor, " meetings"],
    met: Int[Tensor, " meetings"],
    voxel: Int[Tensor, " rows"],
    features: Float[Tensor, "targets width"],
) -> tuple[Int[Tensor, " voxels"], Int[Tensor, " voxels"], Float[Tensor, "voxels width"]]:
    """One target per voxel of the student's input: the mean of those that its rows meet.

    Rows without a voxel, which lie beyond a grid that has bounds, are left out.

    Args:
        rows: Rows of the student's input, with `met`: which target each meets.
        met: As many.
        voxel: Of each row; -1 for none.
        features: Of each target.

    Returns:
        A row of each voxel that meets any target, the target of each, and their features.
    """
    inside = torch.nonzero(voxel[rows] >= 0).squeeze(1)
    rows, met = rows[inside], met[inside]
    taken, group = torch.unique(voxel[rows], return_inverse=True)
    first = torch.full_like(taken, len(rows))
    place = torch.arange(len(rows), device=rows.device)
    first = first.scatter_reduce(0, group, place.to(first.dtype), "amin")
    total = features.new_zeros((len(taken), features.shape[1]))
    for part in block_slices(len(rows), features.shape[1], features.device):
        total.index_add_(0, group[part], features[met[part]])
    total /= torch.bincount(group, minlength=len(taken)).clamp(min=1)[:, None]
    return rows[first.long()], torch.arange(len(taken), device=rows.device), total


def _current(now: Sight, part: slice) -> Float[Tensor, "seen width"]:
    """The features of those targets of a block that are seen now; they come first of all."""
    return now.features(min(part.start, len(now)), min(part.stop, len(now)))


@dataclass(frozen=True)
class _Lender:
    """A past frame, asked once for all targets that it reaches.

    Attributes:
        slot: The targets that it reaches, ascending.
        sight: What it says of each.
        bounds: Where the slots of each block of targets begin, and their number at the end.
    """

    slot: Int[Tensor, " lent"]
    sight: Sight
    bounds: list[int]

    @classmethod
    def of(
        cls,
        frame: Past,
        point: Int[Tensor, " targets"],
        parts: Sequence[slice],
        dtype: torch.dtype,
    ) -> _Lender:
        """`frame` as seen from the targets for `point`."""
        rows = frame.rows.index_select(0, point)
        slot = torch.nonzero(rows >= 0).squeeze(1)
        edges = torch.tensor([*(part.start for part in parts), len(point)], device=slot.device)
        bounds: list[int] = torch.searchsorted(slot, edges).tolist()
        sight = frame.sight.unpacked(dtype).take(rows.index_select(0, slot))
        return cls(slot, sight, bounds)

    def of_block(self, number: int) -> tuple[Int[Tensor, " lent"], Float[Tensor, "lent width"]]:
        """Targets of one block, and what each is lent."""
        first, last = self.bounds[number : number + 2]
        return self.slot[first:last], self.sight.features(first, last)


def _pool(
    block: Float[Tensor, "targets width"],
    weight: Float[Tensor, " targets"],
    current: Float[Tensor, "seen width"],
    slot: Int[Tensor, " lent"],
    lent: Float[Tensor, "lent width"],
    age: int,
    settings: LimaSettings,
) -> None:
    """Let one past frame's features into a block of targets, the first of which have `current`."""
    if settings.pool == "max":
        block[slot] = torch.maximum(block[slot], lent)
        return
    share = lent.new_ones(len(lent))
    if settings.pool == "decay":
        share *= settings.decay**age
    if settings.pool in _BY_LIKENESS:
        n_seen = int(torch.searchsorted(slot, len(current)))
        cosine = (unit(current[slot[:n_seen]]) * unit(lent[:n_seen])).sum(dim=1)
        gated = settings.pool == "sim_gate"
        share[:n_seen] = (
            cosine >= settings.sim_threshold if gated else ((cosine - 1) / _SHARPNESS).exp()
        )
    if settings.pool != "mean":
        lent *= share[:, None]
    weight.index_add_(0, slot, share)
    block.index_add_(0, slot, lent)
