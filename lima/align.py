"""Which past point is nearest to each current one, once the car's own motion is undone.

Offers `PlacedCloud` and `nearest`. Distances are float64 and, poses being rigid, the same in any
frame: current points are carried into the past frame.
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
