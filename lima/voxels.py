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
from lima_bench.datasets.sample import Bool, Float32, Int64
from lima_bench.lima.backbones.sparse.maps import Level
from lima_bench.lima.backbones.sparse.packing import Packing
from lima_bench.lima.radix import sort_keys
from lima_bench.lima.recipes import VoxelSettings
from lima_bench.lima.tree import to_device
from lima_bench.lima.voxel_kernels import cells_of, distinct, keys_of

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
        xyz: The points themselves, after augmentation, metres.
        n_clouds: Number of clouds in the batch.
        level: The cells with their kernel maps, where the loader has built them.
    """

    coords: Int[Tensor, "voxels 4"]
    features: Float[Tensor, "voxels channels"]
    inverse: Int[Tensor, " points"]
    first: Int[Tensor, " voxels"]
    xyz: Float[Tensor, "points 3"]
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
    stops = np.searchsorted(cloud_index, np.arange(n_clouds), side="right")
    cells, lowest, highest, fits = cells_of(
        _positions(xyz, settings),
        np.array(settings.size, dtype=xyz.dtype),
        settings.rounding == "round",
        stops,
        MAX_INDEX,
    )
    if not fits:
        raise _out_of_grid("Some coordinates are not finite, or larger than any grid.")
    occupied = np.diff(stops, prepend=0) > 0
    shifts = np.where(occupied[:, None], _shifts(lowest, settings), 0)
    packing = _packing(highest + shifts, occupied)
    keys = keys_of(cells, shifts, stops, *packing.bits[1:], packing.batch_shift)
    distinct_keys, first, inverse = distinct(*sort_keys(keys))
    voxel_keys = torch.from_numpy(distinct_keys)
    return Voxels(
        coords=packing.unpack(voxel_keys),
        features=torch.from_numpy(features.take(first, axis=0)),
        inverse=torch.from_numpy(inverse),
        first=torch.from_numpy(first),
        xyz=torch.from_numpy(xyz),
        n_clouds=n_clouds,
        level=None if n_levels is None else Level.of_keys(voxel_keys, packing, n_levels),
    )


def _out_of_grid(what: str) -> UserError:
    how = "Check the scan's coordinates, set max_range_m, or enlarge the cells."
    return UserError("voxels of a batch", what, how)


def _positions(xyz: Float32, settings: VoxelSettings) -> Float32:
    """(points, 3) along the axes of the grid: metres, and degrees for an angle."""
    if settings.kind == "cartesian":
        return np.require(xyz, requirements=["C", "W"])
    # Only numpy's own functions give numpy's last bit of an angle.
    x, y, z = xyz.T
    return np.column_stack((np.hypot(x, y), np.degrees(np.arctan2(y, x)), z))


def _shifts(lowest: Int64, settings: VoxelSettings) -> Int64:
    """What to add to the cells of each cloud so that no index of it is negative.

    Aligned shifts are the least multiples of 16 that do; for an angle those that lift -180 degrees.
    """
    if settings.shift == "minimum":
        return -lowest
    blocks = -(np.minimum(lowest, 0) // ALIGNMENT)
    if settings.kind == "cylindrical":
        blocks[:, 1] = math.ceil(180.0 / settings.size[1] / ALIGNMENT)
    shifts: Int64 = blocks * ALIGNMENT
    return shifts


def _packing(highest: Int64, occupied: Bool) -> Packing:
    """Keys for the cells of clouds that reach so high."""
    extent = [int(top) + 1 for top in highest[occupied].max(axis=0, initial=0)]
    if math.prod(extent) * max(len(occupied), 1) >= MAX_CELLS:
        raise _out_of_grid(f"The points span {' x '.join(map(str, extent))} cells.")
    last_cloud = int(np.flatnonzero(occupied).max(initial=0))
    return Packing.holding((last_cloud, *(side - 1 for side in extent)))
