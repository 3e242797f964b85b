"""InfoNCE over large sets of features, without a matrix of all pairs in memory.

Offers `contrast`, which is `lima_bench.lima.losses.info_nce` for sets too large for its matrix.
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
from lima_bench.lima.take import take_rows


def contrast(
    anchors: Float[Tensor, "groups width"],
    candidates: Float[Tensor, "others width"],
    temperature: float,
    own: Int[Tensor, " groups"] | None = None,
) -> Float[Tensor, ""]:
    """Mean of ``-log softmax(anchor . candidates / temperature)`` at the anchor's own candidate.

    Args:
        anchors: Taken as they come, not normalised.
        candidates: Likewise.
        temperature: Of the softmax.
        own: The candidate of each anchor. Every anchor brings its own, so one that several anchors
            share stands there as often, and one that nobody shares not at all. None: that of its
            own row.
    """
    if len(anchors) == 0:
        return (anchors.sum() + candidates.sum()) * 0.0
    with full_precision(anchors.device):
        anchors, candidates = widen(anchors) / temperature, widen(candidates)
        met = candidates if own is None else take_rows(candidates, own)
        times = None if own is None else torch.bincount(own, minlength=len(candidates))
        total: Tensor = _LogSums.apply(anchors, candidates, times)  # type: ignore[no-untyped-call]
        return (total - (anchors * met).sum()) / len(anchors)


class _LogSums(Function):
    """Sum over queries of ``log sum_j times_j exp(query . key_j)``.

    As the result is one number, its gradients are known up to a factor as soon as a block of
    products is: they are made in forward, and products only once.
    """

    @staticmethod
    def forward(
        ctx: Any,
        queries: Float[Tensor, "queries width"],
        keys: Float[Tensor, "keys width"],
        times: Int[Tensor, " keys"] | None,
    ) -> Float[Tensor, ""]:
        bias = keys.new_zeros(len(keys)) if times is None else times.to(keys.dtype).log()
        learns = any(ctx.needs_input_grad)
        grad_queries, grad_keys = torch.empty_like(queries), torch.zeros_like(keys)
        found = queries.new_empty(len(queries))
        for part in block_slices(len(queries), len(keys), queries.device):
            share = torch.addmm(bias, queries[part], keys.T)
            found[part] = softmax_(share)
            if learns:
                torch.mm(share, keys, out=grad_queries[part])
                grad_keys.addmm_(share.T, queries[part])
        if learns:
            ctx.save_for_backward(grad_queries, grad_keys)
        return found.sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Float[Tensor, ""]) -> tuple[Tensor, Tensor, None]:
        grad_queries, grad_keys = ctx.saved_tensors
        return grad * grad_queries, grad * grad_keys, None
