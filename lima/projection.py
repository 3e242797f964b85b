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
from lima_bench.lima.losses import DISTANCES, TINY, DistanceKind, widen

_SLOPES: dict[str, Callable[[Float[Tensor, " rows"]], Float[Tensor, " rows"]]] = {
    "l2norm": lambda distance: (distance > 0) / distance.clamp_min(TINY),
    "cosine": torch.ones_like,
    "mse": lambda distance: torch.full_like(distance, 2.0),
    "smooth_l1": lambda distance: 1 / distance.clamp_min(1.0),
}
"""Of each of `DISTANCES`, its derivative divided by the distance."""


def projected_distances(
    points: Float[Tensor, "rows narrow"],
    head: nn.Linear,
    targets: Float[Tensor, "targets width"],
    met: Int[Tensor, " rows"],
    kind: DistanceKind = "l2norm",
) -> Float[Tensor, " rows"]:
    """`lima_bench.lima.losses.unit_distances` of ``head(points)`` to ``targets[met]``.

    Gradients flow into points and head; never into targets.
    """
    found: Tensor = _Projected.apply(points, head.weight, head.bias, targets.detach(), met, kind)  # type: ignore[no-untyped-call]
    return found


class _Projected(Function):
    @staticmethod
    def forward(
        ctx: Any,
        points: Float[Tensor, "rows narrow"],
        weight: Float[Tensor, "width narrow"],
        bias: Float[Tensor, " width"] | None,
        targets: Float[Tensor, "targets width"],
        met: Int[Tensor, " rows"],
        kind: DistanceKind,
    ) -> Float[Tensor, " rows"]:
        projected = F.linear(points[:0], weight, bias).dtype  # half precision under autocast
        found = widen(targets[:0]).new_empty(len(points))
        for part in block_slices(len(points), len(weight), points.device):
            apart, _, _ = _apart(F.linear(points[part], weight, bias), targets[met[part]])
            found[part] = torch.linalg.vector_norm(apart, dim=1)
        ctx.save_for_backward(points, weight, bias, targets, met, found)
        ctx.kind, ctx.projected = kind, projected
        return DISTANCES[kind](found)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Float[Tensor, " rows"]) -> tuple[Tensor | None, ...]:
        points, weight, bias, targets, met, found = ctx.saved_tensors
        slope = grad * _SLOPES[ctx.kind](found)
        narrow, matrix = points.to(ctx.projected), weight.to(ctx.projected)
        shift = None if bias is None else bias.to(ctx.projected)
        grad_points = torch.empty_like(points) if ctx.needs_input_grad[0] else None
        grad_weight, grad_bias = torch.zeros_like(weight), weight.new_zeros(len(weight))
        for part in block_slices(len(points), len(weight), points.device):
            apart, unit, scale = _apart(
                F.linear(narrow[part], matrix, shift), targets[met[part]], keep=True
            )
            # d|u - v| / dp, with u = p / |p|: what of u - v is across u, over |p|.
            along = (apart * unit).sum(dim=1, keepdim=True)
            apart.addcmul_(unit, along, value=-1).mul_(scale * slope[part, None])
            wide = apart.to(ctx.projected)
            if grad_points is not None:
                grad_points[part] = wide @ matrix
            grad_weight += wide.T @ narrow[part]
            grad_bias += apart.sum(dim=0)
        return grad_points, grad_weight, None if bias is None else grad_bias, None, None, None


def _apart(
    projected: Float[Tensor, "some width"], targets: Float[Tensor, "some width"], keep: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """Unit vectors apart (u - v), the first of them, and 1 / length that made it; in place.

    Without `keep` the second is not u.
    """
    unit, target = widen(projected), widen(targets)
    scale, other = _inverse_length(unit), _inverse_length(target)
    unit *= scale
    target *= other
    return (unit - target if keep else unit.sub_(target)), unit, scale


def _inverse_length(vectors: Float[Tensor, "some width"]) -> Float[Tensor, "some 1"]:
    """1 / length; 0 for a zero vector, as in `lima_bench.lima.losses.unit`."""
    length = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    inverse: Tensor = (length > TINY) / length.clamp_min(TINY)
    return inverse
