"""Voxels -> `Level`: the cells of one resolution, and the kernel maps between cells.

Each level of a batch is built once, when first asked for, and so is each of its kernel maps; all
layers share them. No hash table: cells are packed into sorted 64-bit keys, so a neighbour is a
constant added to a key and found by bisection, and the neighbour along the last axis lies next door.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Int
from torch import Tensor

from lima_bench.lima.backbones.sparse.kernel_map import KernelMap

KERNEL = 3
N_WEIGHTS = KERNEL**3
MAX_BITS = 62


@dataclass(frozen=True)
class Packing:
    """Bit fields of a key: batch index on top, then the three axes.

    Each axis has at least one value more than it needs, so that a step off one end never lands on
    an occupied cell of the next field.
    """

    bits: tuple[int, int, int]

    @property
    def shifts(self) -> tuple[int, int, int]:
        """Position of each axis's field."""
        _, second, third = self.bits
        return second + third, third, 0

    @property
    def batch_shift(self) -> int:
        """Position of the batch index."""
        return sum(self.bits)

    def step(self, offset: tuple[int, int, int]) -> int:
        """What to add to a key to move by `offset` cells."""
        return sum(steps << shift for steps, shift in zip(offset, self.shifts, strict=True))

    @property
    def kept_by_halving(self) -> int:
        """Bits of a halved key that belong to their own field: all but the top one of each."""
        fields = zip(self.bits, self.shifts, strict=True)
        return sum(((1 << (width - 1)) - 1) << shift for width, shift in fields)


@dataclass(frozen=True, eq=False)
class Level:
    """The occupied cells of one resolution.

    Attributes:
        keys: One packed key per cell, ascending.
        packing: How to read them.
        stride: Edge of a cell, in cells of the finest level.
    """

    keys: Int[Tensor, " voxels"]
    packing: Packing
    stride: int = 1

    @classmethod
    def of(cls, coords: Int[Tensor, "voxels 4"]) -> Level:
        """The finest level of a batch.

        Args:
            coords: Batch index and three cell indices, not negative, rows sorted and unique.

        Raises:
            ValueError: The rows are not sorted and unique, or span too much for 64 bits.
        """
        tops = [int(top) for top in coords.max(dim=0).values] if len(coords) else [0, 0, 0, 0]
        bits = [(top + 1).bit_length() for top in tops]
        packing = Packing((bits[1], bits[2], bits[3]))
        if sum(bits) > MAX_BITS:
            raise ValueError(f"cells up to {tops} do not fit into {MAX_BITS} bits")
        keys = coords[:, 0] << packing.batch_shift
        for axis, shift in enumerate(packing.shifts):
            keys = keys | (coords[:, axis + 1] << shift)
        if not bool((keys[1:] > keys[:-1]).all()):
            raise ValueError("rows of coords must be sorted and unique")
        return cls(keys, packing)

    @property
    def n_voxels(self) -> int:
        """Number of occupied cells."""
        return len(self.keys)

    @cached_property
    def coords(self) -> Int[Tensor, "voxels 4"]:
        """Batch index and three cell indices at this resolution."""
        fields = zip(self.packing.bits, self.packing.shifts, strict=True)
        axes = [(self.keys >> shift) & ((1 << width) - 1) for width, shift in fields]
        return torch.stack((self.keys >> self.packing.batch_shift, *axes), dim=1)

    @cached_property
    def neighbours(self) -> KernelMap:
        """Submanifold kernel of 3: every cell and its up to 26 occupied neighbours."""
        return KernelMap(_neighbour_table(self.keys, self.packing), self.n_voxels, symmetric=True)

    @cached_property
    def _halving(self) -> tuple[Level, Int[Tensor, " voxels"]]:
        batch = (self.keys >> self.packing.batch_shift) << self.packing.batch_shift
        halved = ((self.keys >> 1) & self.packing.kept_by_halving) | batch
        keys, parent = torch.unique(halved, return_inverse=True)
        return Level(keys, self.packing, self.stride * 2), parent

    @property
    def coarser(self) -> Level:
        """The cells of twice the edge that hold this level's cells: indices halved, rounded down."""
        return self._halving[0]

    @property
    def parent(self) -> Int[Tensor, " voxels"]:
        """For each cell, the row of the coarser cell that holds it."""
        return self._halving[1]

    @cached_property
    def down(self) -> KernelMap:
        """Kernel of 2, stride 2: each coarser cell and its up to 8 cells of this level."""
        return self.up.transposed

    @cached_property
    def up(self) -> KernelMap:
        """The inverse of `down`: each cell and the coarser cell that holds it, under one weight."""
        coarser, parent = self._halving
        corner = sum(
            ((self.keys >> shift) & 1) << axis for axis, shift in enumerate(self.packing.shifts)
        )
        table = torch.full((self.n_voxels, 8), -1, dtype=torch.int32, device=self.keys.device)
        table.scatter_(1, corner.unsqueeze(1), parent.to(torch.int32).unsqueeze(1))
        return KernelMap(table, coarser.n_voxels)


def _neighbour_table(keys: Int[Tensor, " voxels"], packing: Packing) -> Int[Tensor, "voxels 27"]:
    """The submanifold table: 13 searches and their mirror images."""
    n_voxels = len(keys)
    rows = torch.arange(n_voxels, dtype=torch.int32, device=keys.device)
    # Built weight by weight; the last column takes the writes of absent neighbours.
    columns = torch.full((N_WEIGHTS, n_voxels + 1), -1, dtype=torch.int32, device=keys.device)
    columns[N_WEIGHTS // 2, :n_voxels] = rows
    padded = torch.cat((keys, keys.new_full((1,), torch.iinfo(torch.int64).max)))
    for first, second in ((0, 0), (1, 0), (-1, 1), (0, 1), (1, 1)):
        for third in (1,) if (first, second) == (0, 0) else (-1, 0, 1):
            target = keys + packing.step((first, second, third))
            at = torch.searchsorted(keys, target, out_int32=True)
            hit = padded.index_select(0, at) == target
            weight = (first + 1) + KERNEL * (second + 1) + KERNEL * KERNEL * (third + 1)
            columns[weight, :n_voxels] = torch.where(hit, at, -1)
            mirrored = torch.where(hit, at, n_voxels).long()
            columns[N_WEIGHTS - 1 - weight].scatter_(0, mirrored, rows)
    return columns[:, :n_voxels].t().contiguous()
