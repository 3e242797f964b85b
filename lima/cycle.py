"""Soft walks from features to features and back, that should end where they began.

Offers `round_trips` (the loss of each walk) and `best_matches`. Source: methods-spatial 4.3.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lima_bench.lima.blocks import block_slices
from lima_bench.lima.log_sums import log_sum_exp_products
from lima_bench.lima.losses import widen

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
    of J is made, by logarithms: with a_i and b_j those of the two denominators, ``log J_ii`` is
    the log sum over j of ``exp((start_i + end_i) . through_j / temperature - b_j)``, less a_i.
    So no matrix of walks by stations has to be kept.

    Args:
        start: Unit features.
        through: Unit features, at least one.
        end: Unit features; row i is where walk i should end.
        temperature: Of both steps.
    """
    start, end = widen(start) / temperature, widen(end) / temperature
    leaving = log_sum_exp_products(start, through)
    returning = log_sum_exp_products(through, end)
    both = log_sum_exp_products(start + end, through, -returning)
    arrived = both - leaving
    return -torch.logaddexp(arrived, arrived.new_tensor(math.log(FLOOR)))


@torch.no_grad()
def best_matches(
    features: Float[Tensor, "rows width"], others: Float[Tensor, "others width"]
) -> tuple[Int[Tensor, " rows"], Float[Tensor, " rows"]]:
    """For each row, the one of `others` (at least one) with the largest product, and that."""
    found = torch.empty(len(features), dtype=torch.int64, device=features.device)
    score = torch.empty_like(found, dtype=features.dtype)
    for part in block_slices(len(features), len(others), features.device):
        score[part], found[part] = (features[part] @ others.T).max(dim=1)
    return found, score
