"""The engine for CPUs: every convolution is one pass of compiled loops over the pairs.

Offers `FUSED`. float32 outside autocast; other types go through the reference engine, whose
results have the accuracy of their type anyway. Bits do not depend on the number of threads.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional

from lima_bench.lima.backbones.sparse.kernel_map import KernelMap, Links
from lima_bench.lima.backbones.sparse.reference import REFERENCE
from lima_bench.lima.threads import over

Floats = npt.NDArray[np.float32]


class FusedEngine:
    """Gather, multiply and scatter in one pass."""

    def why_not(self, device: torch.device) -> str | None:
        """See `lima_bench.lima.backbones.sparse.engine.Engine`."""
        if device.type != "cpu":
            return "Its loops are compiled for CPUs."
        try:
            reason: str | None = _kernels().why_not()
        except ImportError as error:
            return f"Its loops are compiled by numba, which cannot be imported: {error}."
        return reason

    def convolve(
        self,
        features: Float[Tensor, "in c_in"],
        weight: Float[Tensor, "K c_in c_out"],
        kernel_map: KernelMap,
    ) -> Float[Tensor, "out c_out"]:
        """See `lima_bench.lima.backbones.sparse.engine.Engine`."""
        kernel_map.must_fit(features, weight)
        single = features.dtype == weight.dtype == torch.float32
        if not single or torch.is_autocast_enabled("cpu"):
            return REFERENCE.convolve(features, weight, kernel_map)
        result: Tensor = _Convolution.apply(features, weight, kernel_map)  # type: ignore[no-untyped-call]
        return result


FUSED = FusedEngine()


def _kernels() -> Any:
    """The compiled loops, imported when first needed: that takes a while."""
    return importlib.import_module("lima_bench.lima.backbones.sparse.fused_kernels")


class _Convolution(Function):
    @staticmethod
    def forward(
        ctx: Any,
        features: Float[Tensor, "in c_in"],
        weight: Float[Tensor, "K c_in c_out"],
        kernel_map: KernelMap,
    ) -> Float[Tensor, "out c_out"]:
        features = features.contiguous()
        ctx.save_for_backward(features, weight)
        ctx.kernel_map = kernel_map
        c_out = weight.shape[2]
        wide = _widened(weight)
        return _narrowed(_convolve(features, wide, kernel_map.forward), c_out)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad_out: Float[Tensor, "out c_out"]
    ) -> tuple[Tensor | None, Tensor | None, None]:
        features, weight = ctx.saved_tensors
        need_features, need_weight, _ = ctx.needs_input_grad
        grad_out = grad_out.contiguous()
        grad_features = grad_weight = None
        if need_features:
            grad_features = _gradient_of_features(grad_out, weight, ctx.kernel_map)
        if need_weight:
            grad_weight = _gradient_of_weight(features, grad_out, weight, ctx.kernel_map.forward)
        return grad_features, grad_weight, None


def _convolve(
    features: Float[Tensor, "in c_in"], weight: Float[Tensor, "K c_in wide"], links: Links
) -> Float[Tensor, "out wide"]:
    kernels, pairs = _kernels(), links.pairs
    n_weights, c_in, wide = weight.shape
    out = features.new_empty(links.n_out, wide)
    listed, operands, result = pairs.arrays, (_flat(features), _flat(weight)), _flat(out)
    over(
        (len(listed[0]) - 1) // n_weights,
        lambda first, last: kernels.convolve_blocks(
            first, last, *listed, *operands, c_in, wide, result
        ),
    )
    return out


def _gradient_of_features(
    grad_out: Float[Tensor, "out c_out"],
    weight: Float[Tensor, "K c_in c_out"],
    kernel_map: KernelMap,
) -> Float[Tensor, "in c_in"]:
    """A convolution over the transposed map with transposed weights."""
    kernels = _kernels()
    n_weights, c_in, c_out = weight.shape
    wide = _multiple(c_in)
    make = weight.new_empty if wide == c_in else weight.new_zeros
    turned = make(n_weights, c_out, wide)
    source, target = _flat(weight), _flat(turned)
    over(
        n_weights,
        lambda first, last: kernels.transposed(
            first, last, source, c_in, c_out, kernel_map.symmetric, target
        ),
    )
    links = kernel_map.backward or kernel_map.forward
    return _narrowed(_convolve(grad_out, turned, links), c_in)


def _gradient_of_weight(
    features: Float[Tensor, "in c_in"],
    grad_out: Float[Tensor, "out c_out"],
    weight: Float[Tensor, "K c_in c_out"],
    links: Links,
) -> Float[Tensor, "K c_in c_out"]:
    kernels, pairs = _kernels(), links.pairs
    n_weights, c_in, c_out = weight.shape
    grad_out = _widened(grad_out)
    wide = grad_out.shape[1]
    out = weight.new_empty(n_weights, c_in, wide)
    listed, operands, result = pairs.arrays, (_flat(features), _flat(grad_out)), _flat(out)
    over(
        n_weights * -(-c_in // kernels.SLAB),
        lambda first, last: kernels.weight_gradients(
            first, last, *listed, *operands, c_in, wide, result
        ),
    )
    return _narrowed(out, c_out)


def _multiple(width: int) -> int:
    """The least whole number of vectors that hold `width` floats, in floats."""
    lanes: int = _kernels().LANES
    return -(-width // lanes) * lanes


def _widened(tensor: Float[Tensor, "... width"]) -> Float[Tensor, "... wide"]:
    """The tensor with zeros up to a whole number of vectors."""
    missing = _multiple(tensor.shape[-1]) - tensor.shape[-1]
    return functional.pad(tensor, (0, missing)) if missing else tensor.contiguous()


def _narrowed(tensor: Float[Tensor, "... wide"], width: int) -> Float[Tensor, "... width"]:
    return tensor if tensor.shape[-1] == width else tensor[..., :width].contiguous()


def _flat(tensor: Tensor) -> npt.NDArray[Any]:
    array: npt.NDArray[Any] = tensor.detach().numpy().reshape(-1)
    return array
