"""Where a ray meets the ground of a street; compiled.

Offers `strike`. A street has two levels, the carriageway's and one a kerb higher; each is smooth,
so that a few Newton steps find where a ray passes it. In open country a ray may pass over a hollow
and end on the hill behind: there it goes ahead by no more than its height above the ground allows.
"""

from __future__ import annotations

import math

from lima_bench.datasets.sample import Float64
from lima_bench.datasets.world.compiled import compiled
from lima_bench.datasets.world.ground import (
    FAR,
    KERB_M,
    TILT,
    Triple,
    climb,
    height,
)
from lima_bench.datasets.world.labels import Label
from lima_bench.datasets.world.materials import Material
from lima_bench.datasets.world.relief import STEEPEST
from lima_bench.datasets.world.surface import surface

_CURB, _FLAT = int(Label.CURB), int(Label.OTHER_FLAT)
_KERB, _CONCRETE = int(Material.KERB_STONE), int(Material.CONCRETE)
_GRAZING = 1e-4
_STEPS = 96
_TOUCH_M = 0.006
_SPREAD = 0.0006

Strike = tuple[float, int, int, bool]
"""Distance in lengths of the ray's direction, label, material, whether it is a kerb's face."""


@compiled
def _reach(ground: Float64, o: Triple, d: Triple, t: float) -> tuple[float, float]:
    """Where the ray passes the carriageway's level, from a first guess, and how steeply."""
    fall = -1.0
    for _ in range(5):
        y = o[1] + t * d[1]
        base, rise = climb(ground, o[0] + t * d[0])
        fall = d[2] - rise * d[0] - ground[TILT] * d[1]
        if fall > -_GRAZING:
            return FAR, fall
        step = (o[2] + t * d[2] - base - ground[TILT] * y) / fall
        t -= step
        if abs(step) < 0.005 + 0.002 * abs(t):
            break
    return t, fall


@compiled
def _downhill(ground: Float64, o: Triple, d: Triple, limit: float) -> Strike:
    """Where a ray first meets open country: the ground nowhere rises more than ``STEEPEST``."""
    most = ground[STEEPEST] * math.sqrt(d[0] * d[0] + d[1] * d[1]) - d[2]
    if most < _GRAZING:
        return FAR, 0, 0, False
    t = 0.0
    for _ in range(_STEPS):
        x, y = o[0] + t * d[0], o[1] + t * d[1]
        above = o[2] + t * d[2] - height(ground, x, y)
        # A beam and a pixel widen with distance, so a far one touches a little earlier.
        if above < _TOUCH_M + _SPREAD * t:
            break
        t += above / most
        if t >= limit:
            return FAR, 0, 0, False
    if t <= 0:
        return FAR, 0, 0, False
    label, material, _ = surface(ground, o[0] + t * d[0], o[1] + t * d[1])[0]
    return t, label, material, False


@compiled
def strike(ground: Float64, o: Triple, d: Triple, limit: float) -> Strike:
    """Where the ray from `o` along `d` meets the ground; `FAR` beyond `limit` or not at all."""
    if ground[STEEPEST] > 0:
        return _downhill(ground, o, d, limit)
    guess = (height(ground, o[0], o[1]) - o[2]) / min(d[2], -1e-3)
    low, fall = _reach(ground, o, d, min(max(guess, 0.0), limit))
    if fall > -_GRAZING:
        return FAR, 0, 0, False
    high = low + KERB_M / fall
    if high >= limit or low <= 0:
        return FAR, 0, 0, False
    (label, material, raised), even = surface(ground, o[0] + low * d[0], o[1] + low * d[1])
    between = (low - high) * math.sqrt(d[0] * d[0] + d[1] * d[1])
    if not raised and between < even:
        return low if low < limit else FAR, label, material, False
    (upper, stuff, is_high), _ = surface(ground, o[0] + high * d[0], o[1] + high * d[1])
    if is_high and high > 0:
        return high, upper, stuff, False
    if not raised:
        return low if low < limit else FAR, label, material, False
    face = _kerb_face(ground, o, d, high, low)
    if face >= limit or face <= 0:
        return FAR, 0, 0, False
    if label == _FLAT:
        return face, _FLAT, _CONCRETE, True
    return face, _CURB, _KERB, True


@compiled
def _kerb_face(ground: Float64, o: Triple, d: Triple, high: float, low: float) -> float:
    """Bisect between a place above the carriageway and one inside the raised ground."""
    for _ in range(3):
        middle = (high + low) / 2
        if surface(ground, o[0] + middle * d[0], o[1] + middle * d[1])[0][2]:
            low = middle
        else:
            high = middle
    return low
