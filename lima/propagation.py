"""LiMA's long-term propagation: what was seen now and before becomes one target per point.

`Observed` now + keyframes of the bank -> `propagate` -> targets. Rules: methods-temporal 3.4. The
published figure shows a box named "feature pooling" without parameters, so the plain mean over the
frames that reach a point is the default and the others are axes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lima_bench.lima.align import Aligner, PlacedCloud
from lima_bench.lima.cross_view import Observed
from lima_bench.lima.losses import unit
from lima_bench.lima.memory import Keyframe
from lima_bench.lima.methods.catalogue import LimaSettings

_SHARPNESS = 0.1  # softmax_sim's temperature; assumed


@dataclass(frozen=True)
class Lent:
    """What one past frame gives to the points that it reaches.

    Attributes:
        slot: The reached slots, each once.
        features: What each is given.
        age: Frames between then and now.
    """

    slot: Int[Tensor, " lent"]
    features: Float[Tensor, "lent width"]
    age: int


def propagate(
    now: Observed,
    cloud: PlacedCloud,
    past: Sequence[tuple[int, Keyframe]],
    aligner: Aligner,
    settings: LimaSettings,
) -> Observed:
    """The targets of one scan.

    Args:
        now: What its cameras say; `Observed.point` counts rows of `cloud`.
        cloud: All points of the scan.
        past: (age in frames, keyframe) of the bank, in any order.
        aligner: Finds the past point of each current one.
        settings: `coverage`, `pool` and its parameters are read.
    """
    if not past:
        return now
    point = now.point.cpu().numpy()
    asked = np.arange(len(cloud.xyz)) if settings.coverage == "union" else np.unique(point)
    subject = PlacedCloud(cloud.xyz[asked], cloud.lidar_to_global)
    found = np.full((len(past), len(cloud.xyz)), -1, dtype=np.int64)
    for row, (_, frame) in zip(found, past, strict=True):
        row[asked] = aligner.nearest(subject, frame.cloud)
    slots = np.concatenate([point, _unseen_but_reached(found, point)])
    lent = [
        _lend(places[slots], age, frame, now.features)
        for places, (age, frame) in zip(found, past, strict=True)
    ]
    features = now.features.new_zeros((len(slots), now.features.shape[1]))
    features[: len(point)] = now.features
    seen = torch.arange(len(slots), device=features.device) < len(point)
    pooled = pool(features, seen, lent, settings)
    return Observed(torch.from_numpy(slots).to(now.point.device), pooled)


def _unseen_but_reached(
    found: npt.NDArray[np.int64], seen: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    reached = (found >= 0).any(axis=0)
    reached[seen] = False
    unseen: npt.NDArray[np.int64] = np.nonzero(reached)[0]
    return unseen


def _lend(
    places: npt.NDArray[np.int64], age: int, frame: Keyframe, like: Float[Tensor, "seen width"]
) -> Lent:
    slot = np.nonzero(places >= 0)[0]
    rows = torch.from_numpy(places[slot]).to(frame.features.device)
    features = frame.features[rows].to(device=like.device, dtype=like.dtype)
    return Lent(torch.from_numpy(slot).to(like.device), features, age)


def pool(
    current: Float[Tensor, "slots width"],
    seen: Bool[Tensor, " slots"],
    lent: Sequence[Lent],
    settings: LimaSettings,
) -> Float[Tensor, "slots width"]:
    """One feature per slot from the current one (where `seen`) and those lent by the past.

    Every slot must be seen or reached. ``mean``: all count alike. ``decay``: a past frame counts
    ``decay ** age``. ``sim_gate``: it counts only if its cosine with the current feature is at
    least `sim_threshold`. ``softmax_sim``: weights are the softmax of that cosine over 0.1, the
    current frame's own being 1. The last two count alike what has no current feature. ``max``: the
    largest value per channel.
    """
    if settings.pool == "max":
        best = torch.where(seen[:, None], current, torch.full_like(current, -torch.inf))
        for one in lent:
            best[one.slot] = torch.maximum(best[one.slot], one.features)
        return best
    total = current * seen[:, None]
    weight = seen.to(current.dtype)
    for one in lent:
        share = _share(one, current, seen, settings)
        total.index_add_(0, one.slot, one.features * share[:, None])
        weight.index_add_(0, one.slot, share)
    return total / weight[:, None]


def _share(
    lent: Lent,
    current: Float[Tensor, "slots width"],
    seen: Bool[Tensor, " slots"],
    settings: LimaSettings,
) -> Float[Tensor, " lent"]:
    """The weight of each lent feature, relative to a current feature's 1."""
    ones = lent.features.new_ones(len(lent.slot))
    if settings.pool == "mean":
        return ones
    if settings.pool == "decay":
        return ones * settings.decay**lent.age
    cosine = (unit(current[lent.slot]) * unit(lent.features)).sum(dim=1)
    if settings.pool == "sim_gate":
        share = (cosine >= settings.sim_threshold).to(ones.dtype)
    else:
        share = ((cosine - 1) / _SHARPNESS).exp()
    return torch.where(seen[lent.slot], share, ones)
