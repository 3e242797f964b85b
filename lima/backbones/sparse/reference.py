"""The reference engine: pure torch, any device, any floating type, hand-written backward.

Offers `REFERENCE`. For each block of output rows: gather the input rows of all pairs, one matrix
product per weight, then sum the products of each output row. Blocks keep the buffers in the cache.
The order of additions does not depend on the number of threads, except inside a matrix product,
where it is the library's (MKL's bits stay the same where widths are multiples of 16).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from lima_bench.lima.backbones.sparse.kernel_map import KernelMap, Links

BLOCK_ROWS = 8192
"""Output rows of a block: few enough for the features of its pairs to stay in the cache."""


@dataclass(frozen=True, eq=False)
class _Block:
    """All pairs of a range of output rows, sorted by weight, then output row.

    Attributes:
        start: First output row of the block.
        stop: One past the last.
        rows_in: Input row of each pair.
        rows_out: Output row of each pair.
        counts: Number of pairs under each weight.
        by_output: Positions of the pairs in this block, sorted by output row.
        output_starts: For each row of the block, where it begins in `by_output`, and the end.
    """

    start: int
    stop: int
    rows_in: Int[Tensor, " pairs"]
    rows_out: Int[Tensor, " pairs"]
    counts: tuple[int, ...]
    by_output: Int[Tensor, " pairs"]
    output_starts: Int[Tensor, " rows_plus_one"]


_BLOCKS: WeakKeyDictionary[Links, tuple[_Block, ...]] = WeakKeyDictionary()


def _blocks(links: Links) -> tuple[_Block, ...]:
    """The pairs of `links`, listed once however many layers ask."""
    found = _BLOCKS.get(links)
    if found is None:
        starts = range(0, len(links.table), BLOCK_ROWS)
        found = _BLOCKS[links] = tuple(_block(links.table, start) for start in starts)
    return found


def _block(table: Int[Tensor, "out K"], start: int) -> _Block:
    part = table[start : start + BLOCK_ROWS].T
    weight, row = (part >= 0).nonzero(as_tuple=True)
    starts = torch.zeros(part.shape[1] + 1, dtype=torch.int32, device=table.device)
    torch.cumsum((part >= 0).sum(dim=0), 0, out=starts[1:])
    return _Block(
        start=start,
        stop=start + part.shape[1],
        rows_in=part[weight, row],
        rows_out=(row + start).int(),
        counts=tuple((part >= 0).sum(dim=1).tolist()),
        by_output=torch.argsort(row, stable=True).int(),
        output_starts=starts,
    )


class _Workspace(threading.local):
    """Buffers that outlive a call, so that the same warm memory serves every layer."""

    def __init__(self) -> None:
        self._buffers: dict[tuple[str, torch.device, torch.dtype], Tensor] = {}

    def take(self, use: str, like: Tensor, rows: int, width: int) -> Float[Tensor, "rows width"]:
        """An uninitialised matrix; it is overwritten when `use` is next asked for."""
        key = use, like.device, like.dtype
        buffer = self._buffers.get(key)
        if buffer is None or len(buffer) < rows * width:
            # Made in inference mode it could not be written to in training.
            with torch.inference_mode(False):
                buffer = self._buffers[key] = like.new_empty(rows * width)
        return buffer[: rows * width].view(rows, width)


_WORKSPACE = _Workspace()


class ReferenceEngine:
    """Pairs, in torch."""

    def why_not(self, device: torch.device) -> str | None:
        """See `lima_bench.lima.backbones.sparse.engine.Engine`; it computes anywhere."""
        return None

    def convolve(
        self,
        features: Float[Tensor, "in c_in"],
        weight: Float[Tensor, "K c_in c_out"],
        kernel_map: KernelMap,
    ) -> Float[Tensor, "out c_out"]:
        """See `lima_bench.lima.backbones.sparse.engine.Engine`."""
        device = features.device.type
        if torch.is_autocast_enabled(device):
            dtype = torch.get_autocast_dtype(device)
            features, weight = features.to(dtype), weight.to(dtype)
        result: Tensor = _Convolution.apply(features, weight, kernel_map)  # type: ignore[no-untyped-call]
        return result


REFERENCE = ReferenceEngine()


class _Convolution(Function):
    @staticmethod
    def forward(
        ctx: Any,
        features: Float[Tensor, "in c_in"],
        weight: Float[Tensor, "K c_in c_out"],
        kernel_map: KernelMap,
    ) -> Float[Tensor, "out c_out"]:
        ctx.save_for_backward(features, weight)
        ctx.kernel_map = kernel_map
        out = features.new_empty(kernel_map.n_out, weight.shape[2])
        for block in _blocks(kernel_map.forward):
            gathered = _gather(features, block.rows_in, "in")
            out[block.start : block.stop] = _products_summed(gathered, weight.unbind(0), block)
        return out

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad_out: Float[Tensor, "out c_out"]
    ) -> tuple[Tensor | None, Tensor | None, None]:
        features, weight = ctx.saved_tensors
        # Backward is a convolution over the transposed map. Its gathered rows of `grad_out` serve
        # both gradients: multiplied by the weights, and by the features of the rows they go to.
        # Where the map is its own transpose, weights reversed, no second list of pairs is needed.
        links = ctx.kernel_map.backward or ctx.kernel_map.forward
        matrices = weight.mT.unbind(0)
        order = slice(None, None, -1 if ctx.kernel_map.symmetric else 1)
        need_features, need_weight, _ = ctx.needs_input_grad
        grad_features = torch.empty_like(features) if need_features else None
        grad_weight = torch.zeros_like(weight) if need_weight else None
        for block in _blocks(links):
            gathered = _gather(grad_out, block.rows_in, "in")
            if grad_features is not None:
                rows = slice(block.start, block.stop)
                grad_features[rows] = _products_summed(gathered, matrices[order], block)
            if grad_weight is not None:
                owners = _gather(features, block.rows_out, "out")
                _add_outer_products(grad_weight.unbind(0)[order], owners, gathered, block)
        return grad_features, grad_weight, None


def _gather(
    features: Float[Tensor, "rows width"], rows: Int[Tensor, " pairs"], use: str
) -> Float[Tensor, "pairs width"]:
    """The listed rows, in a buffer of the workspace."""
    buffer = _WORKSPACE.take(use, features, len(rows), features.shape[1])
    return torch.index_select(features, 0, rows, out=buffer)


def _products_summed(
    gathered: Float[Tensor, "pairs c_in"],
    matrices: Sequence[Float[Tensor, "c_in c_out"]],
    block: _Block,
) -> Float[Tensor, "rows c_out"]:
    """Each pair's row times its weight, summed per output row of the block."""
    products = _WORKSPACE.take("products", gathered, len(gathered), matrices[0].shape[1])
    parts = zip(
        gathered.split_with_sizes(block.counts),
        matrices,
        products.split_with_sizes(block.counts),
        strict=True,
    )
    for rows, matrix, product in parts:
        torch.mm(rows, matrix, out=product)
    summed: Tensor = torch.embedding_bag(
        products, block.by_output, block.output_starts, include_last_offset=True
    )[0]
    return summed


def _add_outer_products(
    totals: Sequence[Float[Tensor, "c_in c_out"]],
    rows: Float[Tensor, "pairs c_in"],
    grads: Float[Tensor, "pairs c_out"],
    block: _Block,
) -> None:
    """Add to each weight the sum of its pairs' outer products."""
    parts = zip(
        totals,
        rows.split_with_sizes(block.counts),
        grads.split_with_sizes(block.counts),
        strict=True,
    )
    for total, left, right in parts:
        total.addmm_(left.t(), right)
