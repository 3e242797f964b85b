"""From points to kernel maps: the voxeliser, and the maps of all levels against spconv's pairs.

Offers `rows`. Each side builds what it needs to compute forward and backward at five resolutions:
ours sorted keys, tables and lists of pairs; spconv hash tables and lists of pairs.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from benchmarks import spconv_peer
from benchmarks.contenders import PEER
from benchmarks.rows import Row, interleave
from benchmarks.scans import LARGE, QUICK, Sensor, scan, scan_voxels
from lima_bench.lima.backbones.sparse.maps import Level
from lima_bench.lima.recipes import VoxelSettings
from lima_bench.lima.voxels import voxelise

N_LEVELS = 5
TARGET = 4.0


def rows(quick: bool) -> list[Row]:
    """Both steps of getting a scan ready."""
    sensor, rounds = (QUICK, 3) if quick else (LARGE, 21)
    return [*_map_rows(sensor, rounds), *_voxeliser_rows(sensor, rounds)]


def _map_rows(sensor: Sensor, rounds: int) -> list[Row]:
    voxels = scan_voxels(sensor)
    work: dict[str, Callable[[], object]] = {"ours": lambda: everything(voxels.coords)}
    reason = spconv_peer.why_not()
    if not reason:
        work[PEER] = lambda: spconv_peer.pair_lists(voxels, N_LEVELS)
    timings = interleave(work, rounds=rounds)
    note = (
        f"{timings.sample('ours', 1e3).median:.1f} ms, {N_LEVELS} levels from {len(voxels.coords)}"
    )
    name = "maps/all levels over spconv"
    if reason:
        return [Row.of(name, None, "x", at_least=TARGET, note=f"{note} voxels; {reason}")]
    note += f" voxels; spconv {timings.sample(PEER, 1e3).median:.1f} ms"
    return [Row.of(name, timings.ratio(PEER, "ours"), "x", at_least=TARGET, note=note)]


def everything(coords: torch.Tensor) -> Level:
    """The levels of a batch with all that layers will ask for, lists of pairs included."""
    finest = level = Level.of(coords, N_LEVELS)
    _ = level.neighbours.forward.pairs
    while level.below is not None:
        _ = level.up.forward.pairs, level.down.forward.pairs
        level = level.coarser
        _ = level.neighbours.forward.pairs
    return finest


def _voxeliser_rows(sensor: Sensor, rounds: int) -> list[Row]:
    xyz = scan(sensor)
    size = sensor.voxel_size_m
    grid = VoxelSettings(kind="cartesian", size=(size,) * 3)
    features = np.column_stack((xyz, np.ones(len(xyz), np.float32)))
    cloud = np.zeros(len(xyz), np.int64)
    work: dict[str, Callable[[], object]] = {
        "ours": lambda: voxelise(xyz, features, cloud, grid, n_clouds=1),
        "numpy.unique": lambda: _by_numpy(xyz, size),
    }
    if not spconv_peer.why_not():
        work[PEER] = spconv_peer.voxeliser(features, size)
    timings = interleave(work, rounds=rounds)
    note = f"{timings.sample('ours', 1e3).median:.2f} ms for {len(xyz)} points"
    others = [name for name in work if name != "ours"]
    return [
        Row.of(f"maps/voxeliser over {name}", timings.ratio(name, "ours"), "x", note=note)
        for name in others
    ]


def _by_numpy(xyz: npt.NDArray[np.float32], size: float) -> object:
    """As it is usually written: distinct rows, the first of each, and each point's rank."""
    cells = np.floor(xyz / size).astype(np.int64)
    cells -= cells.min(axis=0)
    extent = cells.max(axis=0) + 1
    keys = (cells[:, 0] * extent[1] + cells[:, 1]) * extent[2] + cells[:, 2]
    return np.unique(keys, return_index=True, return_inverse=True)
