"""What each square metre of a street is: its class, its material, raised or not; compiled.

Offers `surface`, and `top` and `tops` (heights with kerbs).
"""

from __future__ import annotations

import math

import numpy as np

from lima_bench.datasets.sample import Float64
from lima_bench.datasets.world.compiled import compiled
from lima_bench.datasets.world.ground import (
    BALD,
    CYCLE,
    KERB_M,
    LANE_WIDTH,
    LANES,
    MEDIAN,
    N_CROSSINGS,
    PAVED,
    SEED,
    WALK,
    half_width,
    height,
    road_frame,
)
from lima_bench.datasets.world.kerbs import (
    crossing_at,
    from_crossing,
    from_junction,
    joined,
    nearest_branch,
)
from lima_bench.datasets.world.labels import Label
from lima_bench.datasets.world.materials import Material
from lima_bench.datasets.world.noise import smooth
from lima_bench.datasets.world.relief import STEEPEST
from lima_bench.datasets.world.terrain import open_ground

_KERB_WIDTH_M = 0.18

_ROAD, _MARKING, _PARKING = int(Label.ROAD), int(Label.LANE_MARKING), int(Label.PARKING)
_SIDEWALK, _FLAT, _TERRAIN = int(Label.SIDEWALK), int(Label.OTHER_FLAT), int(Label.TERRAIN)
_ASPHALT, _PAINT, _PAVING = int(Material.ASPHALT), int(Material.PAINT), int(Material.PAVING)
_KERB, _RED, _GRASS = int(Material.KERB_STONE), int(Material.RED_ASPHALT), int(Material.GRASS)
_SOIL, _CONCRETE = int(Material.SOIL), int(Material.CONCRETE)
_CURB = int(Label.CURB)

Surface = tuple[int, int, bool]
"""World class id, material id, and whether the place lies a kerb higher than the carriageway."""


@compiled
def _dashed(s: float, drawn: float, period: float) -> bool:
    return s - math.floor(s / period) * period < drawn


@compiled
def _middle_line(ground: Float64, beside: float, s: float) -> bool:
    """Paint that parts the two directions: beside a median, a double line, or dashes."""
    median: float = ground[MEDIAN]
    if median > 0:
        return abs(beside - median - 0.25) < 0.07
    if ground[LANES] > 1:
        return abs(beside - 0.16) < 0.07
    return beside < 0.08 and _dashed(s, 3.0, 9.0)


@compiled
def _lane_line(ground: Float64, beside: float, s: float) -> bool:
    """Whether paint lies `beside` the middle line, away from junctions."""
    edge = ground[MEDIAN] + ground[LANES] * ground[LANE_WIDTH]
    if abs(beside - edge + 0.12) < 0.08 or _middle_line(ground, beside, s):
        return True
    lane = (beside - ground[MEDIAN]) / ground[LANE_WIDTH]
    line = math.floor(lane + 0.5)
    if 0 < line < ground[LANES] and abs(lane - line) * ground[LANE_WIDTH] < 0.07:
        return _dashed(s, 3.0, 9.0)
    return False


@compiled
def _stop_line(ground: Float64, t: float, x: float) -> bool:
    """A bar in front of each crossing, on the lanes that drive towards it."""
    for i in range(int(ground[N_CROSSINGS])):
        place = crossing_at(ground, i)
        before = (ground[place] - x) * (1.0 if t < 0 else -1.0)
        if abs(before - ground[place + 1] - 1.6) < 0.22:
            return True
    return False


@compiled
def _main_road(ground: Float64, x: float, t: float, s: float) -> Surface:
    """A place on the main carriageway."""
    beside = abs(t)
    if from_crossing(ground, x) < 0:
        if _dashed(t + 100.0, 0.55, 1.1):
            return _MARKING, _PAINT, False
        return _ROAD, _ASPHALT, False
    mouth = from_junction(ground, x)
    if mouth < 2.0:
        return _ROAD, _ASPHALT, False
    if beside < ground[MEDIAN] and from_crossing(ground, x) > 1.0 and mouth > 5.0:
        return _FLAT, _CONCRETE if beside > ground[MEDIAN] - 0.3 else _PAVING, True
    edge = ground[MEDIAN] + ground[LANES] * ground[LANE_WIDTH]
    if ground[MEDIAN] + 0.3 < beside < edge - 0.2 and _stop_line(ground, t, x):
        return _MARKING, _PAINT, False
    if _lane_line(ground, beside, s):
        return _MARKING, _PAINT, False
    if beside > edge:
        return _PARKING, _PAINT if _dashed(s, 0.12, 6.0) else _ASPHALT, False
    return _ROAD, _ASPHALT, False


@compiled
def _branch_road(ahead: float, beside: float, mouth: float) -> Surface:
    """A place on a branch road: a dashed middle line from some way behind its mouth on."""
    if abs(ahead) > mouth and abs(beside) < 0.08 and _dashed(ahead, 3.0, 9.0):
        return _MARKING, _PAINT, False
    return _ROAD, _ASPHALT, False


@compiled
def _beside_road(ground: Float64, x: float, y: float, outside: float, side: int) -> Surface:
    """A place `outside` metres beyond the kerb."""
    if outside < _KERB_WIDTH_M:
        return _CURB, _KERB, True
    cycle = _KERB_WIDTH_M + ground[CYCLE + side]
    if outside < cycle:
        return _FLAT, _PAINT if outside > cycle - 0.1 else _RED, True
    if outside < cycle + ground[WALK + side]:
        return _SIDEWALK, _PAVING, True
    if outside < cycle + ground[WALK + side] + ground[PAVED + side]:
        return _SIDEWALK, _CONCRETE, True
    if smooth(x * 0.15, y * 0.15, int(ground[SEED])) < ground[BALD]:
        return _TERRAIN, _SOIL, True
    return _TERRAIN, _GRASS, True


@compiled
def surface(ground: Float64, x: float, y: float) -> tuple[Surface, float]:
    """What the ground is at (x, y), and the distance within which it is as high as there."""
    if ground[STEEPEST] > 0:
        return open_ground(ground, x, y), 0.0
    t, s = road_frame(ground, x, y)
    main = abs(t) - half_width(ground, t >= 0)
    branch, ahead, beside = nearest_branch(ground, x, y)
    outside = joined(main, branch)
    if outside >= 0:
        return _beside_road(ground, x, y, outside, 0 if t >= 0 else 1), outside
    if main < 0:
        even = -outside
        if ground[MEDIAN] > 0:
            even = min(even, max(abs(t) - ground[MEDIAN], 0.0))
        return _main_road(ground, x, t, s), even
    return _branch_road(ahead, beside, half_width(ground, t >= 0) + 6.0), -outside


@compiled
def top(ground: Float64, x: float, y: float) -> float:
    """Height of the ground's surface in metres, kerbs included."""
    return height(ground, x, y) + (KERB_M if surface(ground, x, y)[0][2] else 0.0)


@compiled
def tops(ground: Float64, x: Float64, y: Float64) -> Float64:
    """`top` at points (n,)."""
    found = np.empty(len(x))
    for i in range(len(x)):
        found[i] = top(ground, x[i], y[i])
    return found
