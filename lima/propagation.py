"""LiMA's long-term propagation: what was seen now and before becomes one target per point.

A `Sight` of now + the `Past` of the bank -> `target_points`, `fill_targets`. Rules:
methods-temporal 3.4. The published figure shows a box named "feature pooling" without parameters,
so the plain mean over the frames that reach a point is the default and the others are axes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lima_bench.lima.blocks import blocks
from lima_bench.lima.cross_view import Sight
from lima_bench.lima.losses import unit
from lima_bench.lima.methods.catalogue import LimaSettings

_SHARPNESS = 0.1  # softmax_sim's temperature; assumed


@dataclass(frozen=True)
class Past:
    """What one past frame gives to the points of a scan.

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
    """Write the targets of one scan into `out`, frame after frame and a block of rows at a time.

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
    n_seen, width = len(now.point), out.shape[1]
    targets = torch.arange(len(point), device=point.device)
    out[n_seen:] = -torch.inf if settings.pool == "max" else 0.0
    for part in blocks(targets[:n_seen], width):
        out[part[0] : part[-1] + 1] = now.features(part)
    weight = (targets < n_seen).to(out.dtype)
    for frame in past:
        _add(out, weight, point, now, frame, settings)
    if past and settings.pool != "max":
        out /= weight[:, None]


def _add(
    out: Float[Tensor, "targets width"],
    weight: Float[Tensor, " targets"],
    point: Int[Tensor, " targets"],
    now: Sight,
    frame: Past,
    settings: LimaSettings,
) -> None:
    """Add what one past frame gives."""
    rows = frame.rows[point]
    reached = torch.nonzero(rows >= 0).squeeze(1)
    sight = frame.sight.unpacked(out.dtype)
    for part in blocks(reached, out.shape[1]):
        lent = sight.features(rows[part])
        if settings.pool == "max":
            out[part] = torch.maximum(out[part], lent)
            continue
        share = _share(lent, part, now, frame.age, settings)
        if share is not None:
            weight.index_add_(0, part, share)
            lent *= share[:, None]
        else:
            weight[part] += 1
        out.index_add_(0, part, lent)


def _share(
    lent: Float[Tensor, "lent width"],
    target: Int[Tensor, " lent"],
    now: Sight,
    age: int,
    settings: LimaSettings,
) -> Float[Tensor, " lent"] | None:
    """The weight of each lent feature, relative to a current feature's 1; None: all 1."""
    if settings.pool == "mean":
        return None
    ones = lent.new_ones(len(lent))
    if settings.pool == "decay":
        return ones * settings.decay**age
    seen = target < len(now.point)
    share = ones
    cosine = (unit(now.features(target[seen])) * unit(lent[seen])).sum(dim=1)
    if settings.pool == "sim_gate":
        share[seen] = (cosine >= settings.sim_threshold).to(ones.dtype)
    else:
        share[seen] = ((cosine - 1) / _SHARPNESS).exp()
    return share
