"""Keeps things apart: everything claims the ground it covers at every moment of the drive.

Offers `Claims`. A footprint is a turned rectangle; movers are tested along their whole way.
"""

from __future__ import annotations

import math

import numpy as np

from lima_bench.datasets.sample import Float64
from lima_bench.datasets.world.compiled import compiled


@compiled
def _separated(a: Float64, b: Float64) -> bool:
    """Whether an axis of rectangle `a` (x, y, yaw, half length, half width) parts it from `b`."""
    cos, sin = math.cos(a[2]), math.sin(a[2])
    dx, dy = b[0] - a[0], b[1] - a[1]
    turn_cos, turn_sin = abs(math.cos(b[2] - a[2])), abs(math.sin(b[2] - a[2]))
    if abs(cos * dx + sin * dy) > a[3] + b[3] * turn_cos + b[4] * turn_sin:
        return True
    apart: bool = abs(cos * dy - sin * dx) > a[4] + b[3] * turn_sin + b[4] * turn_cos
    return apart


@compiled
def overlap(a: Float64, b: Float64) -> bool:
    """Whether two rectangles (5,) x, y, yaw, half length, half width share ground."""
    return not (_separated(a, b) or _separated(b, a))


@compiled
def _meets(way: Float64, circle: Float64, ways: Float64, circles: Float64, count: int) -> bool:
    """Whether `way` (T, 5) meets any of the first `count` `ways` (n, T, 5) at the same time."""
    for i in range(count):
        dx, dy = circles[i, 0] - circle[0], circles[i, 1] - circle[1]
        reach = circles[i, 2] + circle[2]
        if dx * dx + dy * dy > reach * reach:
            continue
        moments = 1 if circle[3] == 0 and circles[i, 3] == 0 else way.shape[0]
        for t in range(moments):
            if overlap(way[t], ways[i, t]):
                return True
    return False


@compiled
def _way(poses: Float64, half_length: float, half_width: float) -> tuple[Float64, Float64]:
    """Footprints (T, 5) along a way, and a circle around all (x, y, radius, whether it moves)."""
    count = poses.shape[0]
    way = np.empty((count, 5))
    for t in range(count):
        way[t, 0], way[t, 1], way[t, 2] = poses[t, 0], poses[t, 1], poses[t, 3]
        way[t, 3], way[t, 4] = half_length, half_width
    x, y = (way[0, 0] + way[-1, 0]) / 2, (way[0, 1] + way[-1, 1]) / 2
    most = 0.0
    for t in range(count):
        most = max(most, math.hypot(way[t, 0] - x, way[t, 1] - y))
    moves = 1.0 if most > 0 else 0.0
    return way, np.array([x, y, most + math.hypot(half_length, half_width), moves])


class Claims:
    """The ground taken so far.

    Args:
        times_s: (T,) the moments at which footprints are compared.
    """

    def __init__(self, times_s: Float64) -> None:
        self.times_s = times_s
        self._ways = np.empty((256, len(times_s), 5))
        self._circles = np.empty((256, 4))
        self._count = 0

    def take(self, poses: Float64, length_m: float, width_m: float, *, apart_m: float) -> bool:
        """Claim the way `poses` (T, 4) of a footprint if it is free by `apart_m`; say so."""
        way, circle = _way(poses, length_m / 2 + apart_m, width_m / 2 + apart_m)
        if _meets(way, circle, self._ways, self._circles, self._count):
            return False
        if self._count == len(self._ways):
            self._ways = np.concatenate([self._ways, np.empty_like(self._ways)])
            self._circles = np.concatenate([self._circles, np.empty_like(self._circles)])
        way[:, 3:] -= apart_m
        self._ways[self._count], self._circles[self._count] = way, circle
        self._count += 1
        return True
