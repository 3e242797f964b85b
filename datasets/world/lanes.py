"""Poses on the lanes of a street, by place or by length driven; compiled.

Offers `lane_pose` and `lane_poses`.
"""

from __future__ import annotations

import math

import numpy as np

from lima_bench.datasets.sample import Float64
from lima_bench.datasets.world.compiled import compiled
from lima_bench.datasets.world.ground import (
    N_PROFILE,
    PROFILE,
    START,
    STEP_M,
    between,
    row_at,
)
from lima_bench.datasets.world.surface import top

_LENGTH = 4
_COLUMNS = 6


@compiled
def lane_pose(ground: Float64, x: float, offset: float) -> tuple[float, float, float, float]:
    """Pose x, y, z, yaw `offset` left of the middle line beside `x`, facing larger x."""
    row, share = row_at(ground, x)
    yaw = math.atan(between(ground, row + 1, share))
    px = x - offset * math.sin(yaw)
    py = between(ground, row, share) + offset * math.cos(yaw)
    return px, py, top(ground, px, py), yaw


@compiled
def _x_after(ground: Float64, length: float) -> float:
    """Place x after `length` metres along the middle line, counted from x = 0."""
    low, high = 0, int(ground[N_PROFILE]) - 2
    while low < high:
        middle = (low + high + 1) // 2
        if ground[PROFILE + _COLUMNS * middle + _LENGTH] <= length:
            low = middle
        else:
            high = middle - 1
    place = PROFILE + _COLUMNS * low + _LENGTH
    share = (length - ground[place]) / (ground[place + _COLUMNS] - ground[place])
    x: float = ground[START] + STEP_M * (low + share)
    return x


@compiled
def lane_poses(ground: Float64, lengths: Float64, offset: float, ahead: float) -> Float64:
    """Poses (n, 4) x, y, z, yaw `offset` left of the middle line after `lengths` (n,) along it.

    Args:
        ground: The street.
        lengths: Metres along the middle line, counted from x = 0.
        offset: Metres to the left.
        ahead: 1 to face larger x, -1 to face smaller x.
    """
    found = np.empty((len(lengths), 4))
    for i in range(len(lengths)):
        x, y, z, yaw = lane_pose(ground, _x_after(ground, lengths[i]), offset)
        found[i, 0], found[i, 1], found[i, 2] = x, y, z
        found[i, 3] = yaw if ahead > 0 else yaw + math.pi
    return found
