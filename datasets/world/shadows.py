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
    Int32,
)

UInt8 = npt.NDArray[np.uint8]

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
    sun: UInt8
    sky: UInt8


@compiled
def _smoothed(raster: UInt8, i: int, j: int, a: float, b: float) -> float:
    """Between four cells' middles."""
    low = (1 - b) * raster[i, j] + b * raster[i, j + 1]
    high = (1 - b) * raster[i + 1, j] + b * raster[i + 1, j + 1]
    value: float = (1 - a) * low + a * high
    return value


@compiled
def shadow_at(
    left: float, low: float, sun: UInt8, sky: UInt8, x: float, y: float
) -> tuple[float, float]:
    """Shares of sun that arrives and of sky that is hidden at a place; see `Shadows`."""
    u, v = (x - left) * (1 / CELL_M) - 0.5, (y - low) * (1 / CELL_M) - 0.5
    i, j = math.floor(v), math.floor(u)
    if i < 0 or j < 0 or i + 1 >= sun.shape[0] or j + 1 >= sun.shape[1]:
        return 1.0, 0.0
    return 1.0 - _smoothed(sun, i, j, v - i, u - j), _smoothed(sky, i, j, v - i, u - j)


@compiled
def _reach(rows: Float64, i: int) -> tuple[float, float]:
    """Half sides of the solid's bounding box along x and y of the town."""
    cos, sin = abs(rows[i, COS]), abs(rows[i, SIN])
    ex, ey = rows[i, EXTENT_X], rows[i, EXTENT_Y]
    return cos * ex + sin * ey, sin * ex + cos * ey


@compiled
def _cover(left: float, low: float, sky: UInt8, rows: Float64, i: int, level: float) -> None:
    """Hide the sky under and right beside solids near the ground."""
    if rows[i, CZ] - rows[i, EXTENT_Z] > level + _LOW_M:
        return
    x, y = _reach(rows, i)
    limit_v, limit_u = sky.shape
    first_u = max(math.floor((rows[i, CX] - x - _SPREAD_M - left) / CELL_M), 0)
    last_u = min(math.ceil((rows[i, CX] + x + _SPREAD_M - left) / CELL_M), limit_u)
    first_v = max(math.floor((rows[i, CY] - y - _SPREAD_M - low) / CELL_M), 0)
    last_v = min(math.ceil((rows[i, CY] + y + _SPREAD_M - low) / CELL_M), limit_v)
    for v in range(first_v, last_v):
        for u in range(first_u, last_u):
            px, py = left + (u + 0.5) * CELL_M, low + (v + 0.5) * CELL_M
            o = to_local(rows, i, px, py, rows[i, CZ], 0.0)
            if (
                abs(o[0]) < rows[i, EXTENT_X] + _SPREAD_M
                and abs(o[1]) < rows[i, EXTENT_Y] + _SPREAD_M
            ):
                sky[v, u] = 1


@compiled
def _darken(
    left: float,
    low: float,
    hidden: UInt8,
    level: float,
    rows: Float64,
    tags: Int32,
    i: int,
    sun: Triple,
) -> None:
    """Hide the sun where rays from the ground towards it meet the solid."""
    top = max(rows[i, CZ] + rows[i, EXTENT_Z] - level, 0.0)
    bottom = max(rows[i, CZ] - rows[i, EXTENT_Z] - level - 0.5, 0.0)
    x, y = _reach(rows, i)
    away_x, away_y = -sun[0] / sun[2], -sun[1] / sun[2]
    low_x = rows[i, CX] - x + min(top * away_x, bottom * away_x)
    high_x = rows[i, CX] + x + max(top * away_x, bottom * away_x)
    low_y = rows[i, CY] - y + min(top * away_y, bottom * away_y)
    high_y = rows[i, CY] + y + max(top * away_y, bottom * away_y)
    limit_v, limit_u = hidden.shape
    first_u = max(math.floor((low_x - left) / CELL_M), 0)
    last_u = min(math.ceil((high_x - left) / CELL_M), limit_u)
    d = turned(rows, i, sun[0], sun[1], sun[2])
    for v in range(
        max(math.floor((low_y - low) / CELL_M), 0),
        min(math.ceil((high_y - low) / CELL_M), limit_v),
    ):
        for u in range(first_u, last_u):
            if hidden[v, u]:
                continue
            px, py = left + (u + 0.5) * CELL_M, low + (v + 0.5) * CELL_M
            o = to_local(rows, i, px, py, level + 0.02, 0.0)
            t = enter(rows, i, tags[i, KIND], o, d)
            if t < FAR:
                p = (o[0] + t * d[0], o[1] + t * d[1], o[2] + t * d[2])
                hidden[v, u] = not pierced(rows, i, tags[i, TEXTURE], p)


@compiled
def cast_shadows(
    shadows: Shadows, ground: Float64, rows: Float64, tags: Int32, sun: Triple, strong: bool
) -> None:
    """Add the shadows of solids to `shadows`; those of the sun only where it is `strong`."""
    left, low, hidden, sky = shadows.left, shadows.low, shadows.sun, shadows.sky
    for i in range(rows.shape[0]):
        level = height(ground, rows[i, CX], rows[i, CY])
        _cover(left, low, sky, rows, i, level)
        if strong:
            _darken(left, low, hidden, level, rows, tags, i, sun)
