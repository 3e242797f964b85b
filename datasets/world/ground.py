"""The ground of a street: its height, and what each square metre of it is.

Offers `Ground` (the numbers of one street), `height`, `surface` (class, material, raised or not)
and `strike` (where a ray meets it). The main road follows a curve y = c(x); `across` is the
signed distance from its middle line, left positive. Branch roads leave it at junctions.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from lima_bench.datasets.sample import Float64
from lima_bench.datasets.world.compiled import compiled
from lima_bench.datasets.world.labels import Label
from lima_bench.datasets.world.materials import Material
from lima_bench.datasets.world.noise import smooth

KERB_M = 0.14
"""How far everything beside the carriageway is raised."""

FAR = 1e9
_KERB_WIDTH_M = 0.18
STEP_M = 0.5
"""Spacing of the profile's rows along x."""

_CORNER_M = 7.0

_ROAD, _MARKING, _PARKING = int(Label.ROAD), int(Label.LANE_MARKING), int(Label.PARKING)
_SIDEWALK, _FLAT, _TERRAIN = int(Label.SIDEWALK), int(Label.OTHER_FLAT), int(Label.TERRAIN)
_ASPHALT, _PAINT, _PAVING = int(Material.ASPHALT), int(Material.PAINT), int(Material.PAVING)
_KERB, _RED, _GRASS = int(Material.KERB_STONE), int(Material.RED_ASPHALT), int(Material.GRASS)
_SOIL, _CONCRETE = int(Material.SOIL), int(Material.CONCRETE)


class Ground(NamedTuple):
    """One street's plan; lengths in metres.

    Attributes:
        start: x of the first row of `profile`.
        profile: (n, 5) every `STEP_M` along x: middle line y, its slope, height, its slope,
            length of the middle line so far.
        tilt: Rise per metre of y.
        lane_width: Of each lane.
        lanes: Lanes per direction.
        median: Half the width of the raised strip in the middle; 0 without one.
        parking: Width of the parking strip, left and right.
        cycle: Width of the cycle path, left and right.
        walk: Width of the sidewalk, left and right.
        paved: Depth of the paved ground behind the sidewalk, left and right.
        branches: (b, 6) x, y on the middle line, cosine and sine of the direction, half width,
            side (1 left only, -1 right only, 0 both).
        crossings: (c, 2) x of a zebra crossing over the main road and half its length along x.
        bald: Share of bare soil in the terrain.
        seed: Of the ground's textures.
    """

    start: float
    profile: Float64
    tilt: float
    lane_width: float
    lanes: int
    median: float
    parking: Float64
    cycle: Float64
    walk: Float64
    paved: Float64
    branches: Float64
    crossings: Float64
    bald: float
    seed: int


class Surface(NamedTuple):
    """What the ground is at one place.

    Attributes:
        label: World class id.
        material: Material id.
        raised: Whether it lies a kerb higher than the carriageway.
    """

    label: int
    material: int
    raised: bool


Place = tuple[float, float, float, float, float]


@compiled
def along(ground: Ground, x: float) -> Place:
    """Middle line y, its slope, height of the road, its slope, and length so far, at `x`."""
    position = (x - ground.start) / STEP_M
    last = ground.profile.shape[0] - 2
    i = min(max(math.floor(position), 0), last)
    w = min(max(position - i, 0.0), 1.0)
    a, b = ground.profile[i], ground.profile[i + 1]
    return (
        a[0] + w * (b[0] - a[0]),
        a[1] + w * (b[1] - a[1]),
        a[2] + w * (b[2] - a[2]),
        a[3] + w * (b[3] - a[3]),
        a[4] + w * (b[4] - a[4]),
    )


@compiled
def height(ground: Ground, x: float, y: float) -> float:
    """Height of the carriageway's level in metres; `KERB_M` more where the ground is raised."""
    return along(ground, x)[2] + ground.tilt * y


@compiled
def across(ground: Ground, x: float, y: float) -> float:
    """Signed distance from the main road's middle line, left positive."""
    middle, slope, _, _, _ = along(ground, x)
    return (y - middle) / math.sqrt(1 + slope * slope)


@compiled
def half_width(ground: Ground, left: bool) -> float:
    """From the middle line to the kerb."""
    side = 0 if left else 1
    return ground.median + ground.lanes * ground.lane_width + ground.parking[side]


@compiled
def _nearest_branch(ground: Ground, x: float, y: float) -> tuple[float, float, float]:
    """Distance beyond the kerb of the nearest branch road, and how far along and beside it."""
    best, best_along, best_beside = FAR, 0.0, 0.0
    for i in range(ground.branches.shape[0]):
        branch = ground.branches[i]
        dx, dy = x - branch[0], y - branch[1]
        ahead, beside = dx * branch[2] + dy * branch[3], dy * branch[2] - dx * branch[3]
        outside = abs(beside) - branch[4]
        if branch[5] != 0.0:
            outside = max(outside, -ahead)
        if outside < best:
            best, best_along, best_beside = outside, ahead, beside
    return best, best_along, best_beside


@compiled
def kerb_distance(ground: Ground, x: float, y: float) -> float:
    """Metres beyond the nearest kerb; negative on the carriageway. Corners are rounded."""
    t = across(ground, x, y)
    main = abs(t) - half_width(ground, t >= 0)
    branch, _, _ = _nearest_branch(ground, x, y)
    blend = max(_CORNER_M - abs(main - branch), 0.0) / _CORNER_M
    return min(main, branch) - blend * blend * _CORNER_M / 4


@compiled
def from_junction(ground: Ground, x: float) -> float:
    """Metres along x from the mouth of the nearest branch road; negative inside the junction."""
    best = FAR
    for i in range(ground.branches.shape[0]):
        branch = ground.branches[i]
        mouth = branch[4] / max(abs(branch[3]), 0.3)
        best = min(best, abs(x - branch[0]) - mouth)
    return best


@compiled
def from_crossing(ground: Ground, x: float) -> float:
    """Metres along x from the nearest zebra crossing; negative on it."""
    best = FAR
    for i in range(ground.crossings.shape[0]):
        best = min(best, abs(x - ground.crossings[i, 0]) - ground.crossings[i, 1])
    return best


@compiled
def _dashed(s: float, drawn: float, period: float) -> bool:
    return s - math.floor(s / period) * period < drawn


@compiled
def _lane_line(ground: Ground, t: float, s: float) -> bool:
    """Whether paint lies on the main road at `t` from the middle line, away from junctions."""
    beside = abs(t)
    edge = ground.median + ground.lanes * ground.lane_width
    if abs(beside - edge + 0.12) < 0.08:
        return True
    if ground.median > 0:
        if abs(beside - ground.median - 0.25) < 0.07:
            return True
    elif ground.lanes > 1:
        if abs(beside - 0.16) < 0.07:
            return True
    elif beside < 0.08 and _dashed(s, 3.0, 9.0):
        return True
    lane = (beside - ground.median) / ground.lane_width
    line = math.floor(lane + 0.5)
    if 0 < line < ground.lanes and abs(lane - line) * ground.lane_width < 0.07:
        return _dashed(s, 3.0, 9.0)
    return False


@compiled
def _stop_line(ground: Ground, t: float, x: float) -> bool:
    """A bar in front of each crossing, on the lanes that drive towards it."""
    for i in range(ground.crossings.shape[0]):
        before = (ground.crossings[i, 0] - x) * (1.0 if t < 0 else -1.0)
        if abs(before - ground.crossings[i, 1] - 1.6) < 0.22:
            return True
    return False


@compiled
def _main_road(ground: Ground, x: float, t: float, s: float) -> Surface:
    """A place on the main carriageway."""
    beside = abs(t)
    edge = ground.median + ground.lanes * ground.lane_width
    crossing = from_crossing(ground, x)
    if crossing < 0:
        painted = _dashed(t + 100.0, 0.55, 1.1)
        return Surface(_MARKING if painted else _ROAD, _PAINT if painted else _ASPHALT, False)
    if from_junction(ground, x) < 2.0:
        return Surface(_ROAD, _ASPHALT, False)
    if beside < ground.median and crossing > 1.0 and from_junction(ground, x) > 5.0:
        return Surface(_FLAT, _CONCRETE if beside > ground.median - 0.3 else _PAVING, True)
    if _stop_line(ground, t, x) and beside > ground.median + 0.3 and beside < edge - 0.2:
        return Surface(_MARKING, _PAINT, False)
    if _lane_line(ground, t, s):
        return Surface(_MARKING, _PAINT, False)
    if beside > edge:
        bay = _dashed(s, 0.12, 6.0)
        return Surface(_PARKING, _PAINT if bay else _ASPHALT, False)
    return Surface(_ROAD, _ASPHALT, False)


@compiled
def _branch_road(ahead: float, beside: float, mouth: float) -> Surface:
    """A place on a branch road: a dashed middle line from some way behind its mouth on."""
    if abs(ahead) > mouth and abs(beside) < 0.08 and _dashed(ahead, 3.0, 9.0):
        return Surface(_MARKING, _PAINT, False)
    return Surface(_ROAD, _ASPHALT, False)


@compiled
def _beside_road(ground: Ground, x: float, y: float, outside: float, side: int) -> Surface:
    """A place `outside` metres beyond the kerb."""
    if outside < _KERB_WIDTH_M:
        return Surface(_SIDEWALK, _KERB, True)
    cycle = _KERB_WIDTH_M + ground.cycle[side]
    if outside < cycle:
        return Surface(_FLAT, _PAINT if outside > cycle - 0.1 else _RED, True)
    if outside < cycle + ground.walk[side]:
        return Surface(_SIDEWALK, _PAVING, True)
    if outside < cycle + ground.walk[side] + ground.paved[side]:
        return Surface(_SIDEWALK, _CONCRETE, True)
    if smooth(x * 0.15, y * 0.15, ground.seed) < ground.bald:
        return Surface(_TERRAIN, _SOIL, True)
    return Surface(_TERRAIN, _GRASS, True)


@compiled
def surface(ground: Ground, x: float, y: float) -> Surface:
    """What the ground is at (x, y)."""
    middle, slope, _, _, s = along(ground, x)
    t = (y - middle) / math.sqrt(1 + slope * slope)
    main = abs(t) - half_width(ground, t >= 0)
    branch, ahead, beside = _nearest_branch(ground, x, y)
    blend = max(_CORNER_M - abs(main - branch), 0.0) / _CORNER_M
    outside = min(main, branch) - blend * blend * _CORNER_M / 4
    if outside >= 0:
        return _beside_road(ground, x, y, outside, 0 if t >= 0 else 1)
    if main < 0:
        return _main_road(ground, x, t, s)
    return _branch_road(ahead, beside, half_width(ground, t >= 0) + 6.0)


@compiled
def heights(ground: Ground, x: Float64, y: Float64) -> Float64:
    """Height (n,) of the ground's surface at points (n,), kerbs included."""
    found = np.empty(len(x))
    for i in range(len(x)):
        raised = surface(ground, x[i], y[i]).raised
        found[i] = height(ground, x[i], y[i]) + (KERB_M if raised else 0.0)
    return found


@compiled
def kerb_distances(ground: Ground, x: Float64, y: Float64) -> Float64:
    """`kerb_distance` at points (n,)."""
    found = np.empty(len(x))
    for i in range(len(x)):
        found[i] = kerb_distance(ground, x[i], y[i])
    return found


@compiled
def _reach(ground: Ground, o: Float64, d: Float64, level: float, t: float) -> float:
    """Newton steps to where the ray is `level` above the carriageway, from a first guess."""
    for _ in range(4):
        x, y = o[0] + t * d[0], o[1] + t * d[1]
        _, _, base, rise, _ = along(ground, x)
        fall = d[2] - rise * d[0] - ground.tilt * d[1]
        if fall > -1e-4:
            return FAR
        step = (o[2] + t * d[2] - base - ground.tilt * y - level) / fall
        t -= step
        if abs(step) < 0.01:
            break
    return t


@compiled
def _hit(ground: Ground, o: Float64, d: Float64, t: float) -> tuple[float, Surface]:
    return t, surface(ground, o[0] + t * d[0], o[1] + t * d[1])


@compiled
def strike(ground: Ground, o: Float64, d: Float64, limit: float) -> tuple[float, Surface, bool]:
    """Where the ray from `o` along `d` meets the ground.

    Returns:
        Distance (`FAR` when it misses or lies beyond `limit`), what is there, and whether it is
        the upright face of a kerb.
    """
    nothing = Surface(0, 0, False)
    first = (height(ground, o[0], o[1]) - o[2]) / min(d[2], -1e-3)
    high = _reach(ground, o, d, KERB_M, min(max(first, 0.0), limit))
    if not 0 < high < limit:
        return FAR, nothing, False
    high, upper = _hit(ground, o, d, high)
    if upper.raised:
        return high, upper, False
    low, lower = _hit(ground, o, d, _reach(ground, o, d, 0.0, high))
    if not 0 < low < limit:
        return FAR, nothing, False
    if not lower.raised:
        return low, lower, False
    for _ in range(3):
        middle, found = _hit(ground, o, d, (high + low) / 2)
        if found.raised:
            low = middle
        else:
            high = middle
    if lower.label == _FLAT:
        return low, Surface(_FLAT, _CONCRETE, True), True
    return low, Surface(_SIDEWALK, _KERB, True), True
