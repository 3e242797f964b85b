"""Surfaces that rays slip through: foliage, spoked wheels, fences; compiled.

Offers `pierced`.
"""

from __future__ import annotations

import math

from lima_bench.datasets.sample import Float64
from lima_bench.datasets.world.compiled import compiled
from lima_bench.datasets.world.ground import Triple
from lima_bench.datasets.world.noise import smooth
from lima_bench.datasets.world.shapes import HX, HY, SCALE, SEED, Texture

_LEAVES, _RINGS, _MESH = int(Texture.LEAVES), int(Texture.RINGS), int(Texture.MESH)
_CROWN_GAPS = 0.70
_RIM = 0.80
_HUB = 0.16


@compiled
def _through_leaves(p: Triple, seed: int) -> bool:
    """Gaps about 20 cm wide, in patches."""
    a = smooth(4.0 * p[0] + 2.1 * p[2], 4.0 * p[1] - 1.7 * p[2], seed)
    b = smooth(9.0 * p[0] - 4.0 * p[1], 9.0 * p[2] + 3.0 * p[1], seed + 7)
    return 0.6 * a + 0.4 * b > _CROWN_GAPS


@compiled
def _through_spokes(rows: Float64, i: int, p: Triple) -> bool:
    radius = math.hypot(p[0], p[2]) / rows[i, HX]
    if radius > _RIM or radius < _HUB:
        return False
    spoke = abs(math.sin(4 * math.atan2(p[2], p[0]))) < 0.12 / radius
    outside: bool = abs(p[1]) > 0.5 * rows[i, HY]
    return not (spoke and outside)


@compiled
def _through_fence(rows: Float64, i: int, p: Triple) -> bool:
    """Pickets as wide as the gaps between them are narrow."""
    along = p[0] / rows[i, SCALE]
    return along - math.floor(along) > 0.62 and abs(p[2]) > 0.06


@compiled
def pierced(rows: Float64, i: int, texture: int, p: Triple) -> bool:
    """Whether a ray that meets solid `i` at `p` (its own frame) slips through a gap there."""
    if texture == _LEAVES:
        return _through_leaves(p, int(rows[i, SEED]))
    if texture == _RINGS:
        return _through_spokes(rows, i, p)
    if texture == _MESH:
        return _through_fence(rows, i, p)
    return False
