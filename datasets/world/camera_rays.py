"""The camera's inner loop: which solid or ground each pixel shows; compiled.

Offers `View` (one exposure) and `look`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from lima_bench.datasets.sample import Float64
from lima_bench.datasets.world.compiled import compiled
from lima_bench.datasets.world.ground import Ground, height, strike
from lima_bench.datasets.world.holes import pierced
from lima_bench.datasets.world.rays import FAR, enter, to_local, turned
from lima_bench.datasets.world.shapes import (
    COS,
    CX,
    CY,
    CZ,
    EXTENT_X,
    EXTENT_Y,
    EXTENT_Z,
    KIND,
    SIN,
    TEXTURE,
    VX,
    VY,
    Int32,
    Texture,
)

NOTHING, GROUND, KERB_FACE = -1, -2, -3
"""Owners of pixels that show no solid."""

_NEAR_M = 0.1
_VISIBLE_M = 400.0
_PLAIN = int(Texture.PLAIN)


class View(NamedTuple):
    """One exposure, in the town's frame.

    Attributes:
        origin: (3,) the camera.
        axes: (3, 3) camera (right, down, ahead) to town.
        focal: Pixels.
        middle_u: Column of the optical axis.
        middle_v: Row of the optical axis.
        directions: (H, W, 3) unit vectors through pixel centres.
        later_s: Time against the table of solids.
    """

    origin: Float64
    axes: Float64
    focal: float
    middle_u: float
    middle_v: float
    directions: Float64
    later_s: float


Box = tuple[int, int, int, int]


@compiled
def _corners(view: View, rows: Float64, i: int) -> Float64:
    """The bounding box's corners (8, 3) in the camera's frame."""
    cos, sin, axes = rows[i, COS], rows[i, SIN], view.axes
    x = rows[i, CX] + view.later_s * rows[i, VX] - view.origin[0]
    y = rows[i, CY] + view.later_s * rows[i, VY] - view.origin[1]
    z = rows[i, CZ] - view.origin[2]
    found = np.empty((8, 3))
    for corner in range(8):
        ex = rows[i, EXTENT_X] if corner & 1 else -rows[i, EXTENT_X]
        ey = rows[i, EXTENT_Y] if corner & 2 else -rows[i, EXTENT_Y]
        ez = rows[i, EXTENT_Z] if corner & 4 else -rows[i, EXTENT_Z]
        px, py, pz = x + cos * ex - sin * ey, y + sin * ex + cos * ey, z + ez
        for axis in range(3):
            found[corner, axis] = axes[0, axis] * px + axes[1, axis] * py + axes[2, axis] * pz
    return found


@compiled
def _bounds(view: View, corners: Float64) -> Box:
    """First and last row, first and last column that may show the box, clipped at `_NEAR_M`."""
    low_u, high_u, low_v, high_v = FAR, -FAR, FAR, -FAR
    for a in range(8):
        for bit in range(-1, 3):
            x, y, z = corners[a, 0], corners[a, 1], corners[a, 2]
            if bit >= 0:
                b = a ^ (1 << bit)
                if b < a or (corners[a, 2] < _NEAR_M) == (corners[b, 2] < _NEAR_M):
                    continue
                share = (_NEAR_M - z) / (corners[b, 2] - z)
                x += share * (corners[b, 0] - x)
                y += share * (corners[b, 1] - y)
                z = _NEAR_M
            elif z < _NEAR_M:
                continue
            u = view.middle_u + view.focal * x / z
            v = view.middle_v + view.focal * y / z
            low_u, high_u = min(low_u, u), max(high_u, u)
            low_v, high_v = min(low_v, v), max(high_v, v)
    rows, columns = view.directions.shape[:2]
    if low_u > high_u or high_u < 0 or high_v < 0 or low_u > columns - 1 or low_v > rows - 1:
        return 0, -1, 0, -1
    return (
        max(math.floor(low_v), 0),
        min(math.ceil(high_v), rows - 1),
        max(math.floor(low_u), 0),
        min(math.ceil(high_u), columns - 1),
    )


@compiled
def _in_front(view: View, rows: Float64, i: int) -> bool:
    """A quick test that most solids fail: near enough, large enough, not behind or far aside."""
    axes = view.axes
    x = rows[i, CX] + view.later_s * rows[i, VX] - view.origin[0]
    y = rows[i, CY] + view.later_s * rows[i, VY] - view.origin[1]
    z = rows[i, CZ] - view.origin[2]
    radius = rows[i, EXTENT_X] + rows[i, EXTENT_Y] + rows[i, EXTENT_Z]
    ahead = axes[0, 2] * x + axes[1, 2] * y + axes[2, 2] * z
    if ahead + radius < _NEAR_M or ahead - radius > _VISIBLE_M:
        return False
    if radius * view.focal < 0.4 * ahead:
        return False
    aside = abs(axes[0, 0] * x + axes[1, 0] * y + axes[2, 0] * z)
    edge = max(view.middle_u, view.directions.shape[1] - view.middle_u) / view.focal
    return aside - radius * (1 + edge) < ahead * edge


@compiled
def _draw(
    view: View,
    rows: Float64,
    tags: Int32,
    i: int,
    depth: Float64,
    owner: Int32,
) -> None:
    if not _in_front(view, rows, i):
        return
    first_v, last_v, first_u, last_u = _bounds(view, _corners(view, rows, i))
    kind, texture = tags[i, KIND], tags[i, TEXTURE]
    o = to_local(rows, i, view.origin[0], view.origin[1], view.origin[2], view.later_s)
    for v in range(first_v, last_v + 1):
        for u in range(first_u, last_u + 1):
            way = view.directions[v, u]
            d = turned(rows, i, way[0], way[1], way[2])
            t = enter(rows, i, kind, o, d)
            if t >= depth[v, u]:
                continue
            if texture != _PLAIN:
                p = (o[0] + t * d[0], o[1] + t * d[1], o[2] + t * d[2])
                if pierced(rows, i, texture, p):
                    continue
            depth[v, u], owner[v, u] = t, i


@compiled
def _draw_ground(view: View, ground: Ground, depth: Float64, owner: Int32, below: Int32) -> None:
    rows, columns = depth.shape
    for v in range(rows):
        for u in range(columns):
            way, t = view.directions[v, u], depth[v, u]
            if t < FAR:
                x, y = view.origin[0] + t * way[0], view.origin[1] + t * way[1]
                if view.origin[2] + t * way[2] > height(ground, x, y) - 0.01:
                    continue
            reach, surface, upright = strike(ground, view.origin, way, min(_VISIBLE_M, t))
            if reach < min(FAR, t):
                depth[v, u], owner[v, u] = reach, KERB_FACE if upright else GROUND
                below[v, u, 0], below[v, u, 1] = surface.label, surface.material


@compiled
def look(view: View, ground: Ground, rows: Float64, tags: Int32) -> tuple[Float64, Int32, Int32]:
    """What each pixel shows.

    Returns:
        Distance along the ray (H, W), `FAR` for the sky; owner (H, W): a solid or one of
        `NOTHING`, `GROUND`, `KERB_FACE`; for the ground its label and material (H, W, 2).
    """
    shape = view.directions.shape[:2]
    depth = np.full(shape, FAR)
    owner = np.full(shape, NOTHING, dtype=np.int32)
    below = np.zeros((shape[0], shape[1], 2), dtype=np.int32)
    for i in range(rows.shape[0]):
        _draw(view, rows, tags, i, depth, owner)
    _draw_ground(view, ground, depth, owner, below)
    return depth, owner, below
