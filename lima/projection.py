"""Distance of a student's points to a wide teacher's features, never all of them side by side.

Offers `projected_distances`. A teacher is up to ten times as wide as a student: half a dozen
matrices of points by teacher channels would be the largest thing in a step, and most of its time
would go into moving them. Rows are taken a block at a time, which stays in the cache, and backward
makes each block again from the student's own, narrow features.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from lima_bench.lima.blocks import block_slices
from lima_bench.lima.losses import DISTANCES, TINY, DistanceKind, inverse_length, widen

_SLOPES: dict[str, Callable[[Float[Tensor, " rows"]], Float[Tensor, " rows"]]] = {
    "l2norm": lambda distance: (distance > 0) / distance.clamp_min(TINY),
    "cosine": torch.ones_like,
    "mse": lambda distance: torch.full_like(distance, 2.0),
    "smooth_l1": lambda distance: 1 / distance.clamp_min(1.0),
}
"""Of each of `DISTANCES`, its derivative divided by the distance."""


def projected_distances(
    points: Float[Tensor, "points narrow"],
    rows: Int[Tensor, " meetings"],
    head: nn.Linear,
    targets: Float[Tensor, "targets width"],
    met: Int[Tensor, " meetings"],
    kind: DistanceKind = "l2norm",
) -> Float[Tensor, " meetings"]:
    """`lima_bench.lima.losses.unit_distances` of ``head(points[rows])`` to ``targets[met]``.

    Gradients flow into points and head; never into targets, which are brought to unit length in
    place: a point of several views meets its target as often.
    """
    found: Tensor = _Projected.apply(  # type: ignore[no-untyped-call]
        points, rows, head.weight, head.bias, targets.detach(), met, kind
    )
    return found


def _directions(targets: Float[Tensor, "targets width"]) -> tuple[Tensor, Tensor]:
    """The targets at unit length, in place, and which of them have a direction at all (0 or 1)."""
    targets = widen(targets)
    there = targets.new_empty(len(targets))
    for part in block_slices(len(targets), targets.shape[1], targets.device):
        scale = inverse_length(targets[part])
        targets[part] *= scale
        there[part] = (scale > 0).squeeze(1)
    return targets, there


class _Projected(Function):
    @staticmethod
    def forward(
        ctx: Any,
        points: Float[Tensor, "points narrow"],
        rows: Int[Tensor, " meetings"],
        weight: Float[Tensor, "width narrow"],
        bias: Float[Tensor, " width"] | None,
        targets: Float[Tensor, "targets width"],
        met: Int[Tensor, " meetings"],
        kind: DistanceKind,
    ) -> Float[Tensor, " meetings"]:
        directions, there = _directions(targets)
        ctx.dtype = F.linear(points[:0], weight).dtype  # half precision under autocast
        matrix = _matrix(weight, bias, ctx.dtype)
        distance, scale = (directions.new_empty(len(rows)) for _ in range(2))
        for part in block_slices(len(rows), len(weight), points.device):
            projected = widen(_extended(points, rows[part], matrix) @ matrix.T)
            length = inverse_length(projected)
            apart = directions.index_select(0, met[part]).addcmul_(projected, length, value=-1)
            distance[part] = torch.linalg.vector_norm(apart, dim=1)
            scale[part] = length.squeeze(1)
        ctx.save_for_backward(points, rows, weight, bias, directions, there, met, distance, scale)
        ctx.kind = kind
        return DISTANCES[kind](distance)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Float[Tensor, " meetings"]) -> tuple[Tensor | None, ...]:
        points, rows, weight, bias, directions, there, met, distance, scale = ctx.saved_tensors
        # With u = p / |p| and v the target, d|u - v| / dp = ((u . v) u - v) / (|p| |u - v|).
        pull = grad * _SLOPES[ctx.kind](distance) * scale * there[met]
        cosine = 1 - distance.square() / 2
        inward, outward = -pull[:, None], (pull * cosine * scale)[:, None]
        matrix = _matrix(weight, bias, ctx.dtype)
        grad_points = torch.zeros_like(points)
        grad_matrix = torch.zeros_like(matrix, dtype=weight.dtype)
        for part in block_slices(len(rows), len(weight), points.device):
            extended = _extended(points, rows[part], matrix)
            projected = widen(extended @ matrix.T)
            wide = directions.index_select(0, met[part]).mul_(inward[part])
            wide = wide.addcmul_(projected, outward[part]).to(ctx.dtype)
            narrow = (wide @ matrix[:, : weight.shape[1]]).to(points.dtype)
            grad_points.index_add_(0, rows[part], narrow)
            grad_matrix += wide.T @ extended
        grad_weight = grad_matrix[:, : weight.shape[1]]
        grad_bias = None if bias is None else grad_matrix[:, -1]
        return grad_points, None, grad_weight, grad_bias, None, None, None


def _matrix(
    weight: Float[Tensor, "width narrow"], bias: Float[Tensor, " width"] | None, dtype: torch.dtype
) -> Float[Tensor, "width columns"]:
    """The weight, with the bias as one more column."""
    return (weight if bias is None else torch.cat([weight, bias[:, None]], dim=1)).to(dtype)


def _extended(
    points: Float[Tensor, "points narrow"],
    rows: Int[Tensor, " some"],
    matrix: Float[Tensor, "width columns"],
) -> Float[Tensor, "some columns"]:
    """Some points, with a 1 for the bias where the matrix has one."""
    asked = points.index_select(0, rows).to(matrix.dtype)
    return asked if asked.shape[1] == matrix.shape[1] else F.pad(asked, (0, 1), value=1.0)
