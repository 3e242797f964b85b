"""Points -> voxels of a grid that begins and ends somewhere, as detectors have it.

Offers `voxelise_bounded`. A cell is fed the mean of its first points; points outside, and those of
cells beyond a limit, are in no cell, but stay rows: what a network says elsewhere reaches them too.
Source: spconv's point-to-voxel functions as SLidR and OpenPCDet call them (methods-spatial 1.3).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from lima_bench.common.errors import UserError
from lima_bench.datasets.sample import Bool, Float32, Int64
from lima_bench.lima.backbones.sparse.maps import Level
from lima_bench.lima.backbones.sparse.packing import Packing
from lima_bench.lima.backbones.sparse.window import Window
from lima_bench.lima.radix import Int32, sort_keys
from lima_bench.lima.recipes import VoxelSettings
from lima_bench.lima.voxel_kernels import distinct, keys_of
from lima_bench.lima.voxels import Grid, Voxels


def voxelise_bounded(
    xyz: Float32,
    features: Float32,
    cloud_index: Int64,
    settings: VoxelSettings,
    *,
    n_clouds: int,
    windows: Sequence[Window] | None = None,
) -> Voxels:
    """Put every point into its cell, if it has one.

    Args:
        xyz: (points, 3) metres.
        features: (points, channels) that the network is fed.
        cloud_index: (points,) the cloud of each point; clouds lie one after the other.
        settings: The grid, with bounds.
        n_clouds: Number of clouds, empty ones included.
        windows: Build the kernel maps of these convolutions; None leaves them to the network.

    Raises:
        UserError: A coordinate is not finite.
    """
    bounds, extent = settings.bounds, settings.extent
    assert bounds is not None and extent is not None  # the caller has looked
    inside, cells = _inside(xyz, settings)
    packing = Packing.holding((max(n_clouds - 1, 0), *(side - 1 for side in extent)))
    stops = np.searchsorted(cloud_index[inside], np.arange(n_clouds), side="right")
    no_shift = np.zeros((n_clouds, 3), dtype=np.int64)
    keys = keys_of(cells, no_shift, stops, *packing.bits[1:], packing.batch_shift)
    ordered, order = sort_keys(keys)
    cell_keys, first, inverse = distinct(ordered, order)
    kept = _first_come(first, cell_keys >> packing.batch_shift, bounds.max_cells)
    new_number = np.where(kept, np.cumsum(kept) - 1, -1)
    rows = np.full(len(xyz), -1, dtype=np.int64)
    rows[inside] = new_number[inverse]
    means = _means(features.take(inside, axis=0), order, inverse, bounds.max_points)
    voxel_keys = torch.from_numpy(cell_keys[kept])
    return Voxels(
        coords=packing.unpack(voxel_keys),
        features=torch.from_numpy(means[kept]),
        inverse=torch.from_numpy(rows),
        first=torch.from_numpy(inside[first[kept]]),
        xyz=torch.from_numpy(xyz),
        n_clouds=n_clouds,
        level=None
        if windows is None
        else Level.strided_of_keys(voxel_keys, packing, extent, windows),
        grid=Grid(bounds.lower, settings.size, extent, torch.from_numpy(cloud_index)),
    )


def _inside(xyz: Float32, settings: VoxelSettings) -> tuple[Int64, Int64]:
    """The points that lie in the grid, and their cells."""
    assert settings.bounds is not None
    if not np.isfinite(xyz).all():
        how = "Check the scan's coordinates."
        raise UserError("voxels of a batch", "Some coordinates are not finite.", how)
    lower, size = (np.array(v, dtype=xyz.dtype) for v in (settings.bounds.lower, settings.size))
    cells = np.floor((xyz - lower) / size)
    n_cells = np.array(settings.extent) - (0, 0, settings.bounds.spare_layers)
    inside = np.flatnonzero(((cells >= 0) & (cells < n_cells)).all(axis=1))
    return inside, cells.take(inside, axis=0).astype(np.int64)


def _first_come(first: Int64, cloud: Int64, most: int) -> Bool:
    """Which cells are among the `most` of their cloud whose first points come first.

    Clouds lie one after the other, so their cells do, and so do their points.
    """
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    before = np.searchsorted(cloud, cloud)
    kept: Bool = rank - before < most
    return kept


def _means(features: Float32, order: Int32, inverse: Int64, most: int) -> Float32:
    """Mean of the first `most` points of every cell, which are there in file order."""
    if not len(order):
        return features[:0]
    cell = inverse.take(order)
    starts = np.flatnonzero(np.diff(cell, prepend=-1))
    place = np.arange(len(cell)) - starts.take(cell)
    chosen = place < most
    counts = np.bincount(cell[chosen], minlength=len(starts))
    begins = np.cumsum(counts) - counts
    sums = np.add.reduceat(features.take(order[chosen], axis=0).astype(np.float64), begins, axis=0)
    means: Float32 = (sums / counts[:, None]).astype(features.dtype)
    return means
