"""Compile this part's inner loops ahead: ``python -m lima_bench.lima.warm``.

numba keeps the machine code on disk beside the sources, so set-up pays for it once and every later
process loads it. Without this step the first batch compiles by itself.
"""

from __future__ import annotations

import numpy as np
import torch

from lima_bench.lima.backbones.sparse.engine import engine_on
from lima_bench.lima.backbones.sparse.maps import Level
from lima_bench.lima.backbones.sparse.norm import BatchNorm, normed
from lima_bench.lima.backbones.sparse.window import Window
from lima_bench.lima.bounded import voxelise_bounded
from lima_bench.lima.nearest import nearest_rows, rows_within
from lima_bench.lima.recipes import GridBounds, VoxelSettings
from lima_bench.lima.take import take_rows
from lima_bench.lima.voxels import voxelise


def main() -> None:
    """Take every compiled step once, on a handful of points."""
    warm_convolution(warm_voxels())
    warm_strided()
    warm_norm()
    warm_rows()
    warm_search()


def warm_voxels() -> Level:
    """Points to voxels to kernel maps, by way of the voxeliser's keys and of coordinates."""
    points = np.random.default_rng(0).normal(0.0, 2.0, (64, 3)).astype(np.float32)
    cloud_index = np.repeat(np.arange(2), 32)
    voxels = voxelise(points, points, cloud_index, VoxelSettings(), n_clouds=2, n_levels=2)
    return Level.of(voxels.coords, n_levels=2)


def warm_strided() -> None:
    """Points to the voxels and kernel maps of a grid with bounds."""
    points = np.random.default_rng(0).normal(0.0, 2.0, (64, 3)).astype(np.float32)
    settings = VoxelSettings(
        kind="cartesian", size=(0.8, 0.8, 0.8), rounding="floor", bounds=GridBounds()
    )
    cloud_index = np.repeat(np.arange(2), 32)
    voxelise_bounded(points, points, cloud_index, settings, n_clouds=2, windows=(Window(),))


def warm_convolution(level: Level) -> None:
    """A convolution and both of its gradients, by the engine that computes here."""
    features, weight = torch.ones(level.n_voxels, 2), torch.ones(27, 2, 2)
    features.requires_grad_(), weight.requires_grad_()
    engine = engine_on(features.device)
    engine.convolve(features, weight, level.neighbours).sum().backward()  # type: ignore[no-untyped-call]


def warm_norm() -> None:
    """Batch normalisation and its gradient."""
    features = torch.ones(4, 2, requires_grad=True)
    normed(BatchNorm(2), features).sum().backward()  # type: ignore[no-untyped-call]


def warm_rows() -> None:
    """The gradient of rows taken by either kind of number."""
    for kind in (torch.int32, torch.int64):
        features = torch.ones(4, 2, requires_grad=True)
        take_rows(features, torch.zeros(3, dtype=kind)).sum().backward()  # type: ignore[no-untyped-call]


def warm_search() -> None:
    """The search for past neighbours, and for all points near by."""
    points = np.zeros((4, 3), dtype=np.float32)
    nearest_rows(points, np.eye(4), points, radius_m=0.5)
    rows_within(points, points, radius_m=0.5, most=2)


if __name__ == "__main__":
    main()
