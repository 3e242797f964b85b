"""Soft walks from features to features and back, that should end where they began.

Offers `round_trips` (the loss of each walk) and `best_matches`. Source: methods-spatial 4.3.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from lima_bench.lima.blocks import block_slices, softmax_
from lima_bench.lima.losses import full_precision, widen

FLOOR = 1e-20
"""Added to a probability before its logarithm, as published."""


def round_trips(
    start: Float[Tensor, "walks width"],
    through: Float[Tensor, "stations width"],
    end: Float[Tensor, "walks width"],
    temperature: float,
) -> Float[Tensor, " walks"]:
    """``-log(J_ii + 1e-20)``, where ``J = A B`` are the odds of a walk from start i to end i'.

    ``A = softmax(start . through / temperature)`` leads from each start to all stations,
    ``B = softmax(through . end / temperature)`` from each station to the ends. Only the diagonal
    of J is made, some stations at a time, so no matrix of walks by stations has to be kept.

    Args:
        start: Unit features.
        through: Unit features, at least one.
        end: Unit features; row i is where walk i should end.
        temperature: Of both steps.
    """
    if len(start) == 0:
        return start.sum(dim=1)
    with full_precision(start.device):
        start, end = widen(start) / temperature, widen(end) / temperature
        odds: Tensor = _Returns.apply(start, widen(through), end)  # type: ignore[no-untyped-call]
        return -(odds + FLOOR).log()


class _Returns(Function):
    """For each walk, J_ii. In the code rows are stations: ``away`` is A, ``back`` is B."""

    @staticmethod
    def forward(
        ctx: Any,
        start: Float[Tensor, "walks width"],
        through: Float[Tensor, "stations width"],
        end: Float[Tensor, "walks width"],
    ) -> Float[Tensor, " walks"]:
        # Of each walk, sums over the stations so far of exp(product - top), and of that times B.
        top = start.new_full((len(start),), -torch.inf)
        leaving, returned = torch.zeros_like(top), torch.zeros_like(top)
        log_back = through.new_empty(len(through))  # of each station, the denominator of B
        for part in block_slices(len(through), len(start), through.device):
            away, back = through[part] @ start.T, through[part] @ end.T
            log_back[part] = softmax_(back)
            before, top = top, torch.maximum(top, away.amax(dim=0))
            faded = (before - top).exp_()
            leaving.mul_(faded).add_(away.sub_(top).exp_().sum(dim=0))
            returned.mul_(faded).add_(away.mul_(back).sum(dim=0))
        odds = returned / leaving
        ctx.save_for_backward(start, through, end, top + leaving.log(), log_back, odds)
        return odds

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Float[Tensor, " walks"]) -> tuple[Tensor, Tensor, Tensor]:
        start, through, end, log_away, log_back, odds = ctx.saved_tensors
        grad_start, grad_end = torch.zeros_like(start), torch.zeros_like(end)
        grad_through = torch.empty_like(through)
        for part in block_slices(len(through), len(start), through.device):
            here = through[part]
            away = (here @ start.T).sub_(log_away).exp_()
            back = (here @ end.T).sub_(log_back[part, None]).exp_()
            both = (away * back).mul_(grad)
            # Through a softmax: what reaches it, less its mean over what the softmax divides among.
            torch.sub(both, back.mul_(both.sum(dim=1, keepdim=True)), out=back)
            torch.sub(both, away.mul_(grad * odds), out=away)
            grad_through[part] = torch.addmm(away @ start, back, end)
            grad_start.addmm_(away.T, here)
            grad_end.addmm_(back.T, here)
        return grad_start, grad_through, grad_end


@torch.no_grad()
def best_matches(
    features: Float[Tensor, "rows width"], others: Float[Tensor, "others width"]
) -> tuple[Int[Tensor, " rows"], Float[Tensor, " rows"]]:
    """For each row, the one of `others` (at least one) with the largest product, and that."""
    found = torch.empty(len(features), dtype=torch.int64, device=features.device)
    score = torch.empty_like(found, dtype=features.dtype)
    with full_precision(features.device):
        for part in block_slices(len(features), len(others), features.device):
            score[part], found[part] = (features[part] @ others.T).max(dim=1)
    return found, score
