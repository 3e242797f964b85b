"""Kernel maps as spconv wants them: derived on the device, with torch, once per map.

Offers `ImplicitPairs` and `NativePairs`. spconv's own order of a kernel's weights does not matter
here: it multiplies what stands under index k by the weight at index k, so ours is kept, first axis
fastest, and a weight ``[K, c_in, c_out]`` only changes the order of its axes to
``[c_out, K, c_in]``. (In a checkpoint of spconv's modules, whose cells are (batch, x, y, z), the
last axis runs fastest: ``weight.view(3, 3, 3, c_in, c_out).permute(4, 2, 1, 0, 3)``.)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Int
from torch import Tensor

from lima_bench.lima.backbones.sparse.kernel_map import KernelMap, Links

MAX_WEIGHTS = 31
"""Weights have one bit each in an int32, whose sign is left alone."""


@dataclass(frozen=True, eq=False)
class ImplicitPairs:
    """One direction of a map, for the kernels that gather while they multiply (implicit GEMM).

    A block of such a kernel takes consecutive entries of `order` and skips the weights that none
    of their masks names, so rows with equal neighbourhoods are sorted together.

    Attributes:
        rows: For each weight and output row the input row, or -1; int32.
        order: Output rows, sorted by mask; equal masks by row, so that sums repeat their bits.
        masks: One bit for each weight that a row meets, in the order of `order`; int32.
    """

    rows: Int[Tensor, "K out"]
    order: Int[Tensor, " out"]
    masks: Int[Tensor, "out 1"]

    @classmethod
    def of(cls, links: Links) -> ImplicitPairs:
        """What `links` holds, derived once however many layers ask.

        Raises:
            ValueError: There are more weights than bits.
        """
        found = _IMPLICIT.get(links)
        if found is None:
            with torch.inference_mode(False):
                found = _IMPLICIT[links] = cls._derived(links.table)
        return found

    @classmethod
    def _derived(cls, table: Int[Tensor, "out K"]) -> ImplicitPairs:
        n_weights = table.shape[1]
        if n_weights > MAX_WEIGHTS:
            raise ValueError(f"kernels of up to {MAX_WEIGHTS} weights, not {n_weights}")
        bits = 1 << torch.arange(n_weights, dtype=torch.int32, device=table.device)
        masks = ((table >= 0) * bits).sum(dim=1, dtype=torch.int32)
        masks, order = torch.sort(masks, stable=True)
        return cls(table.T.contiguous(), order.int(), masks.unsqueeze(1))

    @cached_property
    def mirrored(self) -> Int[Tensor, "K out"]:
        """`rows` of the transposed map, where that is this one with its weights reversed."""
        return self.rows.flip(0)


@dataclass(frozen=True, eq=False)
class NativePairs:
    """A map for the kernels that gather, multiply and scatter one weight at a time.

    Attributes:
        pairs: Input rows and output rows of the pairs of each weight, by output row; int32.
        counts: How many of them each weight has; int32.
    """

    pairs: Int[Tensor, "2 K most"]
    counts: Int[Tensor, " K"]

    @classmethod
    def of(cls, kernel_map: KernelMap) -> NativePairs:
        """What `kernel_map` holds, derived once however many layers ask."""
        found = _NATIVE.get(kernel_map.forward)
        if found is None:
            with torch.inference_mode(False):
                found = _NATIVE[kernel_map.forward] = cls._derived(kernel_map)
        return found

    @classmethod
    def _derived(cls, kernel_map: KernelMap) -> NativePairs:
        by_weight = kernel_map.table.T
        weight, row_out = (by_weight >= 0).nonzero(as_tuple=True)
        counts = torch.bincount(weight, minlength=len(by_weight))
        starts = counts.cumsum(0) - counts
        place = torch.arange(len(weight), device=weight.device) - starts[weight]
        most = int(counts.max()) if len(weight) else 0
        pairs = by_weight.new_full((2, len(by_weight), most), -1)
        pairs[0, weight, place] = by_weight[weight, row_out]
        pairs[1, weight, place] = row_out.int()
        if kernel_map.symmetric:
            # spconv multiplies the centre without indices, and counts no pairs for it.
            counts[len(counts) // 2] = 0
        return cls(pairs, counts.int())


_IMPLICIT: WeakKeyDictionary[Links, ImplicitPairs] = WeakKeyDictionary()
_NATIVE: WeakKeyDictionary[Links, NativePairs] = WeakKeyDictionary()
