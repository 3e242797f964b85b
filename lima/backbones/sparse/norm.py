"""Batch normalisation over the cells of a batch, in one go with what follows it in a network.

Offers `BatchNorm` and `normed`, which also adds a shortcut and cuts at zero. On the CPU in float32
they run compiled loops (`lima_bench.lima.backbones.sparse.norm_kernels`): one pass for the
statistics and one for the result, the same bits for any number of threads, and without gradients
no memory of their own. Elsewhere they are torch's operations one after the other.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from lima_bench.datasets.sample import Float32, Float64
from lima_bench.lima.backbones.sparse import norm_kernels as kernels
from lima_bench.lima.threads import over

VALUES_PER_THREAD = 1 << 18
"""Fewer than this are not worth waking a thread for."""

Features = Float[Tensor, "voxels channels"]


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation over all cells of all clouds of the batch.

    A single cell has no variance to learn from: it is normalised by the running statistics.
    """

    def forward(self, features: Features) -> Tensor:
        """Normalised features; updates the running statistics in training mode."""
        return self.in_one_go(features, None, relu=False, in_place=False)

    def in_one_go(
        self, features: Features, beside: Features | None, *, relu: bool, in_place: bool
    ) -> Tensor:
        """``relu(norm(features) + beside)``, with or without the sum and the ReLU.

        Args:
            features: To be normalised.
            beside: To be added.
            relu: Whether to cut at zero.
            in_place: Whether `features` may hold the result.
        """
        learns = self.training and len(features) > 1
        if learns and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        tensors = [t for t in (features, beside, self.weight, self.bias) if t is not None]
        wants_grad = torch.is_grad_enabled() and any(t.requires_grad for t in tensors)
        if (wants_grad and not learns) or not _compilable(self, features, beside):
            return self._by_torch(features, beside, relu=relu, learns=learns)
        floor = 0.0 if relu else -math.inf
        if wants_grad:
            normed: Tensor = _Normed.apply(  # type: ignore[no-untyped-call]
                features, self.weight, self.bias, beside, floor, self
            )
            return normed
        out = features if in_place else torch.empty_like(features)
        x = _array(features)
        statistics = _learnt(x, self) if learns else _remembered(self)
        _normalise(x, statistics, self, beside, floor, _array(out))
        return out

    def _by_torch(
        self, features: Features, beside: Features | None, *, relu: bool, learns: bool
    ) -> Tensor:
        out = torch.batch_norm(
            features,
            self.weight,
            self.bias,
            self.running_mean,
            self.running_var,
            learns,
            self.momentum or 0.0,
            self.eps,
            torch.backends.cudnn.enabled,
        )
        return _added_and_cut(out, beside, relu)


def normed(
    norm: nn.Module, features: Features, beside: Features | None = None, *, relu: bool = True
) -> Tensor:
    """``relu(norm(features) + beside)``, with or without the sum and the ReLU.

    Args:
        norm: A `BatchNorm`, or what took its place, such as torch's SyncBatchNorm.
        features: To be normalised. They are given away: without gradients, the result may lie in
            their memory.
        beside: To be added.
        relu: Whether to cut at zero.
    """
    if isinstance(norm, BatchNorm):
        return norm.in_one_go(features, beside, relu=relu, in_place=True)
    return _added_and_cut(norm(features), beside, relu)


def _added_and_cut(out: Tensor, beside: Features | None, relu: bool) -> Tensor:
    if beside is not None:
        out = out.add_(beside)
    return out.relu_() if relu else out


def _compilable(norm: BatchNorm, features: Features, beside: Features | None) -> bool:
    """Whether the compiled loops can do it."""
    parts = [features, norm.weight] if beside is None else [features, norm.weight, beside]
    return (
        all(t.is_cpu and t.dtype == torch.float32 and t.is_contiguous() for t in parts)
        and not torch.is_autocast_enabled("cpu")
        and features.shape[1] > 0
    )


class _Normed(Function):
    """Normalisation by the batch's own statistics, with its gradient."""

    @staticmethod
    def forward(
        ctx: Any,
        features: Features,
        weight: Float[Tensor, " channels"],
        bias: Float[Tensor, " channels"],
        beside: Features | None,
        floor: float,
        norm: BatchNorm,
    ) -> Features:
        x, out = _array(features), torch.empty_like(features)
        ctx.statistics, ctx.floor = _learnt(x, norm), floor
        _normalise(x, ctx.statistics, norm, beside, floor, _array(out))
        # Without a ReLU every gradient passes, and any tensor of this shape will do as a gate.
        ctx.save_for_backward(features, weight, features if floor == -math.inf else out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Features) -> tuple[Tensor | None, ...]:
        features, weight, gate = ctx.saved_tensors
        x, opened, grad = _array(features), _array(gate), _array(grad_out.contiguous())
        mean = ctx.statistics[0]
        parts = np.empty((_n_chunks(x), 2, x.shape[1]))
        _over_chunks(
            x, lambda a, b: kernels.gradient_sums(x, mean, opened, ctx.floor, grad, parts, a, b)
        )
        coefficients = torch.empty(5, x.shape[1])
        kernels.balanced(parts, len(x), ctx.statistics, _array(weight), coefficients.numpy())
        grad_features = torch.empty_like(features)
        grad_beside = torch.empty_like(features if ctx.needs_input_grad[3] else features[:0])
        arrays = (coefficients.numpy(), grad_features.numpy(), grad_beside.numpy())
        _over_chunks(
            x, lambda a, b: kernels.gradients(x, mean, opened, ctx.floor, grad, *arrays, a, b)
        )
        return (
            grad_features,
            coefficients[3],
            coefficients[4],
            grad_beside if ctx.needs_input_grad[3] else None,
            None,
            None,
        )


def _array(tensor: Tensor) -> Float32:
    array: Float32 = tensor.detach().numpy()
    return array


def _learnt(x: Float32, norm: BatchNorm) -> Float32:
    """(2, channels): mean and inverse deviation of the batch, which the running ones follow."""
    parts: Float64 = np.empty((_n_chunks(x), 2, x.shape[1]))
    _over_chunks(x, lambda a, b: kernels.moments(x, parts, a, b))
    statistics = np.empty((2, x.shape[1]), np.float32)
    assert norm.running_mean is not None and norm.running_var is not None
    running = (norm.running_mean.numpy(), norm.running_var.numpy())
    kernels.learnt(parts, len(x), running, norm.momentum or 0.0, norm.eps, statistics)
    return statistics


def _remembered(norm: BatchNorm) -> Float32:
    """(2, channels): running mean, and inverse deviation by the running variance."""
    assert norm.running_mean is not None and norm.running_var is not None
    deviation = np.sqrt(norm.running_var.numpy() + np.float32(norm.eps))
    return np.stack((norm.running_mean.numpy(), np.float32(1.0) / deviation))


def _normalise(
    x: Float32,
    statistics: Float32,
    norm: BatchNorm,
    beside: Features | None,
    floor: float,
    out: Float32,
) -> None:
    scale = statistics[1] * _array(norm.weight)
    shift = _array(norm.bias) - statistics[0] * scale
    if beside is None:
        _over_chunks(x, lambda a, b: kernels.normalise(x, scale, shift, floor, out, a, b))
        return
    more = _array(beside)
    _over_chunks(x, lambda a, b: kernels.normalise_onto(x, scale, shift, floor, more, out, a, b))


def _n_chunks(x: Float32) -> int:
    return -(-len(x) // kernels.chunk_rows(x.shape[1]))


def _over_chunks(x: Float32, task: Callable[[int, int], None]) -> None:
    """Call ``task(start, stop)`` for all chunks of `x`, on as many threads as it is worth."""
    n_chunks = _n_chunks(x)
    together = max(1, VALUES_PER_THREAD // (kernels.chunk_rows(x.shape[1]) * x.shape[1]))
    over(
        -(-n_chunks // together),
        lambda start, stop: task(start * together, min(stop * together, n_chunks)),
    )
