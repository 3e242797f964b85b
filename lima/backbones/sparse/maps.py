"""Voxels -> `Level`: the cells of one resolution, the coarser ones below, and all kernel maps.

Offers `Level`. All levels of a batch are built at once, in a loading process where there is one,
and every layer shares them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from jaxtyping import Int
from torch import Tensor

from lima_bench.lima.backbones.sparse import bisection, merge
from lima_bench.lima.backbones.sparse.kernel_map import KernelMap
from lima_bench.lima.backbones.sparse.packing import UNSORTED, Packing, pack
from lima_bench.lima.backbones.sparse.window import Triple, Window


@dataclass(frozen=True, eq=False)
class Level:
    """The occupied cells of one resolution.

    Attributes:
        keys: One packed key per cell, ascending.
        packing: How to read them.
        neighbours: Submanifold kernel of 3: every cell and its up to 26 occupied neighbours.
        below: The way to the next coarser level; None at the coarsest.
        stride: Edge of a cell along the first axis, in cells of the finest level.
    """

    keys: Int[Tensor, " voxels"]
    packing: Packing
    neighbours: KernelMap
    below: Descent | None = None
    stride: int = 1

    @classmethod
    def of(cls, coords: Int[Tensor, "voxels 4"], n_levels: int) -> Level:
        """The finest level of a batch, with the coarser ones below it.

        Args:
            coords: Batch index and three cell indices, not negative, rows sorted and unique.
            n_levels: How many resolutions, this one included.

        Raises:
            ValueError: The rows are not sorted and unique, or span too much for 64 bits.
        """
        on_cpu = coords.device.type == "cpu"
        return cls.of_keys(*(merge.pack(coords) if on_cpu else pack(coords)), n_levels)

    @classmethod
    def of_keys(cls, keys: Int[Tensor, " voxels"], packing: Packing, n_levels: int) -> Level:
        """As `of`, where the cells are packed already: one ascending key each."""
        return _build(keys, packing, n_levels, stride=1)

    @classmethod
    def strided(
        cls, coords: Int[Tensor, "voxels 4"], extent: Triple, windows: Sequence[Window]
    ) -> Level:
        """The finest level of a batch, and below it one for each of `windows`.

        Args:
            coords: As of `of`, within the grid.
            extent: Cells along each axis of the grid.
            windows: Of the convolutions that lead down, finest first.

        Raises:
            ValueError: The rows are not sorted and unique, or the grid is too small for a window.
        """
        clouds = int(coords[:, 0].max()) if len(coords) else 0
        packing = Packing.holding((clouds, *(side - 1 for side in extent)))
        keys = packing.keys(coords.long())
        if not (keys[1:] > keys[:-1]).all():
            raise ValueError(UNSORTED)
        return cls.strided_of_keys(keys, packing, extent, windows)

    @classmethod
    def strided_of_keys(
        cls,
        keys: Int[Tensor, " voxels"],
        packing: Packing,
        extent: Triple,
        windows: Sequence[Window],
    ) -> Level:
        """As `strided`, where the cells are packed already: one ascending key each."""
        return _build_strided(keys, packing, extent, windows, stride=1)

    @property
    def n_voxels(self) -> int:
        """Number of occupied cells."""
        return len(self.keys)

    @cached_property
    def coords(self) -> Int[Tensor, "voxels 4"]:
        """Batch index and three cell indices at this resolution."""
        return self.packing.unpack(self.keys)

    @property
    def coarser(self) -> Level:
        """The level below: cells of twice the edge, or those of a strided convolution's output."""
        return self._descent.level

    @property
    def up(self) -> KernelMap:
        """The inverse of `down`: each cell and the coarser cells that it reaches, each once."""
        return self._descent.up

    @cached_property
    def down(self) -> KernelMap:
        """Kernel of 2, stride 2: each coarser cell and its up to 8 cells of this level.

        Below a `strided` level: each output of the window's convolution and what it looks at.
        """
        return self._descent.up.transposed

    @cached_property
    def parent(self) -> Int[Tensor, " voxels"]:
        """For each cell, the row of the coarser cell of twice the edge that holds it; int32."""
        return self.up.forward.single

    @property
    def _descent(self) -> Descent:
        if self.below is None:
            raise ValueError(f"the level of stride {self.stride} was built as the coarsest")
        return self.below


@dataclass(frozen=True, eq=False)
class Descent:
    """From one level to the next coarser one.

    Attributes:
        level: The coarser level.
        up: Kernel map from it to the finer one; turned round it leads down.
    """

    level: Level
    up: KernelMap


def _build(keys: Int[Tensor, " voxels"], packing: Packing, n_levels: int, stride: int) -> Level:
    builder = merge if keys.device.type == "cpu" else bisection
    neighbours = KernelMap(builder.neighbour_links(keys, packing))
    if n_levels == 1:
        return Level(keys, packing, neighbours, None, stride)
    coarse, down, up = builder.halving_links(keys, packing)
    below = Descent(_build(coarse, packing, n_levels - 1, stride * 2), KernelMap(up, down))
    return Level(keys, packing, neighbours, below, stride)


def _build_strided(
    keys: Int[Tensor, " voxels"],
    packing: Packing,
    extent: Triple,
    windows: Sequence[Window],
    stride: int,
) -> Level:
    builder = merge if keys.device.type == "cpu" else bisection
    neighbours = KernelMap(builder.neighbour_links(keys, packing))
    if not windows:
        return Level(keys, packing, neighbours, None, stride)
    window, *others = windows
    smaller = window.outputs(extent)
    coarse, down, up = builder.strided_links(keys, packing, window, smaller)
    lower = _build_strided(coarse, packing, smaller, others, stride * window.stride[0])
    return Level(keys, packing, neighbours, Descent(lower, KernelMap(up, down)), stride)
