"""Batch normalisation over the cells of a batch, in one go with what follows it in a network.

Offers `BatchNorm` and `normed`, which also adds a shortcut and cuts at zero. On the CPU in float32
they run compiled loops (`lima_bench.lima.backbones.sparse.norm_forward`): one pass for the
statistics and one for the result, the same bits for any number of threads, and without gradients
no memory of their own. Elsewhere they are torch's operations one after the other.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd import Function

from lima_bench.datasets.sample import Float64
from lima_bench.lima.threads import over

VALUES_PER_TASK = 1 << 17
"""Fewer than this are not worth waking a thread for."""

_HERE = "lima_bench.lima.backbones.sparse"


def _loops(name: str) -> Any:
    """Compiled loops; None without numba, whose absence `compiled` has told already."""
    try:
        return importlib.import_module(f"{_HERE}.{name}")
    except ImportError:
        return None


tiles = _loops("norm_tiles")
norm_forward, norm_backward = _loops("norm_forward"), _loops("norm_backward")

_NO_PARTS: Float64 = np.empty((0, 2, 0))

Features = Float[Tensor, "voxels channels"]


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation over all cells of all clouds of the batch.

    A single cell has no variance to learn from: it is normalised by the running statistics.
    """

    def forward(self, features: Features) -> Tensor:
        """Normalised features; updates the running statistics in training mode."""
        return _in_one_go(self, features, None, relu=False, in_place=False)


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
        return _in_one_go(norm, features, beside, relu=relu, in_place=True)
    return _added_and_cut(norm(features), beside, relu)


def _in_one_go(
    norm: BatchNorm, features: Features, beside: Features | None, *, relu: bool, in_place: bool
) -> Tensor:
    # torch's own look-up of parameters runs in Python, and would take as long as the arithmetic.
    weight = norm._parameters["weight"]
    learns = norm.training and features.shape[0] > 1
    wants_grad = torch.is_grad_enabled() and (
        features.requires_grad
        or (weight is not None and weight.requires_grad)
        or (beside is not None and beside.requires_grad)
    )
    if (wants_grad and not learns) or not _compilable(features, weight, beside):
        return _added_and_cut(_by_torch(norm, features, learns), beside, relu)
    floor = 0.0 if relu else -math.inf
    if wants_grad:
        bias = norm._parameters["bias"]
        result: Tensor = _Normed.apply(features, weight, bias, beside, floor, norm)  # type: ignore[no-untyped-call]
        return result
    out = features if in_place else torch.empty_like(features)
    _run_forward(norm, features, beside, out, floor, learns)
    return out


def _by_torch(norm: BatchNorm, features: Features, learns: bool) -> Tensor:
    if learns and norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
    return torch.batch_norm(
        features,
        norm.weight,
        norm.bias,
        norm.running_mean,
        norm.running_var,
        learns,
        norm.momentum or 0.0,
        norm.eps,
        torch.backends.cudnn.enabled,
    )


def _added_and_cut(out: Tensor, beside: Features | None, relu: bool) -> Tensor:
    if beside is not None:
        out = out.add_(beside)
    return out.relu_() if relu else out


def _compilable(features: Features, weight: Tensor | None, beside: Features | None) -> bool:
    """Whether the compiled loops can do it."""
    return (
        tiles is not None
        and features.is_cpu
        and _is_plain(features)
        and weight is not None
        and _is_plain(weight)
        # The loops are given addresses and believe them; torch tells what does not fit.
        and features.ndim == 2
        and features.shape[1] == len(weight)
        and (beside is None or (_is_plain(beside) and beside.shape == features.shape))
        and not torch.is_autocast_enabled("cpu")
    )


def _is_plain(tensor: Tensor) -> bool:
    return tensor.dtype is torch.float32 and tensor.is_contiguous()


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
        out = torch.empty_like(features)
        ctx.statistics, ctx.floor = _run_forward(norm, features, beside, out, floor, True), floor
        ctx.save_for_backward(features, features if floor == -math.inf else out)
        return out

    @staticmethod
    def backward(ctx: Any, grad_out: Features) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise NotImplementedError("a gradient of the gradient of batch normalisation")
        features, gate = ctx.saved_tensors
        n_rows, width = features.shape
        grad_out = grad_out.contiguous()
        grad_features = torch.empty_like(features)
        grad_weight, grad_bias = torch.empty(width), torch.empty(width)
        grad_beside = torch.empty_like(features) if ctx.needs_input_grad[3] else None
        run = (
            n_rows,
            width,
            features.data_ptr(),
            gate.data_ptr(),
            ctx.statistics.data_ptr(),
            grad_out.data_ptr(),
            grad_features.data_ptr(),
            0 if grad_beside is None else grad_beside.data_ptr(),
            grad_weight.data_ptr(),
            grad_bias.data_ptr(),
            ctx.floor,
        )
        _in_phases(norm_backward.backward, n_rows, width, run)
        return grad_features, grad_weight, grad_bias, grad_beside, None, None


def _run_forward(
    norm: BatchNorm,
    features: Features,
    beside: Features | None,
    out: Features,
    floor: float,
    learns: bool,
) -> Float[Tensor, "statistics channels"]:
    """Fill `out`; the statistics it took."""
    n_rows, width = features.shape
    parameters: dict[str, Any] = norm._parameters
    buffers: dict[str, Any] = norm._buffers
    statistics = torch.empty(tiles.N_STATISTICS, width)
    run = (
        n_rows,
        width,
        features.data_ptr(),
        0 if beside is None else beside.data_ptr(),
        out.data_ptr(),
        parameters["weight"].data_ptr(),
        parameters["bias"].data_ptr(),
        buffers["num_batches_tracked"].data_ptr(),
        buffers["running_mean"].data_ptr(),
        buffers["running_var"].data_ptr(),
        statistics.data_ptr(),
        learns,
        floor,
        norm.momentum or 0.0,
        norm.eps,
    )
    _in_phases(norm_forward.forward, n_rows, width, run)
    return statistics


def _in_phases(
    kernel: Callable[..., None], n_rows: int, width: int, run: tuple[int | float, ...]
) -> None:
    """Do all of `run`, on as many threads as it is worth."""
    n_tasks = -(-n_rows * width // VALUES_PER_TASK)
    if n_tasks <= 1 or torch.get_num_threads() == 1:
        kernel(tiles.WHOLE, 0, 0, _NO_PARTS, *run)
        return
    n_chunks = tiles.n_chunks(n_rows, width)
    parts = np.empty((n_chunks, 2, width))
    for phase in (tiles.SUM, tiles.SETTLE, tiles.WRITE):

        def work(start: int, stop: int, phase: int = phase) -> None:
            first, last = start * n_chunks // n_tasks, stop * n_chunks // n_tasks
            kernel(phase, first, last, parts, *run)

        over(1 if phase == tiles.SETTLE else n_tasks, work)
