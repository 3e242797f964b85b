"""Points -> voxels and back: cylindrical or Cartesian cells, with the map from point to voxel.

Offers `Voxels`, what a backbone takes, and `voxelise`, which makes them from the points of a batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from lima_bench.common.errors import UserError
from lima_bench.datasets.sample import Float32, Int64
from lima_bench.lima.backbones.sparse.maps import Level
from lima_bench.lima.recipes import VoxelSettings
from lima_bench.lima.tree import to_device

ALIGNMENT = 16
"""Shifts by a multiple of the coarsest stride leave every down-sampling grid where it was."""

MAX_INDEX = 1 << 40
"""Beyond this a cell index is no measurement, and nearly beyond 64-bit arithmetic."""

MAX_CELLS = 1 << 58
"""Cells of the box around a batch that bit fields of a 64-bit key can always tell apart."""


@dataclass(frozen=True)
class Voxels:
    """Occupied cells of a batch of clouds.

    Attributes:
        coords: Batch index and three cell indices (never negative); rows sorted and unique.
        features: Input features of each cell (of the first point that fell in it).
        inverse: For each point, its cell.
        first: For each cell, its first point.
        n_clouds: Number of clouds in the batch.
        level: The cells with their kernel maps, where the loader has built them.
    """

    coords: Int[Tensor, "voxels 4"]
    features: Float[Tensor, "voxels channels"]
    inverse: Int[Tensor, " points"]
    first: Int[Tensor, " voxels"]
    n_clouds: int
    level: Level | None = None

    def to(self, device: torch.device | str) -> Voxels:
        """The same voxels on `device`."""
        return to_device(self, device)


def voxelise(
    xyz: Float32,
    features: Float32,
    cloud_index: Int64,
    settings: VoxelSettings,
    *,
    n_clouds: int,
    n_levels: int | None = None,
) -> Voxels:
    """Put every point into its cell; the first point of a cell, in the given order, stands for it.

    Args:
        xyz: (points, 3) metres.
        features: (points, channels) that the network is fed.
        cloud_index: (points,) the cloud of each point; clouds lie one after the other.
        settings: The grid.
        n_clouds: Number of clouds, empty ones included.
        n_levels: Build the kernel maps of so many resolutions; None leaves them to the network.

    Raises:
        UserError: A coordinate is not finite, or the points are too far apart for the cell size.
    """
    cells = _cells(xyz, settings)
    cells += _shift(cells, cloud_index, settings, n_clouds)
    extent = [int(side) + 1 for side in cells.max(axis=0, initial=0)]
    if math.prod(extent) * max(n_clouds, 1) >= MAX_CELLS:
        raise _out_of_grid(f"The points span {' x '.join(map(str, extent))} cells.")
    keys = cloud_index.astype(np.int64)
    for axis in range(3):
        keys = keys * extent[axis] + cells[:, axis]
    first, inverse = _first_and_inverse(keys)
    coords = torch.from_numpy(
        np.column_stack((cloud_index[first], cells[first])).astype(np.int64, copy=False)
    )
    return Voxels(
        coords=coords,
        features=torch.from_numpy(np.ascontiguousarray(features[first])),
        inverse=torch.from_numpy(inverse),
        first=torch.from_numpy(first),
        n_clouds=n_clouds,
        level=None if n_levels is None else Level.of(coords, n_levels),
    )


def _out_of_grid(what: str) -> UserError:
    how = "Check the scan's coordinates, set max_range_m, or enlarge the cells."
    return UserError("voxels of a batch", what, how)


def _cells(xyz: Float32, settings: VoxelSettings) -> Int64:
    """(points, 3) index of each point's cell before any shift: may be negative."""
    if settings.kind == "cylindrical":
        x, y, z = xyz.T
        position = np.column_stack((np.hypot(x, y), np.degrees(np.arctan2(y, x)), z))
    else:
        position = xyz
    position = position / np.asarray(settings.size, dtype=xyz.dtype)
    # Halves go to the even neighbour, as in the published code (torch.round).
    whole = np.rint(position) if settings.rounding == "round" else np.floor(position)
    if not (np.abs(whole) < MAX_INDEX).all():
        raise _out_of_grid("Some coordinates are not finite, or larger than any grid.")
    return whole.astype(np.int64)


def _shift(
    cells: Int64,
    cloud_index: Int64,
    settings: VoxelSettings,
    n_clouds: int,
) -> Int64:
    """What to add to each point's cell so that no index of its cloud is negative."""
    shifts = np.zeros((n_clouds, 3), dtype=np.int64)
    stops = np.searchsorted(cloud_index, np.arange(n_clouds), side="right")
    for cloud, stop in enumerate(stops):
        start = stops[cloud - 1] if cloud else 0
        if stop > start:
            lowest = cells[start:stop].min(axis=0)
            shifts[cloud] = -lowest if settings.shift == "minimum" else _aligned(lowest, settings)
    return shifts[cloud_index]


def _aligned(lowest: Int64, settings: VoxelSettings) -> Int64:
    """The least multiples of 16 that lift `lowest`; for an angle those that lift -180 degrees."""
    blocks = np.ceil(np.maximum(-lowest, 0) / ALIGNMENT).astype(np.int64)
    if settings.kind == "cylindrical":
        blocks[1] = math.ceil(180.0 / settings.size[1] / ALIGNMENT)
    shift: Int64 = blocks * ALIGNMENT
    return shift


def _first_and_inverse(
    keys: Int64,
) -> tuple[Int64, Int64]:
    """First point of each distinct key, keys ascending, and for each point the rank of its key."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    opens = np.ones(len(keys), dtype=bool)
    np.not_equal(ordered[1:], ordered[:-1], out=opens[1:])
    inverse = np.empty(len(keys), dtype=np.int64)
    inverse[order] = np.cumsum(opens) - 1
    return order[opens], inverse
