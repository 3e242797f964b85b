"""Patterns on surfaces: bricks, windows, stripes, asphalt, grass; compiled.

Offers `on_solid` and `on_ground`: the material and colour at a place. Patterns fade where a
pixel is wider than they are, so that far walls do not flicker.
"""

from __future__ import annotations

import math

from lima_bench.datasets.sample import Float64
from lima_bench.datasets.world.compiled import compiled
from lima_bench.datasets.world.ground import Triple
from lima_bench.datasets.world.materials import Material
from lima_bench.datasets.world.noise import cell, smooth
from lima_bench.datasets.world.shapes import (
    BLUE,
    GREEN,
    HX,
    HY,
    HZ,
    RED,
    SCALE,
    SEED,
    Kind,
    Texture,
)

Look = tuple[int, float, float, float, float]
"""Material id, red, green, blue, glow (light that the place gives off by night)."""

_BOX, _TAPERED = int(Kind.BOX), int(Kind.TAPERED)
_GLASS, _STRIPED, _SIGN = (
    int(Material.GLASS),
    int(Material.STRIPED_PLASTIC),
    int(Material.SIGN_FACE),
)
_LAMP, _PLASTER = int(Material.LAMP), int(Material.PLASTER)
_ASPHALT, _PAINT, _PAVING = int(Material.ASPHALT), int(Material.PAINT), int(Material.PAVING)
_GRASS, _SOIL, _RED = int(Material.GRASS), int(Material.SOIL), int(Material.RED_ASPHALT)
_BRICKS, _WINDOWS, _SHOP = int(Texture.BRICKS), int(Texture.WINDOWS), int(Texture.SHOP)
_LEAVES, _PLANKS, _STRIPES = int(Texture.LEAVES), int(Texture.PLANKS), int(Texture.STRIPES)
_CORRUGATED, _TILES, _ON_SIGN = int(Texture.CORRUGATED), int(Texture.TILES), int(Texture.SIGN)
_BUS, _SPECKLED = int(Texture.BUS_WINDOWS), int(Texture.SPECKLED)


@compiled
def _fraction(value: float) -> float:
    return value - math.floor(value)


@compiled
def _unfold(rows: Float64, i: int, kind: int, p: Triple, n: Triple) -> tuple[float, float]:
    """Metres along and up a surface."""
    if kind in (_BOX, _TAPERED):
        if abs(n[2]) > 0.8:
            return p[0], p[1]
        if abs(n[0]) > abs(n[1]):
            return p[1] + 0.5 * rows[i, HY], p[2] + rows[i, HZ]
        return p[0] + 0.5 * rows[i, HX], p[2] + rows[i, HZ]
    return math.atan2(p[1], p[0]) * rows[i, HX], p[2] + rows[i, HZ]


@compiled
def _wall(material: int, u: float, v: float, width: float, seed: int, fade: float) -> float:
    """Brightness of plain wall: courses of bricks, or stains."""
    stain = 0.88 + 0.24 * smooth(0.35 * u, 0.2 * v, seed)
    if width > 0.25:
        return stain
    row = math.floor(v / 0.25)
    joint = _fraction(v / 0.25) < 0.14 or _fraction(u / 0.5 + 0.5 * (row % 2)) < 0.07
    if material == _PLASTER:
        return stain
    return stain * (1 - 0.25 * fade * joint) * (0.92 + 0.16 * cell(u / 0.5, v / 0.25, seed))


@compiled
def _pane(u: float, v: float, seed: int) -> Look:
    """Glass of a window: dark or curtained, some lit at night."""
    draw = cell(u, v, seed)
    lit = 0.9 if cell(u, v, seed + 5) < 0.25 else 0.0
    if draw < 0.25:
        return _GLASS, 0.46, 0.45, 0.42, lit
    shade = 0.10 + 0.14 * draw
    return _GLASS, shade, 1.15 * shade, 1.35 * shade, lit


@compiled
def _windows(
    rows: Float64, i: int, u: float, v: float, seed: int, bright: float, material: int
) -> Look:
    scale = rows[i, SCALE]
    tens = math.floor(scale / 10)
    wide, tall = tens / 10.0, scale - 10 * tens
    a, b = _fraction(u / wide), _fraction(v / tall)
    r, g, b_ = rows[i, RED], rows[i, GREEN], rows[i, BLUE]
    if 0.22 < a < 0.78 and 0.26 < b < 0.80:
        if 0.26 < a < 0.74 and 0.30 < b < 0.77 and abs(a - 0.5) > 0.02:
            return _pane(u / wide, v / tall, seed)
        return material, 0.85 * bright, 0.84 * bright, 0.80 * bright, 0.0
    if b < 0.06:
        bright *= 0.86
    return material, r * bright, g * bright, b_ * bright, 0.0


@compiled
def _shop(
    rows: Float64, i: int, u: float, v: float, seed: int, bright: float, material: int
) -> Look:
    pillar = _fraction(u / 3.2)
    if 0.45 < v < 2.7 and pillar > 0.10:
        draw = cell(u / 3.2, 0.0, seed)
        goods = 0.12 + 0.25 * cell(u / 0.5, v / 0.6, seed + 3)
        return _GLASS, goods * (0.7 + 0.6 * draw), goods, goods * (1.3 - 0.6 * draw), 0.8
    if 2.8 < v < 3.4:
        hue = cell(u / 6.4, 0.0, seed + 9)
        return material, 0.25 + 0.5 * hue, 0.3, 0.7 - 0.5 * hue, 0.2
    return material, rows[i, RED] * bright, rows[i, GREEN] * bright, rows[i, BLUE] * bright, 0.0


@compiled
def _bus(rows: Float64, i: int, u: float, v: float, n: Triple, material: int) -> Look:
    r, g, b = rows[i, RED], rows[i, GREEN], rows[i, BLUE]
    tall = rows[i, SCALE]
    if abs(n[2]) < 0.5 and 0.34 * tall < v < 0.72 * tall and _fraction(u / 1.5) > 0.08:
        return _GLASS, 0.10, 0.12, 0.15, 0.5
    if 0.26 * tall < v < 0.31 * tall:
        return material, 0.85, 0.85, 0.82, 0.0
    return material, r, g, b, 0.0


@compiled
def _sign(rows: Float64, i: int, kind: int, p: Triple, material: int) -> Look:
    """A white border and a white mark on a coloured face."""
    r, g, b = rows[i, RED], rows[i, GREEN], rows[i, BLUE]
    if kind == _BOX:
        x, y = abs(p[1]) / rows[i, HY], abs(p[2]) / rows[i, HZ]
        rim, mark = max(x, y) > 0.88, (x < 0.55 and y < 0.2) or (x < 0.15 and y < 0.6)
    else:
        x, y = abs(p[0]) / rows[i, HX], abs(p[2]) / rows[i, HX]
        rim, mark = math.hypot(x, y) > 0.82, x < 0.5 and y < 0.16
    if rim or mark:
        return material, 0.90, 0.90, 0.88, 0.0
    return material, r, g, b, 0.0


@compiled
def _striped(u: float, v: float, material: int) -> Look:
    if _fraction((u + v) / 0.5) < 0.5:
        return material, 0.82, 0.14, 0.10, 0.0
    return material, 0.92, 0.91, 0.88, 0.0


@compiled
def _relief(texture: int, p: Triple, u: float, v: float, width: float, seed: int) -> float:
    """Brightness of patterns that keep their colour."""
    if texture == _LEAVES:
        coarse = smooth(1.6 * p[0] + p[2], 1.6 * p[1] - p[2], seed)
        fine = cell(7.0 * p[0] + 3 * p[2], 7.0 * p[1] - 3 * p[2], seed + 1)
        return 0.55 + 0.55 * coarse + 0.35 * (fine - 0.5)
    if texture == _PLANKS:
        return 0.82 + 0.3 * cell(u / 0.12, 0.25 * v, seed)
    if texture == _CORRUGATED and width < 0.3:
        return 0.92 + 0.12 * math.sin(2 * math.pi * u / 0.45)
    if texture == _TILES:
        return 0.82 + 0.3 * cell(u / 0.35, v / 0.3, seed)
    if texture == _SPECKLED:
        return 0.90 + 0.2 * smooth(6 * u, 6 * v, seed)
    return 1.0


@compiled
def on_solid(
    rows: Float64,
    i: int,
    kind: int,
    texture: int,
    material: int,
    p: Triple,
    n: Triple,
    width: float,
) -> Look:
    """What solid `i` looks like at `p`, normal `n` (its own frame); `width` of a pixel there."""
    u, v = _unfold(rows, i, kind, p, n)
    seed = int(rows[i, SEED])
    if texture in (_WINDOWS, _SHOP, _BRICKS):
        bright = _wall(material, u, v, width, seed, max(0.0, 1 - 4 * width))
        if texture == _WINDOWS and abs(n[2]) < 0.5:
            return _windows(rows, i, u, v, seed, bright, material)
        if texture == _SHOP and abs(n[2]) < 0.5:
            return _shop(rows, i, u, v, seed, bright, material)
    elif texture == _BUS:
        return _bus(rows, i, u, v, n, material)
    elif texture == _ON_SIGN:
        return _sign(rows, i, kind, p, material)
    elif texture == _STRIPES:
        return _striped(u, v, material)
    else:
        bright = _relief(texture, p, u, v, width, seed)
    glow = 1.0 if material == _LAMP else 0.0
    return material, rows[i, RED] * bright, rows[i, GREEN] * bright, rows[i, BLUE] * bright, glow


@compiled
def on_ground(material: int, x: float, y: float, colour: Float64, width: float, seed: int) -> Look:
    """What the ground looks like at (x, y); `width` of a pixel there."""
    fade = max(0.0, 1 - width / 0.6)
    grain = 1 + 0.22 * fade * (cell(x / 0.07, y / 0.07, seed) - 0.5)
    if material == _ASPHALT:
        patch = smooth(0.13 * x, 0.13 * y, seed)
        crack = abs(smooth(0.5 * x, 0.5 * y, seed + 3) - 0.5) < 0.006
        grain *= 0.86 + 0.28 * patch - 0.12 * fade * crack
    elif material == _PAVING:
        row = math.floor(y / 0.6)
        joint = _fraction(y / 0.6) < 0.06 or _fraction(x / 0.6 + 0.5 * (row % 2)) < 0.06
        grain *= (0.90 + 0.2 * cell(x / 0.6 + 0.5 * (row % 2), y / 0.6, seed)) * (
            1 - 0.22 * fade * joint
        )
    elif material in (_GRASS, _SOIL):
        grain *= (
            0.75 + 0.35 * smooth(0.5 * x, 0.5 * y, seed) + 0.15 * smooth(3 * x, 3 * y, seed + 1)
        )
    elif material == _PAINT:
        grain *= 0.82 + 0.2 * smooth(1.5 * x, 1.5 * y, seed + 2)
    r, g, b = colour[material, 0], colour[material, 1], colour[material, 2]
    return material, r * grain, g * grain, b * grain, 0.0
