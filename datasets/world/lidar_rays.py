"""The LiDAR's inner loop: which solid or ground each beam meets first; compiled.

Offers `Turn` (one rotation of the sensor) and `trace`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lima_bench.datasets.sample import Float64, Int64
from lima_bench.datasets.world.compiled import compiled
from lima_bench.datasets.world.ground import Ground, height, strike
from lima_bench.datasets.world.holes import pierced
from lima_bench.datasets.world.noise import chance
from lima_bench.datasets.world.rays import FAR, enter, leave, to_local, turned
from lima_bench.datasets.world.shapes import (
    COS,
    CX,
    CY,
    CZ,
    EXTENT_X,
    EXTENT_Y,
    EXTENT_Z,
    INSTANCE,
    KIND,
    SIN,
    TEXTURE,
    VX,
    VY,
    Int32,
    Kind,
    Texture,
)

_LEAVES, _ELLIPSOID = int(Texture.LEAVES), int(Kind.ELLIPSOID)
_SLIP_THROUGH = 0.22
_SINK = 0.45
_SLACK_M = 0.5
_SLACK_RAD = 0.012

NOTHING, GROUND = -1, -2
"""Owners of beams that meet no solid."""


class Turn(NamedTuple):
    """One rotation, in the town's frame.

    Attributes:
        origins: (C, 3) where the sensor is at each column's time.
        directions: (C, R, 3) unit vectors.
        later_s: (C,) column times against the table of solids.
        centre: (3,) the sensor at the reference time.
        axes: (3, 3) town to spinning frame.
        first_azimuth: Radians of column 0; later columns turn clockwise.
        elevations: (R,) radians, ascending.
        max_range: Metres.
        seed: Of the noise.
    """

    origins: Float64
    directions: Float64
    later_s: Float64
    centre: Float64
    axes: Float64
    first_azimuth: float
    elevations: Float64
    max_range: float
    seed: int


class Window(NamedTuple):
    """Columns from `first` on (wrapping) and rings `low`..`high` that may see a solid."""

    first: int
    columns: int
    low: int
    high: int


@compiled
def _gap(turn: Turn, rows: Float64, i: int) -> tuple[float, float]:
    """Horizontal distance to the nearest and farthest place of a solid's bounding box."""
    dx, dy = turn.centre[0] - rows[i, CX], turn.centre[1] - rows[i, CY]
    x = abs(rows[i, COS] * dx + rows[i, SIN] * dy)
    y = abs(rows[i, COS] * dy - rows[i, SIN] * dx)
    ex, ey = rows[i, EXTENT_X], rows[i, EXTENT_Y]
    near = math.hypot(max(x - ex, 0.0), max(y - ey, 0.0))
    return max(near - _SLACK_M, 0.0), math.hypot(x + ex, y + ey) + _SLACK_M


@compiled
def _bearings(turn: Turn, rows: Float64, i: int) -> tuple[float, float]:
    """Middle and half the width of the interval of azimuths that a solid's corners span."""
    axes, cos, sin = turn.axes, rows[i, COS], rows[i, SIN]
    dx, dy, dz = (
        rows[i, CX] - turn.centre[0],
        rows[i, CY] - turn.centre[1],
        rows[i, CZ] - turn.centre[2],
    )
    middle = math.atan2(
        axes[1, 0] * dx + axes[1, 1] * dy + axes[1, 2] * dz,
        axes[0, 0] * dx + axes[0, 1] * dy + axes[0, 2] * dz,
    )
    most = 0.0
    for corner in range(4):
        ex = rows[i, EXTENT_X] if corner & 1 else -rows[i, EXTENT_X]
        ey = rows[i, EXTENT_Y] if corner & 2 else -rows[i, EXTENT_Y]
        x, y = dx + cos * ex - sin * ey, dy + sin * ex + cos * ey
        bearing = math.atan2(
            axes[1, 0] * x + axes[1, 1] * y + axes[1, 2] * dz,
            axes[0, 0] * x + axes[0, 1] * y + axes[0, 2] * dz,
        )
        off = abs(bearing - middle)
        most = max(most, min(off, 2 * math.pi - off))
    return middle, most


@compiled
def _window(turn: Turn, rows: Float64, i: int) -> Window:
    near, far = _gap(turn, rows, i)
    count, rings = turn.origins.shape[0], turn.elevations.shape[0]
    if near > turn.max_range:
        return Window(0, 0, 0, 0)
    above = rows[i, CZ] + rows[i, EXTENT_Z] - turn.centre[2] + 0.05
    below = rows[i, CZ] - rows[i, EXTENT_Z] - turn.centre[2] - 0.05
    tilt = _SLACK_RAD + math.hypot(turn.axes[2, 0], turn.axes[2, 1])
    top = math.atan2(above, near if above > 0 else far) + tilt
    bottom = math.atan2(below, near if below < 0 else far) - tilt
    low = np.searchsorted(turn.elevations, bottom)
    high = np.searchsorted(turn.elevations, top)
    if low >= high:
        return Window(0, 0, 0, 0)
    if near < 0.3:
        return Window(0, count, low, min(high, rings))
    middle, half = _bearings(turn, rows, i)
    speed = math.hypot(rows[i, VX], rows[i, VY])
    half += (_SLACK_M + 0.1 * speed) / max(near, 0.3) * 0.5 + _SLACK_RAD
    step = 2 * math.pi / count
    first = math.floor((turn.first_azimuth - middle - half) / step)
    columns = min(math.ceil(2 * half / step) + 1, count)
    return Window(first % count, columns, low, min(high, rings))


@compiled
def _meet(
    turn: Turn, rows: Float64, tags: Int32, i: int, column: int, ring: int, ray: int
) -> float:
    """Distance at which one beam returns from solid `i`; `FAR` when it misses or slips through."""
    origin, way = turn.origins[column], turn.directions[column, ring]
    o = to_local(rows, i, origin[0], origin[1], origin[2], turn.later_s[column])
    d = turned(rows, i, way[0], way[1], way[2])
    t = enter(rows, i, tags[i, KIND], o, d)
    if t >= FAR:
        return FAR
    texture = tags[i, TEXTURE]
    if texture == _LEAVES:
        if chance(turn.seed, ray, i, 1) < _SLIP_THROUGH:
            return FAR
        deep = 0.4
        if tags[i, KIND] == _ELLIPSOID:
            deep = leave(rows, i, o, d) - t
        return t + _SINK * deep * chance(turn.seed, ray, i, 2)
    p = (o[0] + t * d[0], o[1] + t * d[1], o[2] + t * d[2])
    return FAR if pierced(rows, i, texture, p) else t


@compiled
def _trace_solid(
    turn: Turn,
    rows: Float64,
    tags: Int32,
    i: int,
    depth: Float64,
    owner: Int64,
    seen: npt.NDArray[np.int32],
    possible: Int64,
) -> None:
    window = _window(turn, rows, i)
    count, rings = owner.shape
    instance = tags[i, INSTANCE]
    for k in range(window.columns):
        column = (window.first + k) % count
        for ring in range(window.low, window.high):
            ray = column * rings + ring
            t = _meet(turn, rows, tags, i, column, ring, ray)
            if t >= turn.max_range:
                continue
            if seen[column, ring] != instance:
                seen[column, ring] = instance
                possible[instance] += 1
            if t < depth[column, ring]:
                depth[column, ring], owner[column, ring] = t, i


@compiled
def trace(
    turn: Turn, ground: Ground, rows: Float64, tags: Int32, instances: int
) -> tuple[Float64, Int64, Int64, Int64]:
    """First returns of one turn.

    Returns:
        Distance (C, R); owner (C, R): a solid, `GROUND` or `NOTHING`; for the ground its label
        and material (C, R, 2); beams that would meet each instance were it alone (instances,).
    """
    count, rings = turn.directions.shape[:2]
    depth = np.full((count, rings), FAR)
    owner = np.full((count, rings), NOTHING)
    below = np.zeros((count, rings, 2), dtype=np.int64)
    seen = np.zeros((count, rings), dtype=np.int32)
    possible = np.zeros(instances, dtype=np.int64)
    for i in range(rows.shape[0]):
        _trace_solid(turn, rows, tags, i, depth, owner, seen, possible)
    for column in range(count):
        origin = turn.origins[column]
        for ring in range(rings):
            way = turn.directions[column, ring]
            t = depth[column, ring]
            if t < FAR:
                x, y = origin[0] + t * way[0], origin[1] + t * way[1]
                if origin[2] + t * way[2] > height(ground, x, y) - 0.01:
                    continue
            reach, surface, _ = strike(ground, origin, way, min(turn.max_range, t))
            if reach < min(FAR, t):
                depth[column, ring], owner[column, ring] = reach, GROUND
                below[column, ring, 0], below[column, ring, 1] = surface.label, surface.material
    return depth, owner, below, possible
