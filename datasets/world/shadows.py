"""Shadows on the ground: a raster of where the sun is hidden and where the sky is; compiled.

Offers `Shadows`, `cast_shadows` and `shadow_at`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lima_bench.datasets.sample import Float64
from lima_bench.datasets.world.compiled import compiled
from lima_bench.datasets.world.ground import Ground, height
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
    Int32,
)

CELL_M = 0.25
_LOW_M = 1.2
_SPREAD_M = 0.25


class Shadows(NamedTuple):
    """A raster over the ground around the ego's way.

    Attributes:
        left: x of the first column's edge.
        low: y of the first row's edge.
        sun: (rows, columns) 1 where something stands between ground and sun.
        sky: (rows, columns) 1 where something stands right above the ground.
    """

    left: float
    low: float
    sun: npt.NDArray[np.uint8]
    sky: npt.NDArray[np.uint8]


@compiled
def shadow_at(shadows: Shadows, x: float, y: float) -> tuple[float, float]:
    """Shares of sun that arrives and of sky that is hidden at a place; smoothed over one cell."""
    u, v = (x - shadows.left) / CELL_M - 0.5, (y - shadows.low) / CELL_M - 0.5
    i, j = math.floor(v), math.floor(u)
    rows, columns = shadows.sun.shape
    if i < 0 or j < 0 or i + 1 >= rows or j + 1 >= columns:
        return 1.0, 0.0
    a, b = v - i, u - j
    sun, sky = 0.0, 0.0
    for k in range(2):
        for m in range(2):
            weight = (a if k else 1 - a) * (b if m else 1 - b)
            sun += weight * shadows.sun[i + k, j + m]
            sky += weight * shadows.sky[i + k, j + m]
    return 1.0 - sun, sky


@compiled
def _reach(rows: Float64, i: int) -> tuple[float, float]:
    """Half sides of the solid's bounding box along x and y of the town."""
    cos, sin = abs(rows[i, COS]), abs(rows[i, SIN])
    ex, ey = rows[i, EXTENT_X], rows[i, EXTENT_Y]
    return cos * ex + sin * ey, sin * ex + cos * ey


@compiled
def _cover(shadows: Shadows, rows: Float64, i: int, level: float) -> None:
    """Hide the sky under and right beside solids near the ground."""
    if rows[i, CZ] - rows[i, EXTENT_Z] > level + _LOW_M:
        return
    x, y = _reach(rows, i)
    limit_v, limit_u = shadows.sky.shape
    first_u = max(math.floor((rows[i, CX] - x - _SPREAD_M - shadows.left) / CELL_M), 0)
    last_u = min(math.ceil((rows[i, CX] + x + _SPREAD_M - shadows.left) / CELL_M), limit_u)
    first_v = max(math.floor((rows[i, CY] - y - _SPREAD_M - shadows.low) / CELL_M), 0)
    last_v = min(math.ceil((rows[i, CY] + y + _SPREAD_M - shadows.low) / CELL_M), limit_v)
    for v in range(first_v, last_v):
        for u in range(first_u, last_u):
            px, py = shadows.left + (u + 0.5) * CELL_M, shadows.low + (v + 0.5) * CELL_M
            o = to_local(rows, i, px, py, rows[i, CZ], 0.0)
            if (
                abs(o[0]) < rows[i, EXTENT_X] + _SPREAD_M
                and abs(o[1]) < rows[i, EXTENT_Y] + _SPREAD_M
            ):
                shadows.sky[v, u] = 1


@compiled
def _darken(
    shadows: Shadows, ground: Ground, rows: Float64, tags: Int32, i: int, sun: Float64
) -> None:
    """Hide the sun where rays from the ground towards it meet the solid."""
    level = height(ground, rows[i, CX], rows[i, CY])
    top = max(rows[i, CZ] + rows[i, EXTENT_Z] - level, 0.0)
    bottom = max(rows[i, CZ] - rows[i, EXTENT_Z] - level - 0.5, 0.0)
    x, y = _reach(rows, i)
    away_x, away_y = -sun[0] / sun[2], -sun[1] / sun[2]
    low_x = rows[i, CX] - x + min(top * away_x, bottom * away_x)
    high_x = rows[i, CX] + x + max(top * away_x, bottom * away_x)
    low_y = rows[i, CY] - y + min(top * away_y, bottom * away_y)
    high_y = rows[i, CY] + y + max(top * away_y, bottom * away_y)
    limit_v, limit_u = shadows.sun.shape
    first_u = max(math.floor((low_x - shadows.left) / CELL_M), 0)
    last_u = min(math.ceil((high_x - shadows.left) / CELL_M), limit_u)
    d = turned(rows, i, sun[0], sun[1], sun[2])
    for v in range(
        max(math.floor((low_y - shadows.low) / CELL_M), 0),
        min(math.ceil((high_y - shadows.low) / CELL_M), limit_v),
    ):
        for u in range(first_u, last_u):
            if shadows.sun[v, u]:
                continue
            px, py = shadows.left + (u + 0.5) * CELL_M, shadows.low + (v + 0.5) * CELL_M
            o = to_local(rows, i, px, py, level + 0.02, 0.0)
            t = enter(rows, i, tags[i, KIND], o, d)
            if t < FAR:
                p = (o[0] + t * d[0], o[1] + t * d[1], o[2] + t * d[2])
                shadows.sun[v, u] = not pierced(rows, i, tags[i, TEXTURE], p)


@compiled
def cast_shadows(
    shadows: Shadows, ground: Ground, rows: Float64, tags: Int32, sun: Float64, strong: bool
) -> None:
    """Add the shadows of solids to `shadows`; those of the sun only where it is `strong`."""
    for i in range(rows.shape[0]):
        _cover(shadows, rows, i, height(ground, rows[i, CX], rows[i, CY]))
        if strong:
            _darken(shadows, ground, rows, tags, i, sun)
