"""Cells as 64-bit keys: sorted keys are sorted cells, and a neighbour is a constant away.

Offers `Packing` and `pack`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

MAX_BITS = 62

NEGATIVE = "cell indices must not be negative"
UNSORTED = "rows of coords must be sorted and unique"


@dataclass(frozen=True)
class Packing:
    """Bit fields of a key: batch index on top, then the three axes.

    Each axis has at least one value more than it needs, so that a step off one end never lands on
    an occupied cell of the next field.
    """

    bits: tuple[int, int, int]

    @classmethod
    def holding(cls, tops: Sequence[int]) -> Packing:
        """The narrowest fields for batch indices and cell indices up to `tops`, these included.

        Raises:
            ValueError: They do not fit a key.
        """
        batch, *axes = ((top + 1).bit_length() for top in tops)
        if batch + sum(axes) > MAX_BITS:
            raise ValueError(f"cell indices must fit {MAX_BITS} bits in all, batch index included")
        first, second, third = axes
        return cls((first, second, third))

    @property
    def shifts(self) -> tuple[int, int, int]:
        """Position of each axis's field."""
        _, second, third = self.bits
        return second + third, third, 0

    @property
    def batch_shift(self) -> int:
        """Position of the batch index."""
        return sum(self.bits)

    @property
    def halving_mask(self) -> int:
        """What to keep of a key that was shifted right by one.

        The lowest bit of a field would slip into the one below, and the batch index must not move.
        """
        fields = zip(self.bits, self.shifts, strict=True)
        return sum(((1 << (width - 1)) - 1) << shift for width, shift in fields)

    def step(self, offset: tuple[int, int, int]) -> int:
        """What to add to a key to move by `offset` cells."""
        return sum(steps << shift for steps, shift in zip(offset, self.shifts, strict=True))

    def halved(self, keys: Int[Tensor, " voxels"]) -> Int[Tensor, " voxels"]:
        """Keys of the cells of twice the edge: every axis halved, rounded down."""
        batch = (keys >> self.batch_shift) << self.batch_shift
        return ((keys >> 1) & self.halving_mask) | batch

    def corner(self, keys: Int[Tensor, " voxels"]) -> Int[Tensor, " voxels"]:
        """Which of the 8 children of its parent each cell is."""
        low = [((keys >> shift) & 1) << axis for axis, shift in enumerate(self.shifts)]
        return low[0] | low[1] | low[2]

    def keys(self, coords: Int[Tensor, "voxels 4"]) -> Int[Tensor, " voxels"]:
        """Keys of batch indices and cell indices that fit the fields."""
        keys = coords[:, 0]
        for axis, width in enumerate(self.bits, start=1):
            keys = (keys << width) | coords[:, axis]
        return keys

    def unpack(self, keys: Int[Tensor, " voxels"]) -> Int[Tensor, "voxels 4"]:
        """Batch index and cell indices of every key."""
        fields = zip(self.bits, self.shifts, strict=True)
        axes = [(keys >> shift) & ((1 << width) - 1) for width, shift in fields]
        return torch.stack((keys >> self.batch_shift, *axes), dim=1)


def pack(coords: Int[Tensor, "voxels 4"]) -> tuple[Int[Tensor, " voxels"], Packing]:
    """Keys of cells, and how to read them.

    Args:
        coords: Batch index and three cell indices, not negative, rows sorted and unique.

    Raises:
        ValueError: The rows are not sorted and unique, or span too much for 64 bits.
    """
    coords = coords.long()
    empty = len(coords) == 0
    if not empty and coords.amin() < 0:
        raise ValueError(NEGATIVE)
    packing = Packing.holding([0] * 4 if empty else coords.amax(dim=0).tolist())
    keys = packing.keys(coords)
    if not (keys[1:] > keys[:-1]).all():
        raise ValueError(UNSORTED)
    return keys, packing
