"""The ground of a street: its height, and what each square metre of it is; compiled.

Offers `Ground` (the numbers of one street), `height`, `surface` (class, material, raised or not)
and `lane_pose`. The main road follows a curve y = c(x); `across` is the signed distance from its
middle line, left positive. Branch roads leave it at junctions.

Kernels take the street as one flat table (`Ground.table`): numba counts references to every
array that it finds in a structure, which costs more than the sums done here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lima_bench.datasets.sample import Float64
from lima_bench.datasets.world.compiled import compiled
from lima_bench.datasets.world.labels import Label
from lima_bench.datasets.world.materials import Material
from lima_bench.datasets.world.noise import smooth

KERB_M = 0.14
"""How far everything beside the carriageway is raised."""

STEP_M = 0.5
"""Spacing of the profile's rows along x."""

FAR = 1e9
_CORNER_M = 7.0
_KERB_WIDTH_M = 0.18

_ROAD, _MARKING, _PARKING = int(Label.ROAD), int(Label.LANE_MARKING), int(Label.PARKING)
_SIDEWALK, _FLAT, _TERRAIN = int(Label.SIDEWALK), int(Label.OTHER_FLAT), int(Label.TERRAIN)
_ASPHALT, _PAINT, _PAVING = int(Material.ASPHALT), int(Material.PAINT), int(Material.PAVING)
_KERB, _RED, _GRASS = int(Material.KERB_STONE), int(Material.RED_ASPHALT), int(Material.GRASS)
_SOIL, _CONCRETE = int(Material.SOIL), int(Material.CONCRETE)

# Places in `Ground.table`; PARKING.. hold left and right. Then follow the rows of the profile,
# of the branches and of the crossings.
START, TILT, LANE_WIDTH, LANES, MEDIAN, BALD, SEED = range(7)
PARKING, CYCLE, WALK, PAVED = 8, 10, 12, 14
N_PROFILE, N_BRANCHES, N_CROSSINGS = 16, 17, 18
PROFILE = 20
_ROW, _BRANCH, _CROSSING = 6, 6, 2

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Ground:
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
            whether it leaves on one side only (ahead of the direction).
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

    @cached_property
    def table(self) -> Float64:
        """Everything in one row of numbers, for the kernels."""
        head = np.zeros(PROFILE)
        head[[START, TILT, LANE_WIDTH, LANES]] = self.start, self.tilt, self.lane_width, self.lanes
        head[[MEDIAN, BALD, SEED]] = self.median, self.bald, self.seed
        for place, pair in (
            (PARKING, self.parking),
            (CYCLE, self.cycle),
            (WALK, self.walk),
            (PAVED, self.paved),
        ):
            head[place : place + 2] = pair
        head[[N_PROFILE, N_BRANCHES, N_CROSSINGS]] = (
            len(self.profile),
            len(self.branches),
            len(self.crossings),
        )
        upright = 1 / np.sqrt(1 + self.profile[:, 1] ** 2)
        profile = np.column_stack([self.profile, upright])
        return np.concatenate(
            [head, profile.ravel(), self.branches.ravel(), self.crossings.ravel()]
        )


@compiled
def row_at(ground: Float64, x: float) -> tuple[int, float]:
    """Place in the table of the profile's row before `x`, and the share of the next one."""
    position = (x - ground[START]) * (1.0 / STEP_M)
    i = min(max(math.floor(position), 0), int(ground[N_PROFILE]) - 2)
    return PROFILE + _ROW * i, min(max(position - i, 0.0), 1.0)


@compiled
def between(ground: Float64, place: int, share: float) -> float:
    """A number of the profile between the row at `place` and the next."""
    return ground[place] + share * (ground[place + _ROW] - ground[place])


@compiled
def height(ground: Float64, x: float, y: float) -> float:
    """Height of the carriageway's level in metres; `KERB_M` more where the ground is raised."""
    row, share = row_at(ground, x)
    return between(ground, row + 2, share) + ground[TILT] * y


@compiled
def climb(ground: Float64, x: float) -> tuple[float, float]:
    """Height of the carriageway's level at y = 0, and its slope along x."""
    row, share = row_at(ground, x)
    return between(ground, row + 2, share), between(ground, row + 3, share)


@compiled
def _road_frame(ground: Float64, x: float, y: float) -> tuple[float, float]:
    """Signed distance from the middle line (left positive), and length along it."""
    row, share = row_at(ground, x)
    t = (y - between(ground, row, share)) * between(ground, row + 5, share)
    return t, between(ground, row + 4, share)


@compiled
def half_width(ground: Float64, left: bool) -> float:
    """From the middle line to the kerb."""
    strip = ground[PARKING] if left else ground[PARKING + 1]
    return ground[MEDIAN] + ground[LANES] * ground[LANE_WIDTH] + strip


@compiled
def _branch(ground: Float64, i: int) -> int:
    return PROFILE + _ROW * int(ground[N_PROFILE]) + _BRANCH * i


@compiled
def _crossing(ground: Float64, i: int) -> int:
    return _branch(ground, int(ground[N_BRANCHES])) + _CROSSING * i


@compiled
def _nearest_branch(ground: Float64, x: float, y: float) -> tuple[float, float, float]:
    """Distance beyond the kerb of the nearest branch road, and how far along and beside it."""
    best, best_along, best_beside = FAR, 0.0, 0.0
    for i in range(int(ground[N_BRANCHES])):
        place = _branch(ground, i)
        dx, dy = x - ground[place], y - ground[place + 1]
        cos, sin = ground[place + 2], ground[place + 3]
        ahead, beside = dx * cos + dy * sin, dy * cos - dx * sin
        outside = abs(beside) - ground[place + 4]
        if ground[place + 5] != 0.0:
            outside = max(outside, -ahead)
        if outside < best:
            best, best_along, best_beside = outside, ahead, beside
    return best, best_along, best_beside


@compiled
def _joined(main: float, branch: float) -> float:
    """Distance beyond the kerb of two roads together; their corners are rounded."""
    blend = max(_CORNER_M - abs(main - branch), 0.0) * (1 / _CORNER_M)
    return min(main, branch) - blend * blend * (_CORNER_M / 4)


@compiled
def kerb_distance(ground: Float64, x: float, y: float) -> float:
    """Metres beyond the nearest kerb; negative on the carriageway."""
    t, _ = _road_frame(ground, x, y)
    return _joined(abs(t) - half_width(ground, t >= 0), _nearest_branch(ground, x, y)[0])


@compiled
def from_junction(ground: Float64, x: float) -> float:
    """Metres along x from the mouth of the nearest branch road; negative inside the junction."""
    best = FAR
    for i in range(int(ground[N_BRANCHES])):
        place = _branch(ground, i)
        mouth = ground[place + 4] / max(abs(ground[place + 3]), 0.3)
        best = min(best, abs(x - ground[place]) - mouth)
    return best


@compiled
def from_crossing(ground: Float64, x: float) -> float:
    """Metres along x from the nearest zebra crossing; negative on it."""
    best = FAR
    for i in range(int(ground[N_CROSSINGS])):
        place = _crossing(ground, i)
        best = min(best, abs(x - ground[place]) - ground[place + 1])
    return best


@compiled
def _dashed(s: float, drawn: float, period: float) -> bool:
    return s - math.floor(s / period) * period < drawn


@compiled
def _middle_line(ground: Float64, beside: float, s: float) -> bool:
    """Paint that parts the two directions: beside a median, a double line, or dashes."""
    if ground[MEDIAN] > 0:
        return abs(beside - ground[MEDIAN] - 0.25) < 0.07
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
        place = _crossing(ground, i)
        before = (ground[place] - x) * (1.0 if t < 0 else -1.0)
        if abs(before - ground[place + 1] - 1.6) < 0.22:
            return True
    return False


Surface = tuple[int, int, bool]
"""World class id, material id, and whether the place lies a kerb higher than the carriageway."""


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
        return _SIDEWALK, _KERB, True
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
    t, s = _road_frame(ground, x, y)
    main = abs(t) - half_width(ground, t >= 0)
    branch, ahead, beside = _nearest_branch(ground, x, y)
    outside = _joined(main, branch)
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


@compiled
def kerb_distances(ground: Float64, x: Float64, y: Float64) -> Float64:
    """`kerb_distance` at points (n,)."""
    found = np.empty(len(x))
    for i in range(len(x)):
        found[i] = kerb_distance(ground, x[i], y[i])
    return found
