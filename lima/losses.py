"""How far two sets of features are apart, as one number to learn from: Batch -> method -> Loss.

Offers `unit` (safe L2 normalisation), `unit_distance` and `unit_distances` (regression),
`info_nce` (contrast), `products`, `full_precision` and `mean_or_zero`. Half precision is widened to
float32 first, and autocast does not narrow it again; float64 stays. With no rows at all the loss is
0 and every gradient exists and is 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

DistanceKind = Literal["l2norm", "cosine", "mse", "smooth_l1"]

TINY = 1e-12
"""A shorter vector has no direction."""


def widen(values: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """At least float32: norms and exponentials of half-precision features overflow."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def full_precision(device: torch.device) -> torch.autocast:
    """A context in which mixed precision leaves products as wide as their operands.

    Logits are cosines divided by a small temperature, sums run over thousands of rows: eleven bits
    are too few for either.
    """
    return torch.autocast(device.type, enabled=False)


def products(
    rows: Float[Tensor, "rows width"], others: Float[Tensor, "others width"]
) -> Float[Tensor, "rows others"]:
    """The inner product of every row with every other, at least in float32.

    Over a temperature of 0.07 what half precision rounds off would be a hundredth of a logit.
    """
    with full_precision(rows.device):
        found: Tensor = widen(rows) @ widen(others).T
    return found


def unit(vectors: Float[Tensor, "*rows width"]) -> Float[Tensor, "*rows width"]:
    """Each vector divided by its length; a zero vector stays zero and gets no gradient.

    The usual ``v / max(|v|, eps)`` would hand a zero vector a gradient of 1 / eps.
    """
    found: Tensor = _Unit.apply(widen(vectors))  # type: ignore[no-untyped-call]
    return found


def inverse_length(vectors: Float[Tensor, "*rows width"]) -> Float[Tensor, "*rows 1"]:
    """1 / length of each vector; 0 of a zero vector."""
    length = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    inverse: Float[Tensor, "*rows 1"] = (length > TINY) / length.clamp_min(TINY)
    return inverse


class _Unit(Function):
    """By hand, because what autograd would derive passes over the vectors four times as often."""

    @staticmethod
    def forward(ctx: Any, vectors: Float[Tensor, "*rows width"]) -> Float[Tensor, "*rows width"]:
        scale = inverse_length(vectors)
        made = vectors * scale
        ctx.save_for_backward(made, scale)
        return made

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Float[Tensor, "*rows width"]) -> Float[Tensor, "*rows width"]:
        made, scale = ctx.saved_tensors
        along = torch.linalg.vecdot(made, grad)[..., None]
        across: Tensor = torch.addcmul(grad, made, along, value=-1).mul_(scale)
        return across


def _huber(distance: Float[Tensor, " rows"]) -> Float[Tensor, " rows"]:
    return F.smooth_l1_loss(distance, torch.zeros_like(distance), reduction="none")


DISTANCES: dict[str, Callable[[Float[Tensor, " rows"]], Float[Tensor, " rows"]]] = {
    "l2norm": lambda distance: distance,
    "cosine": lambda distance: distance.square() / 2,
    "mse": torch.square,
    "smooth_l1": _huber,
}


def unit_distances(
    points: Float[Tensor, "rows width"],
    targets: Float[Tensor, "rows width"],
    kind: DistanceKind = "l2norm",
) -> Float[Tensor, " rows"]:
    """Per row a function of ``d = |unit(point) - unit(target)|``, so of the angle only.

    ``d = sqrt(2 - 2 cos)`` lies in 0..2. Kinds: ``l2norm`` is d itself (ScaLR, CVPR 2024), whose
    gradient has bounded size and is 0 at ``d = 0``; ``cosine`` is ``1 - cos = d**2 / 2``; ``mse``
    is ``d**2``; ``smooth_l1`` is the Huber function of d with its bend at 1.
    """
    return DISTANCES[kind](torch.linalg.vector_norm(unit(points) - unit(targets), dim=1))


def unit_distance(
    points: Float[Tensor, "rows width"],
    targets: Float[Tensor, "rows width"],
    kind: DistanceKind = "l2norm",
) -> Float[Tensor, ""]:
    """Mean over rows of `unit_distances`."""
    return mean_or_zero(unit_distances(points, targets, kind))


def mean_or_zero(terms: Float[Tensor, " rows"]) -> Float[Tensor, ""]:
    """The mean; of no terms 0, with zero gradients."""
    return terms.sum() / max(len(terms), 1)


def info_nce(
    anchors: Float[Tensor, "groups width"],
    candidates: Float[Tensor, "groups width"],
    temperature: float,
) -> Float[Tensor, ""]:
    """Mean of ``-log softmax(anchor . candidates / temperature)`` at the anchor's own candidate.

    One direction only: every candidate is a negative of every other anchor, never the reverse.
    Vectors are taken as they come, not normalised. One group gives 0: nothing to tell apart.
    """
    if len(anchors) == 0:
        return (anchors.sum() + candidates.sum()) * 0.0
    logits = products(widen(anchors) / temperature, candidates)
    return F.cross_entropy(logits, torch.arange(len(anchors), device=logits.device))
