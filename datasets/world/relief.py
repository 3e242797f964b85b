"""Hills, hollows and wet patches of ground that is no street; compiled.

Offers `uneven` (height with hills and hollows), `patch_at` (which patch lies at a place) and the
places `STEEPEST` and `RELIEF` of a street's table. A street has neither: there both are zero.

The block at ``table[RELIEF]`` is: number of waves, number of patches, the waves (wave number along
x, along y, phase, height), the patches (x, y, cosine and sine of the heading, half length, half
width, level of the ground or how deep it lies, world class id).
"""

from __future__ import annotations

import math

from lima_bench.datasets.sample import Float64
from lima_bench.datasets.world.compiled import compiled
from lima_bench.datasets.world.labels import Label
from lima_bench.datasets.world.noise import smooth

STEEPEST, RELIEF = 7, 19
"""Places in `Ground.table`: the largest rise per metre anywhere, and where the relief stands."""

WAVE, PATCH = 4, 8
SHORE = 2.0
"""Where a hollow's bank ends, in half lengths and widths of its patch."""

_MUD = int(Label.MUD)
_FRAY = 0.45


@compiled
def _reach(table: Float64, patch: int, x: float, y: float) -> float:
    """Distance from a patch's middle in its half lengths and widths."""
    dx, dy = x - table[patch], y - table[patch + 1]
    cos, sin = table[patch + 2], table[patch + 3]
    along, beside = dx * cos + dy * sin, dy * cos - dx * sin
    return math.hypot(along / table[patch + 4], beside / table[patch + 5])


@compiled
def uneven(table: Float64, level: float, x: float, y: float) -> float:
    """Height in metres where the ground without hills and hollows would be `level` high."""
    block = int(table[RELIEF])
    waves, patches = int(table[block]), int(table[block + 1])
    place = block + 2
    for _ in range(waves):
        level += table[place + 3] * math.sin(
            table[place] * x + table[place + 1] * y + table[place + 2]
        )
        place += WAVE
    for i in range(patches):
        patch = place + PATCH * i
        if table[patch + 7] == _MUD:
            continue
        far = max(table[patch + 4], table[patch + 5]) * SHORE
        if abs(x - table[patch]) > far or abs(y - table[patch + 1]) > far:
            continue
        share = min(max((SHORE - _reach(table, patch, x, y)) / (SHORE - 1.0), 0.0), 1.0)
        level += share * share * (3 - 2 * share) * (table[patch + 6] - level)
    return level


@compiled
def patch_at(table: Float64, x: float, y: float, seed: int) -> int:
    """World class id of the first patch that covers a place, its rim frayed; 0 for none."""
    block = int(table[RELIEF])
    place = block + 2 + WAVE * int(table[block])
    for i in range(int(table[block + 1])):
        patch = place + PATCH * i
        reach = _reach(table, patch, x, y)
        if reach < 1.0 and reach + _FRAY * smooth(0.9 * x, 0.9 * y, seed + i) < 1.0:
            return int(table[patch + 7])
    return 0
