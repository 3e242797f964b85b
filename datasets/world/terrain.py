"""What the ground is where there is no street: grass, a trodden trail, mud, water; compiled.

Offers `open_ground`.
"""

from __future__ import annotations

from lima_bench.datasets.sample import Float64
from lima_bench.datasets.world.compiled import compiled
from lima_bench.datasets.world.ground import BALD, SEED, half_width, road_frame
from lima_bench.datasets.world.kerbs import nearest_branch
from lima_bench.datasets.world.labels import Label
from lima_bench.datasets.world.materials import Material
from lima_bench.datasets.world.noise import smooth
from lima_bench.datasets.world.relief import patch_at

_GRASSLAND, _SLAB, _MUD = int(Label.GRASSLAND), int(Label.CONCRETE_SLAB), int(Label.MUD)
_PUDDLE = int(Label.PUDDLE)
_GRASS, _SOIL, _CONCRETE = int(Material.GRASS), int(Material.SOIL), int(Material.CONCRETE)
# Still water mirrors the sky and swallows pulses, as glass does.
_WATER = int(Material.GLASS)

_RUT_M = 0.75
_RUT_WIDTH_M = 0.28
_WET = 0.68
# Where a puddle is so shallow that its bottom shows.
_SHALLOW = 0.5


@compiled
def open_ground(ground: Float64, x: float, y: float) -> tuple[int, int, bool]:
    """World class id and material id at (x, y); nothing here is raised by a kerb."""
    seed = int(ground[SEED])
    if nearest_branch(ground, x, y)[0] < 0:
        return _SLAB, _CONCRETE, False
    patch = patch_at(ground, x, y, seed)
    if patch == _MUD:
        return _MUD, _SOIL, False
    if patch == _SLAB:
        return _SLAB, _CONCRETE, False
    if patch == _PUDDLE and smooth(1.3 * x, 1.3 * y, seed + 23) < _SHALLOW:
        return _PUDDLE, _SOIL, False
    if patch > 0:
        return patch, _WATER, False
    t, s = road_frame(ground, x, y)
    beside = abs(t)
    if beside < half_width(ground, t >= 0):
        if abs(beside - _RUT_M) < _RUT_WIDTH_M:
            if smooth(0.16 * s, 3.0 if t > 0 else 9.0, seed + 3) > _WET:
                return _MUD, _SOIL, False
            return _GRASSLAND, _SOIL, False
        worn = smooth(0.9 * x, 0.9 * y, seed + 5) < 0.45
        return _GRASSLAND, _SOIL if worn else _GRASS, False
    if smooth(0.15 * x, 0.15 * y, seed) < ground[BALD]:
        return _GRASSLAND, _SOIL, False
    return _GRASSLAND, _GRASS, False
