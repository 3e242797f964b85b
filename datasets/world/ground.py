"""The plan of a street as numbers, and the height of its ground; compiled.

Offers `Ground` (the numbers of one street), `height`, `climb`, `road_frame` and `half_width`. The
main road follows a curve y = c(x); distances from its middle line are positive to the left.

Kernels take the street as one flat table (`Ground.table`): numba counts references to every
array that it finds in a structure, which costs more than the sums done here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from lima_bench.datasets.sample import Float64
from lima_bench.datasets.world.compiled import compiled
from lima_bench.datasets.world.relief import PATCH, RELIEF, STEEPEST, WAVE, uneven

KERB_M = 0.14
"""How far everything beside the carriageway is raised."""

STEP_M = 0.5
"""Spacing of the profile's rows along x."""

FAR = 1e9


# Places in `Ground.table`; PARKING.. hold left and right. Then follow the rows of the profile,
# of the branches and of the crossings, and the relief of what is no street.
START, TILT, LANE_WIDTH, LANES, MEDIAN, BALD, SEED = range(7)
PARKING, CYCLE, WALK, PAVED = 8, 10, 12, 14
N_PROFILE, N_BRANCHES, N_CROSSINGS = 16, 17, 18
PROFILE = 20
ROW, BRANCH, CROSSING = 6, 6, 2

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
        steepest: Largest rise per metre anywhere, where the ground is no street but open country;
            0 for streets.
        waves: (w, 4) hills of open country, see `relief`.
        patches: (p, 8) hollows and wet places of open country, see `relief`.
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
    steepest: float = 0.0
    waves: Float64 = field(default_factory=lambda: np.empty((0, WAVE)))
    patches: Float64 = field(default_factory=lambda: np.empty((0, PATCH)))

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
        parts = [head, profile.ravel(), self.branches.ravel(), self.crossings.ravel()]
        if self.steepest > 0:
            head[[STEEPEST, RELIEF]] = self.steepest, sum(len(part) for part in parts)
            counts = np.array([len(self.waves), len(self.patches)], dtype=np.float64)
            parts += [counts, self.waves.ravel(), self.patches.ravel()]
        return np.concatenate(parts)


@compiled
def row_at(ground: Float64, x: float) -> tuple[int, float]:
    """Place in the table of the profile's row before `x`, and the share of the next one."""
    position = (x - ground[START]) * (1.0 / STEP_M)
    i = min(max(math.floor(position), 0), int(ground[N_PROFILE]) - 2)
    return PROFILE + ROW * i, min(max(position - i, 0.0), 1.0)


@compiled
def between(ground: Float64, place: int, share: float) -> float:
    """A number of the profile between the row at `place` and the next."""
    value: float = ground[place] + share * (ground[place + ROW] - ground[place])
    return value


@compiled
def height(ground: Float64, x: float, y: float) -> float:
    """Height of the carriageway's level in metres; `KERB_M` more where the ground is raised."""
    row, share = row_at(ground, x)
    level: float = between(ground, row + 2, share) + ground[TILT] * y
    if ground[STEEPEST] > 0:
        return uneven(ground, level, x, y)
    return level


@compiled
def climb(ground: Float64, x: float) -> tuple[float, float]:
    """Height of the carriageway's level at y = 0, and its slope along x."""
    row, share = row_at(ground, x)
    return between(ground, row + 2, share), between(ground, row + 3, share)


@compiled
def road_frame(ground: Float64, x: float, y: float) -> tuple[float, float]:
    """Signed distance from the middle line (left positive), and length along it."""
    row, share = row_at(ground, x)
    t = (y - between(ground, row, share)) * between(ground, row + 5, share)
    return t, between(ground, row + 4, share)


@compiled
def half_width(ground: Float64, left: bool) -> float:
    """From the middle line to the kerb."""
    strip = ground[PARKING] if left else ground[PARKING + 1]
    width: float = ground[MEDIAN] + ground[LANES] * ground[LANE_WIDTH] + strip
    return width
