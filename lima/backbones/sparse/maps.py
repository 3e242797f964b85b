"""Voxels -> `Level`: the cells of one resolution, and the kernel maps between cells.

Each level of a batch is built once, when first asked for, and so is each of its kernel maps; all
layers share them. No hash table: cells are packed into sorted 64-bit keys, so a neighbour is a
constant added to a key and found by bisection, and the neighbour along the last axis lies next
door. This is host work, in numpy; engines see tensors on the device of the voxels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Int
from torch import Tensor

from lima_bench.lima.backbones.sparse.kernel_map import KernelMap, Rows

KERNEL = 3
N_WEIGHTS = KERNEL**3
N_CORNERS = 8
MAX_BITS = 62

LINES = ((0, 0), (1, 0), (-1, 1), (0, 1), (1, 1))
"""Steps along the first two axes; with their mirror images they make up all lines around a cell."""

Keys = npt.NDArray[np.int64]


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

    def halved(self, keys: Keys) -> Keys:
        """Keys of the cells of twice the edge: every axis halved, rounded down."""
        fields = zip(self.bits, self.shifts, strict=True)
        # The lowest bit of a field would slip into the one below.
        own = sum(((1 << (width - 1)) - 1) << shift for width, shift in fields)
        batch = (keys >> self.batch_shift) << self.batch_shift
        return ((keys >> 1) & own) | batch

    def corner(self, keys: Keys) -> Keys:
        """Which of the 8 children of its parent each cell is."""
        low = [((keys >> shift) & 1) << axis for axis, shift in enumerate(self.shifts)]
        return low[0] | low[1] | low[2]


@dataclass(frozen=True, eq=False)
class Level:
    """The occupied cells of one resolution.

    Attributes:
        keys: One packed key per cell, ascending.
        packing: How to read them.
        device: Where the voxels' features are.
        stride: Edge of a cell, in cells of the finest level.
    """

    keys: Keys
    packing: Packing
    device: torch.device
    stride: int = 1

    @classmethod
    def of(cls, coords: Int[Tensor, "voxels 4"]) -> Level:
        """The finest level of a batch.

        Args:
            coords: Batch index and three cell indices, not negative, rows sorted and unique.

        Raises:
            ValueError: The rows are not sorted and unique, or span too much for 64 bits.
        """
        cells = coords.cpu().numpy()
        bits = [(int(top) + 1).bit_length() for top in cells.max(axis=0, initial=0)]
        if sum(bits) > MAX_BITS or cells.min(initial=0) < 0:
            raise ValueError(f"cell indices must lie between 0 and {MAX_BITS} bits in all")
        packing = Packing((bits[1], bits[2], bits[3]))
        keys = cells[:, 0] << packing.batch_shift
        for axis, shift in enumerate(packing.shifts, start=1):
            keys |= cells[:, axis] << shift
        if not (keys[1:] > keys[:-1]).all():
            raise ValueError("rows of coords must be sorted and unique")
        return cls(keys, packing, coords.device)

    @property
    def n_voxels(self) -> int:
        """Number of occupied cells."""
        return len(self.keys)

    @cached_property
    def coords(self) -> Int[Tensor, "voxels 4"]:
        """Batch index and three cell indices at this resolution."""
        fields = zip(self.packing.bits, self.packing.shifts, strict=True)
        axes = [(self.keys >> shift) & ((1 << width) - 1) for width, shift in fields]
        coords = np.column_stack((self.keys >> self.packing.batch_shift, *axes))
        return torch.from_numpy(coords).to(self.device)

    @cached_property
    def neighbours(self) -> KernelMap:
        """Submanifold kernel of 3: every cell and its up to 26 occupied neighbours."""
        rows_in, rows_out = _neighbour_pairs(self.keys, self.packing)
        n_voxels = self.n_voxels
        return KernelMap(rows_in, rows_out, n_voxels, n_voxels, self.device, symmetric=True)

    @cached_property
    def coarser(self) -> Level:
        """The cells of twice the edge that hold this level's cells."""
        return Level(self._halving[0], self.packing, self.device, self.stride * 2)

    @cached_property
    def parent(self) -> Int[Tensor, " voxels"]:
        """For each cell, the row of the coarser cell that holds it."""
        return self._halving[1].to(self.device)

    @cached_property
    def down(self) -> KernelMap:
        """Kernel of 2, stride 2: each coarser cell and its up to 8 cells of this level."""
        return self.up.transposed

    @cached_property
    def up(self) -> KernelMap:
        """The inverse of `down`: each cell and the coarser cell that holds it, under one weight."""
        parent = self._halving[1].numpy().astype(np.int32)
        corner = self.packing.corner(self.keys).astype(np.uint8)
        order = corner.argsort(kind="stable").astype(np.int32)
        ends = np.bincount(corner, minlength=N_CORNERS).cumsum()[:-1]
        rows_out = tuple(np.split(order, ends))
        rows_in = tuple(np.split(parent[order], ends))
        return KernelMap(rows_in, rows_out, self.coarser.n_voxels, self.n_voxels, self.device)

    @cached_property
    def _halving(self) -> tuple[Keys, Int[Tensor, " voxels"]]:
        """Keys of the coarser cells, and the row of each cell's among them."""
        halved = torch.from_numpy(self.packing.halved(self.keys))
        keys, parent = torch.unique(halved, return_inverse=True)
        return keys.numpy(), parent


def _neighbour_pairs(keys: Keys, packing: Packing) -> tuple[tuple[Rows, ...], tuple[Rows, ...]]:
    """Input and output rows under each of the 27 weights.

    One bisection finds the first of three neighbours in a line along the last axis; the others, if
    they exist, are the rows that follow. A pair under one weight is, turned round, a pair under the
    opposite one.
    """
    centre = np.arange(len(keys), dtype=np.int32)
    rows_in, rows_out = [centre] * N_WEIGHTS, [centre] * N_WEIGHTS
    padded = np.concatenate((keys, np.full(KERNEL, np.iinfo(np.int64).max)))
    for first, second in LINES:
        thirds = (1,) if (first, second) == (0, 0) else (-1, 0, 1)
        target = keys + packing.step((first, second, thirds[0]))
        at = np.searchsorted(keys, target)
        for third in thirds:
            hit = padded.take(at) == target
            rows = hit.nonzero()[0]
            found = at.take(rows).astype(np.int32)
            weight = (first + 1) + KERNEL * (second + 1) + KERNEL * KERNEL * (third + 1)
            opposite = N_WEIGHTS - 1 - weight
            rows_out[weight] = rows_in[opposite] = rows.astype(np.int32)
            rows_in[weight] = rows_out[opposite] = found
            at += hit
            target += 1
    return tuple(rows_in), tuple(rows_out)
