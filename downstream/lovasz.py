"""The Lovasz-softmax loss: a surrogate whose value at hard predictions is 1 - IoU.

Offers `lovasz_softmax`. Source: Berman, Triki and Blaschko, CVPR 2018; derived anew here.

For one class let ``e_i`` be how far point i's probability is from its truth (1 on the class, 0 off
it), and take points in order of falling error. Were exactly the first k points wrong, the class
would keep ``G - F_k`` of its G points and its union would be ``G + B_k``, where F_k and B_k count
points on and off the class among the k; so the Jaccard loss is ``J_k = 1 - (G - F_k) / (G + B_k)``.
Point k's weight is what it adds, ``J_k - J_(k-1)``, and the loss is the weighted sum of errors. The
weights stay put while the order does, so they carry no gradient.
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from lima_bench.downstream import lovasz_kernel
from lima_bench.lima.threads import over

_COMPILED = not inspect.isfunction(lovasz_kernel.weigh)
"""Without numba the loop would take seconds."""


def lovasz_softmax(
    probabilities: Float[Tensor, "points classes"], truth: Int[Tensor, " points"]
) -> Float[Tensor, ""]:
    """Mean over the classes that `truth` holds; 0 without points.

    Args:
        probabilities: Each row sums to 1.
        truth: Train ids within the classes; ignored points must be gone.
    """
    if _COMPILED and probabilities.is_cpu and probabilities.dtype is torch.float32:
        value: Tensor = _Lovasz.apply(probabilities, truth)  # type: ignore[no-untyped-call]
        return value
    return _by_torch(probabilities, truth)


class _Lovasz(Function):
    """The same in one loop per class; its gradient is ready by the end of it."""

    @staticmethod
    def forward(
        ctx: Any, probabilities: Float[Tensor, "points classes"], truth: Int[Tensor, " points"]
    ) -> Float[Tensor, ""]:
        table, classes = probabilities.detach().contiguous().numpy(), truth.contiguous().numpy()
        counts = np.bincount(classes, minlength=table.shape[1])
        present = np.flatnonzero(counts)
        weights = torch.zeros_like(probabilities, memory_format=torch.contiguous_format)
        values, signed = np.zeros(len(counts)), weights.numpy()
        over(
            len(present),
            lambda first, last: lovasz_kernel.weigh(
                present[first:last], table, classes, counts, signed, values
            ),
        )
        ctx.n_present = max(len(present), 1)
        ctx.save_for_backward(weights)
        return probabilities.new_tensor(values.sum() / ctx.n_present)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Float[Tensor, ""]) -> tuple[Tensor, None]:
        (weights,) = ctx.saved_tensors
        return weights * (grad / ctx.n_present), None


def _by_torch(
    probabilities: Float[Tensor, "points classes"], truth: Int[Tensor, " points"]
) -> Float[Tensor, ""]:
    n_classes = probabilities.shape[1]
    present = torch.bincount(truth, minlength=n_classes).nonzero().squeeze(1)
    if len(present) == 0:
        return probabilities.sum() * 0
    on_class = truth[None] == present[:, None]
    predicted = probabilities.t()[present]
    errors = torch.where(on_class, 1 - predicted, predicted)
    return (errors * _weights(errors.detach(), on_class)).sum() / len(present)


@torch.no_grad()
def _weights(
    errors: Float[Tensor, "classes points"], on_class: Bool[Tensor, "classes points"]
) -> Float[Tensor, "classes points"]:
    """What each point adds to its class's Jaccard loss when points fail in order of error."""
    order = torch.sort(errors, dim=1, descending=True, stable=True).indices
    on = on_class.gather(1, order).to(torch.int32).cumsum(1, dtype=torch.int32)
    off = torch.arange(1, errors.shape[1] + 1, device=errors.device, dtype=torch.int32) - on
    total = on[:, -1:]
    jaccard = 1 - (total - on).to(errors.dtype) / (total + off).to(errors.dtype)
    jaccard[:, 1:] -= jaccard[:, :-1].clone()
    return torch.empty_like(errors).scatter_(1, order, jaccard)
