"""The LiDAR's inner loop: which solid or ground each beam meets first; compiled.

Offers `Turn` (one rotation of the sensor) and `trace`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from lima_bench.datasets.sample import Float64, Int64
from lima_bench.datasets.world.compiled import compiled
from lima_bench.datasets.world.ground import Triple, height
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
from lima_bench.datasets.world.strike import strike

_LEAVES, _PLAIN, _ELLIPSOID = int(Texture.LEAVES), int(Texture.PLAIN), int(Kind.ELLIPSOID)
_SLIP_THROUGH = 0.22
_SINK = 0.45
_SLACK_M = 0.06
_SLACK_RAD = 0.004
_DRIFT_M = 0.8

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
def _column(turn: Turn, x: float, y: float, z: float) -> int:
    """The column that fires nearest to a direction of the town."""
    axes, count = turn.axes, turn.origins.shape[0]
    bearing = math.atan2(
        axes[1, 0] * x + axes[1, 1] * y + axes[1, 2] * z,
        axes[0, 0] * x + axes[0, 1] * y + axes[0, 2] * z,
    )
    return math.floor((turn.first_azimuth - bearing) / (2 * math.pi) * count) % count


@compiled
def _towards(turn: Turn, rows: Float64, i: int) -> tuple[float, float, float, int]:
    """From the sensor to a solid, as both are when the column fires that looks at it."""
    dx, dy = rows[i, CX] - turn.centre[0], rows[i, CY] - turn.centre[1]
    dz = rows[i, CZ] - turn.centre[2]
    column = _column(turn, dx, dy, dz)
    later = turn.later_s[column]
    dx = rows[i, CX] + later * rows[i, VX] - turn.origins[column, 0]
    dy = rows[i, CY] + later * rows[i, VY] - turn.origins[column, 1]
    return dx, dy, rows[i, CZ] - turn.origins[column, 2], column


@compiled
def _gap(rows: Float64, i: int, dx: float, dy: float) -> tuple[float, float]:
    """Horizontal distance to the nearest and farthest place of a solid's bounding box."""
    x = abs(rows[i, COS] * dx + rows[i, SIN] * dy)
    y = abs(rows[i, COS] * dy - rows[i, SIN] * dx)
    ex, ey = rows[i, EXTENT_X], rows[i, EXTENT_Y]
    near = math.hypot(max(x - ex, 0.0), max(y - ey, 0.0))
    return max(near - _SLACK_M, 0.0), math.hypot(x + ex, y + ey) + _SLACK_M


@compiled
def _span(turn: Turn, rows: Float64, i: int, dx: float, dy: float) -> tuple[float, float]:
    """Smallest and largest azimuth of a solid's corners against its middle, clockwise first."""
    cos, sin = rows[i, COS], rows[i, SIN]
    least, most = 0.0, 0.0
    for corner in range(4):
        ex = rows[i, EXTENT_X] if corner & 1 else -rows[i, EXTENT_X]
        ey = rows[i, EXTENT_Y] if corner & 2 else -rows[i, EXTENT_Y]
        x, y = dx + cos * ex - sin * ey, dy + sin * ex + cos * ey
        off = math.atan2(dx * y - dy * x, dx * x + dy * y)
        least, most = min(least, off), max(most, off)
    return least, most


@compiled
def _window(turn: Turn, rows: Float64, i: int) -> Window:
    """Which beams may meet solid `i`; a few too many, never one too few."""
    dx, dy, dz, column = _towards(turn, rows, i)
    near, far = _gap(rows, i, dx, dy)
    count = turn.origins.shape[0]
    if near > turn.max_range:
        return Window(0, 0, 0, 0)
    above, below = dz + rows[i, EXTENT_Z] + 0.03, dz - rows[i, EXTENT_Z] - 0.03
    tilt = _SLACK_RAD + math.hypot(turn.axes[2, 0], turn.axes[2, 1])
    top = math.atan2(above, near if above > 0 else far) + tilt
    bottom = math.atan2(below, near if below < 0 else far) - tilt
    low = int(np.searchsorted(turn.elevations, bottom))
    high = int(np.searchsorted(turn.elevations, top))
    if low >= high:
        return Window(0, 0, 0, 0)
    if near < 0.3:
        return Window(0, count, low, high)
    least, most = _span(turn, rows, i, dx, dy)
    # While the beam sweeps over the solid both move on: by a share of the turn.
    slack = _SLACK_RAD + (_SLACK_M + _DRIFT_M * (most - least) / math.pi) / near
    step = 2 * math.pi / count
    first = column - math.ceil((most + slack) / step)
    columns = math.ceil((most - least + 2 * slack) / step) + 2
    return Window(first % count, min(columns, count), low, high)


@compiled
def _meet(
    rows: Float64, i: int, kind: int, texture: int, o: Triple, d: Triple, seed: int, ray: int
) -> float:
    """Distance at which a beam returns from solid `i`; `FAR` when it misses or slips through.

    `o` and `d` are in the solid's own frame.
    """
    t = enter(rows, i, kind, o, d)
    if t >= FAR:
        return FAR
    if texture == _LEAVES:
        if chance(seed, ray, i, 1) < _SLIP_THROUGH:
            return FAR
        deep = leave(rows, i, o, d) - t if kind == _ELLIPSOID else 0.4
        return t + _SINK * deep * chance(seed, ray, i, 2)
    if texture == _PLAIN:
        return t
    p = (o[0] + t * d[0], o[1] + t * d[1], o[2] + t * d[2])
    return FAR if pierced(rows, i, texture, p) else t


@compiled
def _trace_solid(
    rows: Float64,
    tags: Int32,
    i: int,
    window: Window,
    origins: Float64,
    ways: Float64,
    later_s: Float64,
    max_range: float,
    seed: int,
    depth: Float64,
    owner: Int64,
    seen: Int32,
) -> int:
    """Let the beams of a window end on solid `i`; give how many more would meet its object."""
    count, rings = owner.shape
    instance, kind, texture = tags[i, INSTANCE], tags[i, KIND], tags[i, TEXTURE]
    new = 0
    for k in range(window.columns):
        c = (window.first + k) % count
        o = to_local(rows, i, origins[c, 0], origins[c, 1], origins[c, 2], later_s[c])
        for r in range(window.low, window.high):
            d = turned(rows, i, ways[c, r, 0], ways[c, r, 1], ways[c, r, 2])
            t = _meet(rows, i, kind, texture, o, d, seed, c * rings + r)
            if t >= max_range:
                continue
            if seen[c, r] != instance:
                seen[c, r] = instance
                new += 1
            if t < depth[c, r]:
                depth[c, r], owner[c, r] = t, i
    return new


@compiled
def trace(
    turn: Turn, ground: Float64, rows: Float64, tags: Int32, instances: int
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
    origins, ways, later_s = turn.origins, turn.directions, turn.later_s
    for i in range(rows.shape[0]):
        window = _window(turn, rows, i)
        possible[tags[i, INSTANCE]] += _trace_solid(
            rows,
            tags,
            i,
            window,
            origins,
            ways,
            later_s,
            turn.max_range,
            turn.seed,
            depth,
            owner,
            seen,
        )
    _trace_ground(origins, ways, turn.max_range, ground, depth, owner, below)
    return depth, owner, below, possible


@compiled
def _trace_ground(
    origins: Float64,
    ways: Float64,
    max_range: float,
    ground: Float64,
    depth: Float64,
    owner: Int64,
    below: Int64,
) -> None:
    """Let beams end on the ground that meet no solid, or one that is sunk into the ground."""
    for c in range(owner.shape[0]):
        o = (origins[c, 0], origins[c, 1], origins[c, 2])
        for r in range(owner.shape[1]):
            d, t = (ways[c, r, 0], ways[c, r, 1], ways[c, r, 2]), depth[c, r]
            if t < FAR:
                x, y, z = o[0] + t * d[0], o[1] + t * d[1], o[2] + t * d[2]
                if z > height(ground, x, y) - 0.01:
                    continue
            reach, label, material, _ = strike(ground, o, d, min(max_range, t))
            if reach < min(FAR, t):
                depth[c, r], owner[c, r] = reach, GROUND
                below[c, r, 0], below[c, r, 1] = label, material
