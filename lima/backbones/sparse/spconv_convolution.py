"""One convolution by spconv's kernels, and its gradients: the function behind the spconv engine.

Offers `Plan`, `ALGORITHMS` and `convolve`. Features and weights are given to spconv as float32
and, if TF32 is allowed, in a type that TF32 holds exactly; see `spconv_cuda` for the reasons.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from lima_bench.lima.backbones.sparse.kernel_map import KernelMap
from lima_bench.lima.backbones.sparse.spconv_library import Kernels, kernels
from lima_bench.lima.backbones.sparse.spconv_pairs import ImplicitPairs, NativePairs

ALGORITHMS = ("implicit", "native")

_EVERY_WEIGHT = np.array([0xFFFFFFFF], dtype=np.uint32)
"""spconv could split a kernel's weights over several calls; all are asked for in one."""


@dataclass(frozen=True)
class Plan:
    """How a convolution is computed.

    Attributes:
        algorithm: One of `ALGORITHMS`.
        kernels: Which of spconv's kernels may run.
        dtype: To what features and weights are rounded, and in what results come.
    """

    algorithm: str
    kernels: Kernels
    dtype: torch.dtype


def convolve(
    features: Float[Tensor, "in c_in"],
    weight: Float[Tensor, "K c_in c_out"],
    kernel_map: KernelMap,
    plan: Plan,
) -> Float[Tensor, "out c_out"]:
    """``out[i] = sum over k of features[table[i, k]] @ weight[k]``; differentiable in both.

    Needs at least one row on either side and one channel.
    """
    # Asked here: inside the function no gradient is ever recorded.
    trains = torch.is_grad_enabled() and (features.requires_grad or weight.requires_grad)
    result: Tensor = _Convolution.apply(  # type: ignore[no-untyped-call]
        features.to(plan.dtype), weight, kernel_map, plan, trains
    )
    return result


class _Convolution(Function):
    @staticmethod
    def forward(
        ctx: Any,
        features: Float[Tensor, "in c_in"],
        weight: Float[Tensor, "K c_in c_out"],
        kernel_map: KernelMap,
        plan: Plan,
        trains: bool,
    ) -> Float[Tensor, "out c_out"]:
        ctx.save_for_backward(features, weight)
        ctx.kernel_map, ctx.plan = kernel_map, plan
        factors = _widened(features), _filters(weight, plan.dtype)
        with _called_on(features.device):
            if plan.algorithm == "native":
                out, ctx.tiles = _native(*factors, kernel_map, plan.kernels), None
            else:
                out, ctx.tiles = _implicit(*factors, kernel_map, plan.kernels, trains)
        return out.to(plan.dtype)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad_out: Float[Tensor, "out c_out"]
    ) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        features, weight = ctx.saved_tensors
        need_features, need_weight, *_ = ctx.needs_input_grad
        factors = _widened(features), _filters(weight, ctx.plan.dtype), _widened(grad_out)
        with _called_on(features.device):
            if ctx.plan.algorithm == "native":
                grads = _native_backward(*factors, ctx.kernel_map, ctx.plan.kernels)
            else:
                grads = _implicit_backward(*factors, ctx.kernel_map, ctx.plan.kernels, ctx.tiles)
        grad_features, grad_filters = grads
        return (
            grad_features.to(features.dtype) if need_features else None,
            grad_filters.permute(1, 2, 0).to(weight.dtype) if need_weight else None,
            None,
            None,
            None,
        )


def _widened(rows: Float[Tensor, "rows width"]) -> Float[Tensor, "rows width"]:
    return rows.float().contiguous()


def _filters(
    weight: Float[Tensor, "K c_in c_out"], dtype: torch.dtype
) -> Float[Tensor, "c_out K c_in"]:
    """The weight with the axes in spconv's order, rounded as autocast rounds it."""
    return weight.to(dtype).permute(2, 0, 1).float().contiguous()


@contextmanager
def _called_on(device: torch.device) -> Iterator[None]:
    """Set what spconv takes as it finds it: the current device, and no autocast of products."""
    current = torch.cuda.device(device) if device.type == "cuda" else nullcontext()
    with current, torch.autocast(device.type, enabled=False):
        yield


@dataclass(frozen=True)
class _Tiles:
    """What the forward pass leaves for the weight gradient.

    Attributes:
        masks: For each block of output rows, the weights that any of them meets.
        n_rows: Rows of a block; it depends on the kernel that ran.
    """

    masks: Int[Tensor, "..."]
    n_rows: int


def _implicit(
    features: Float[Tensor, "in c_in"],
    filters: Float[Tensor, "c_out K c_in"],
    kernel_map: KernelMap,
    which: Kernels,
    trains: bool,
) -> tuple[Float[Tensor, "out c_out"], _Tiles | None]:
    ahead = ImplicitPairs.of(kernel_map.forward)
    with kernels(which) as ops:
        out, masks, n_rows = ops.implicit_gemm(
            features,
            filters,
            ahead.rows,
            [ahead.masks],
            [ahead.order],
            kernel_map.n_out,
            [_EVERY_WEIGHT],
            trains,
            kernel_map.symmetric,
        )
    return out, _Tiles(masks, n_rows) if trains else None


def _implicit_backward(
    features: Float[Tensor, "in c_in"],
    filters: Float[Tensor, "c_out K c_in"],
    grad_out: Float[Tensor, "out c_out"],
    kernel_map: KernelMap,
    which: Kernels,
    tiles: _Tiles,
) -> tuple[Float[Tensor, "in c_in"], Float[Tensor, "c_out K c_in"]]:
    ahead = ImplicitPairs.of(kernel_map.forward)
    if kernel_map.backward is None:
        # spconv reads the same masks with their bits in reverse.
        rows, masks, order = ahead.mirrored, [], []
    else:
        back = ImplicitPairs.of(kernel_map.backward)
        rows, masks, order = back.rows, [back.masks], [back.order]
    with kernels(which) as ops:
        grads: tuple[Tensor, Tensor] = ops.implicit_gemm_backward(
            features,
            filters,
            grad_out,
            ahead.rows,
            rows,
            [ahead.masks],
            masks,
            [ahead.order],
            order,
            tiles.masks,
            [_EVERY_WEIGHT],
            tiles.n_rows,
            kernel_map.symmetric,
        )
    return grads


def _native(
    features: Float[Tensor, "in c_in"],
    filters: Float[Tensor, "c_out K c_in"],
    kernel_map: KernelMap,
    which: Kernels,
) -> Float[Tensor, "out c_out"]:
    found = NativePairs.of(kernel_map)
    with kernels(which) as ops:
        out: Tensor = ops.indice_conv(
            features,
            filters,
            found.pairs,
            found.counts,
            kernel_map.n_out,
            inverse=False,
            subm=kernel_map.symmetric,
        )
    return out


def _native_backward(
    features: Float[Tensor, "in c_in"],
    filters: Float[Tensor, "c_out K c_in"],
    grad_out: Float[Tensor, "out c_out"],
    kernel_map: KernelMap,
    which: Kernels,
) -> tuple[Float[Tensor, "in c_in"], Float[Tensor, "c_out K c_in"]]:
    found = NativePairs.of(kernel_map)
    with kernels(which) as ops:
        grads: tuple[Tensor, Tensor] = ops.indice_conv_backward(
            features,
            filters,
            grad_out,
            found.pairs,
            found.counts,
            inverse=False,
            subm=kernel_map.symmetric,
        )
    return grads
