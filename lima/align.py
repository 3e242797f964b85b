"""Which past points belong to each current one, once the car's own motion is undone.

Offers `PlacedCloud` and two rules: `nearest` and `voxel_rows`. Distances are float64 and, poses
being rigid, the same in any frame: for `nearest`, current points are carried into the past frame.
A third rule, by projection, is `lima_bench.lima.reproject`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lima_bench.lima.nearest import nearest_rows


@dataclass(frozen=True)
class PlacedCloud:
    """Points with the place they were seen from.

    Attributes:
        xyz: (N, 3) float32, metres, LiDAR frame.
        lidar_to_global: (4, 4) float64, rigid.
    """

    xyz: npt.NDArray[np.float32]
    lidar_to_global: npt.NDArray[np.float64]


def nearest(current: PlacedCloud, past: PlacedCloud, radius_m: float) -> npt.NDArray[np.int32]:
    """For each current point the past point nearest to it, or -1 if none is near enough.

    Args:
        current: What asks.
        past: What is searched.
        radius_m: Farther neighbours do not count; a neighbour at exactly this distance does.
    """
    carry = np.linalg.solve(past.lidar_to_global, current.lidar_to_global)
    return nearest_rows(current.xyz, carry, past.xyz, radius_m)


def voxel_rows(
    current: PlacedCloud, past: PlacedCloud, voxel_m: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], int]:
    """Which past and current points share a voxel of the current LiDAR frame.

    Args:
        current: What asks.
        past: What is asked, carried into the current frame.
        voxel_m: Edge; the sensor lies in a corner of a voxel.

    Returns:
        For each past point the number of its voxel; for each current point the number of its own,
        or -1 where no past point is; how many voxels there are.
    """
    carry = np.linalg.solve(current.lidar_to_global, past.lidar_to_global)
    moved = past.xyz.astype(np.float64) @ carry[:3, :3].T + carry[:3, 3]
    places = np.concatenate([moved, current.xyz.astype(np.float64)])
    cells = np.floor(places / voxel_m).astype(np.int64)
    key = np.zeros(len(cells), dtype=np.int64)
    for axis in range(3):  # numbered axis by axis: stray points far away cannot overflow the key
        values, number = np.unique(cells[:, axis], return_inverse=True)
        key = key * len(values) + number
    taken, group = np.unique(key[: len(moved)], return_inverse=True)
    asked = key[len(moved) :]
    slot = np.searchsorted(taken, asked).clip(max=max(len(taken) - 1, 0))
    met = taken[slot] == asked if len(taken) else np.zeros(len(asked), dtype=bool)
    return group.astype(np.int64), np.where(met, slot, -1).astype(np.int64), len(taken)
