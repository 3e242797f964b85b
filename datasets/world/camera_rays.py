"""The camera's inner loop: which solid or ground each pixel shows; compiled.

Offers `View` (one exposure) and `look`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from lima_bench.datasets.sample import Float64
from lima_bench.datasets.world.compiled import compiled
from lima_bench.datasets.world.ground import Triple, height
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
from lima_bench.datasets.world.strike import strike

NOTHING, GROUND, KERB_FACE = -1, -2, -3
"""Owners of pixels that show no solid."""

_NEAR_M = 0.1
_SMALLEST_PIXELS = 0.4
VISIBLE_M = 400.0
"""Farther things are lost in the haze."""
_PLAIN = int(Texture.PLAIN)


class View(NamedTuple):
    """One exposure, in the town's frame.

    A ray through column u and row v has the direction ``corner + u * right + v * down``, whose
    component along the optical axis is 1: distances along it are depths.

    Attributes:
        origin: (3,) the camera.
        axes: (3, 3) camera (right, down, ahead) to town.
        focal: Pixels.
        middle_u: Column of the optical axis.
        middle_v: Row of the optical axis.
        height: Rows.
        width: Columns.
        corner: Direction through the middle of the first pixel.
        right: Its change from column to column.
        down: Its change from row to row.
        later_s: Time against the table of solids.
    """

    origin: Triple
    axes: Float64
    focal: float
    middle_u: float
    middle_v: float
    height: int
    width: int
    corner: Triple
    right: Triple
    down: Triple
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
    if low_u > high_u:
        return 0, -1, 0, -1
    return (
        max(math.ceil(low_v), 0),
        min(math.floor(high_v), view.height - 1),
        max(math.ceil(low_u), 0),
        min(math.floor(high_u), view.width - 1),
    )


@compiled
def _ahead(view: View, rows: Float64, i: int) -> float:
    """Depth of a solid's middle, or `FAR` when it is behind, too far, too small or far aside."""
    axes = view.axes
    x = rows[i, CX] + view.later_s * rows[i, VX] - view.origin[0]
    y = rows[i, CY] + view.later_s * rows[i, VY] - view.origin[1]
    z = rows[i, CZ] - view.origin[2]
    radius = rows[i, EXTENT_X] + rows[i, EXTENT_Y] + rows[i, EXTENT_Z]
    ahead = axes[0, 2] * x + axes[1, 2] * y + axes[2, 2] * z
    if ahead + radius < _NEAR_M or ahead - radius > VISIBLE_M:
        return FAR
    if radius * view.focal < _SMALLEST_PIXELS * ahead:
        return FAR
    aside = abs(axes[0, 0] * x + axes[1, 0] * y + axes[2, 0] * z)
    edge = max(view.middle_u, view.width - view.middle_u) / view.focal
    return ahead if aside - radius * (1 + edge) < ahead * edge else FAR


@compiled
def _draw(view: View, rows: Float64, tags: Int32, i: int, depth: Float64, owner: Int32) -> None:
    """Show solid `i` where it is nearer than what is there."""
    corners = _corners(view, rows, i)
    first_v, last_v, first_u, last_u = _bounds(view, corners)
    if first_v > last_v or first_u > last_u:
        return
    nearest = corners[:, 2].min()
    kind, texture = tags[i, KIND], tags[i, TEXTURE]
    o = to_local(rows, i, view.origin[0], view.origin[1], view.origin[2], view.later_s)
    start = turned(rows, i, view.corner[0], view.corner[1], view.corner[2])
    right = turned(rows, i, view.right[0], view.right[1], view.right[2])
    down = turned(rows, i, view.down[0], view.down[1], view.down[2])
    for v in range(first_v, last_v + 1):
        row = (start[0] + v * down[0], start[1] + v * down[1], start[2] + v * down[2])
        for u in range(first_u, last_u + 1):
            if depth[v, u] <= nearest:
                continue
            d = (row[0] + u * right[0], row[1] + u * right[1], row[2] + u * right[2])
            t = enter(rows, i, kind, o, d)
            if t >= depth[v, u]:
                continue
            if texture != _PLAIN:
                p = (o[0] + t * d[0], o[1] + t * d[1], o[2] + t * d[2])
                if pierced(rows, i, texture, p):
                    continue
            depth[v, u], owner[v, u] = t, i


@compiled
def direction(view: View, v: int, u: int) -> Triple:
    """Direction of a pixel's ray; its component along the optical axis is 1."""
    return (
        view.corner[0] + u * view.right[0] + v * view.down[0],
        view.corner[1] + u * view.right[1] + v * view.down[1],
        view.corner[2] + u * view.right[2] + v * view.down[2],
    )


@compiled
def _draw_ground(view: View, ground: Float64, depth: Float64, owner: Int32, below: Int32) -> None:
    """Show the ground where nothing stands, or where what stands there is sunk into it."""
    o = view.origin
    for v in range(view.height):
        for u in range(view.width):
            d, t = direction(view, v, u), depth[v, u]
            if t < FAR:
                x, y, z = o[0] + t * d[0], o[1] + t * d[1], o[2] + t * d[2]
                if z > height(ground, x, y) - 0.01:
                    continue
            reach, label, material, upright = strike(ground, o, d, min(VISIBLE_M, t))
            if reach < min(FAR, t):
                depth[v, u], owner[v, u] = reach, KERB_FACE if upright else GROUND
                below[v, u, 0], below[v, u, 1] = label, material


@compiled
def look(view: View, ground: Float64, rows: Float64, tags: Int32) -> tuple[Float64, Int32, Int32]:
    """What each pixel shows.

    Returns:
        Depth along the optical axis (H, W), `FAR` for the sky; owner (H, W): a solid or one of
        `NOTHING`, `GROUND`, `KERB_FACE`; for the ground its label and material (H, W, 2).
    """
    depth = np.full((view.height, view.width), FAR)
    owner = np.full((view.height, view.width), NOTHING, dtype=np.int32)
    below = np.zeros((view.height, view.width, 2), dtype=np.int32)
    ahead = np.empty(rows.shape[0])
    for i in range(rows.shape[0]):
        ahead[i] = _ahead(view, rows, i)
    # From near to far, so that most of what is hidden is never intersected.
    for i in np.argsort(ahead):
        if ahead[i] >= FAR:
            break
        _draw(view, rows, tags, i, depth, owner)
    _draw_ground(view, ground, depth, owner, below)
    return depth, owner, below
