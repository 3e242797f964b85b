"""Softmax denominators over large sets of features, without a matrix of all pairs in memory.

Offers `log_sum_exp_products` and `contrast`, which is `lima_bench.lima.losses.info_nce` for sets
too large for its matrix.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from lima_bench.lima.blocks import block_slices
from lima_bench.lima.losses import mean_or_zero, widen


def log_sum_exp_products(
    queries: Float[Tensor, "queries width"],
    keys: Float[Tensor, "keys width"],
    bias: Float[Tensor, " keys"] | None = None,
) -> Float[Tensor, " queries"]:
    """For each query, ``log sum_j exp(query . key_j + bias_j)``; of no keys minus infinity.

    Products are made for a block of queries at a time, and again in backward.
    """
    queries, keys = widen(queries), widen(keys)
    bias = keys.new_zeros(len(keys)) if bias is None else widen(bias)
    # Backward makes the products again, in full precision: forward must not make others.
    with torch.autocast(queries.device.type, enabled=False):
        found: Tensor = _LogSumExp.apply(queries, keys, bias)  # type: ignore[no-untyped-call]
    return found


def contrast(
    anchors: Float[Tensor, "groups width"],
    candidates: Float[Tensor, "groups width"],
    temperature: float,
) -> Float[Tensor, ""]:
    """Mean of ``-log softmax(anchor . candidates / temperature)`` at the anchor's own candidate."""
    anchors, candidates = widen(anchors) / temperature, widen(candidates)
    own = torch.linalg.vecdot(anchors, candidates)
    return mean_or_zero(log_sum_exp_products(anchors, candidates) - own)


class _LogSumExp(Function):
    @staticmethod
    def forward(
        ctx: Any,
        queries: Float[Tensor, "queries width"],
        keys: Float[Tensor, "keys width"],
        bias: Float[Tensor, " keys"],
    ) -> Float[Tensor, " queries"]:
        total = queries.new_empty(len(queries))
        for part in block_slices(len(queries), len(keys), queries.device):
            total[part] = torch.addmm(bias, queries[part], keys.T).logsumexp(dim=1)
        ctx.save_for_backward(queries, keys, bias, total)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Float[Tensor, " queries"]) -> tuple[Tensor, Tensor, Tensor]:
        queries, keys, bias, total = ctx.saved_tensors
        grad_queries = torch.empty_like(queries)
        grad_keys, grad_bias = torch.zeros_like(keys), torch.zeros_like(bias)
        for part in block_slices(len(queries), len(keys), queries.device):
            share = torch.addmm(bias, queries[part], keys.T).sub_(total[part, None]).exp_()
            share.mul_(grad[part, None])
            grad_queries[part] = share @ keys
            grad_keys.addmm_(share.T, queries[part])
            grad_bias += share.sum(dim=0)
        return grad_queries, grad_keys, grad_bias
