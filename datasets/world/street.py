"""Draws the plan of one street: its curve, slope, cross-section, junctions and crossings.

Offers `Street`, `draw_street`, `draw_profile` (its curve and slope) and `Style` (what kind of town
it lies in).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lima_bench.datasets.sample import Float64
from lima_bench.datasets.world.ground import STEP_M, Ground
from lima_bench.datasets.world.lanes import lane_pose, lane_poses
from lima_bench.datasets.world.surface import tops

BEYOND_M = 260.0
"""How far the plan reaches behind the ego's start and beyond its end."""

_STRIP_M = 2.3


@dataclass(frozen=True)
class Style:
    """What kind of town a street lies in.

    Attributes:
        name: As in the recording's location.
        urban: Chance that the ground behind a sidewalk is paved and built up, rather than green.
        curve_m: Largest sideways swing of the road.
        slope: Largest rise per metre along the road.
        trees: Trees per 100 m and side.
        houses: Share of detached houses among the buildings.
        parked: Share of parking bays that are taken.
        traffic: Moving vehicles per 100 m and lane.
        walkers: Pedestrians per 100 m and side.
        cycle_path: Chance of a cycle path per side.
        median: Chance of a raised median.
        works: Chance of road works in a street that need not show every class.
        machines: Whether road works belong to the classes that a street may have to show.
        weather: Shares of sun, clouds, dusk, night and rain.
        rare: Chance of each rare class (bus, trailer, ...) in a street that need not show it.
        lacks: Rare things that the town does not have: ``trailer``, ``bus``, ``truck``.
        fleet: Who drives and who parks, by name; see `lima_bench.datasets.world.traffic`.
        company: Chance that a pedestrian is not alone.
        built: Times the chance that a plot of ours carries a building.
        bicycles: How many times as many parked bicycles as in a street of ours.
        bushes: Likewise, bushes.
        bins: Likewise, refuse bins; above 1, some stand near the ego's way.
        cones: Chance that traffic cones or stones bar the kerb near the ego's way, per side.
        pace: The ego's speed as a share of a car's.
        wild: Whether the way leads through open country instead (`lima_bench.datasets.world.wild`).
        thickets: There, bushes per 100 m and side.
        narrow: Chance of one lane per direction rather than two.
        bays: Chance of a parking strip per side.
        side_traffic: Chance of a vehicle at each place of a branch road.
        walk_m: Narrowest and widest sidewalk.
        on_walk: Whether the ego is a small machine that keeps to the sidewalk.
    """

    name: str
    urban: float
    curve_m: float
    slope: float
    trees: float
    houses: float
    parked: float
    traffic: float
    walkers: float
    cycle_path: float
    median: float
    works: float
    machines: bool
    weather: tuple[float, float, float, float, float]
    rare: float
    lacks: tuple[str, ...] = ()
    fleet: Literal["town", "campus"] = "town"
    company: float = 0.0
    built: float = 1.0
    bicycles: float = 1.0
    bushes: float = 1.0
    bins: float = 1.0
    cones: float = 0.0
    pace: float = 1.0
    wild: bool = False
    thickets: float = 0.0
    narrow: float = 0.6
    bays: float = 0.75
    side_traffic: float = 0.35
    walk_m: tuple[float, float] = (1.8, 3.2)
    on_walk: bool = False


CITY = Style(
    name="city",
    urban=0.5,
    curve_m=9.0,
    slope=0.025,
    trees=10.0,
    houses=0.25,
    parked=0.65,
    traffic=1.8,
    walkers=4.5,
    cycle_path=0.5,
    median=0.4,
    works=0.6,
    machines=True,
    weather=(0.42, 0.33, 0.10, 0.06, 0.09),
    rare=0.6,
)
SUBURB = Style(
    name="suburb",
    urban=0.12,
    curve_m=14.0,
    slope=0.035,
    trees=17.0,
    houses=0.8,
    parked=0.5,
    traffic=0.9,
    walkers=2.5,
    cycle_path=0.25,
    median=0.08,
    works=0.12,
    machines=False,
    weather=(0.55, 0.40, 0.0, 0.0, 0.05),
    rare=0.35,
)


@dataclass(frozen=True)
class Street:
    """One street, before anything stands on it.

    Attributes:
        ground: Its surface, for the kernels.
        start_m: Smallest x at which things are placed.
        end_m: Largest x at which things are placed.
        style: The town's.
    """

    ground: Ground
    start_m: float
    end_m: float
    style: Style

    def poses(self, lengths_m: Float64, offset_m: float, ahead: int) -> Float64:
        """Poses (T, 4) x, y, z, yaw on a lane; see `lane_poses`."""
        found: Float64 = lane_poses(self.ground.table, lengths_m, offset_m, float(ahead))
        return found

    def beside(self, x: float, offset_m: float) -> tuple[float, float, float, float]:
        """Pose x, y, z, yaw `offset_m` left of the middle line beside `x`."""
        px, py, z, yaw = lane_pose(self.ground.table, float(x), float(offset_m))
        return px, py, z, yaw

    def heights(self, x: Float64, y: Float64) -> Float64:
        """Height (T,) of the ground's surface in metres at points (T,)."""
        found: Float64 = tops(self.ground.table, x, y)
        return found

    def half_width(self, side: int) -> float:
        """From the middle line to the kerb; side 0 is left, 1 right."""
        ground = self.ground
        return float(ground.median + ground.lanes * ground.lane_width + ground.parking[side])

    def behind_walk(self, side: int) -> float:
        """From the middle line to the far edge of the sidewalk."""
        return self.half_width(side) + float(self.ground.cycle[side] + self.ground.walk[side]) + 0.2


def draw_profile(rng: np.random.Generator, style: Style, start: float, end: float) -> Float64:
    """The rows of `Ground.profile` from `start` to `end`."""
    x = np.arange(start, end + STEP_M, STEP_M)
    middle, slope = np.zeros_like(x), np.zeros_like(x)
    for share, shortest, longest in ((0.75, 190.0, 420.0), (0.25, 90.0, 160.0)):
        wave = 2 * math.pi / rng.uniform(shortest, longest)
        size = share * style.curve_m * rng.uniform(-1, 1)
        phase = rng.uniform(0, 2 * math.pi)
        middle += size * (np.sin(wave * x + phase) - math.sin(phase))
        slope += size * wave * np.cos(wave * x + phase)
    wave = 2 * math.pi / rng.uniform(140, 320)
    phase, rise = rng.uniform(0, 2 * math.pi), style.slope * rng.uniform(0, 1)
    up = rise / wave * (np.sin(wave * x + phase) - math.sin(phase))
    steps = np.sqrt(1 + slope**2)
    length = np.concatenate([[0.0], np.cumsum((steps[1:] + steps[:-1]) / 2 * STEP_M)])
    length -= np.interp(0.0, x, length)
    return np.stack([middle, slope, up, rise * np.cos(wave * x + phase), length], axis=1)


def _branches(rng: np.random.Generator, profile: Float64, start: float, travel_m: float) -> Float64:
    rows = []
    x = rng.uniform(-25.0, 45.0)
    while x < travel_m + 90.0:
        row = profile[int((x - start) / STEP_M)]
        yaw = math.atan(row[1]) + math.pi / 2 + math.radians(rng.uniform(-14, 14))
        side = float(rng.choice([-1.0, 0.0, 1.0], p=[0.3, 0.4, 0.3]))
        if side < 0:
            yaw += math.pi
        rows.append([x, row[0], math.cos(yaw), math.sin(yaw), rng.uniform(3.0, 5.0), abs(side)])
        x += rng.uniform(65.0, 120.0)
    return np.array(rows)


def _crossings(rng: np.random.Generator, branches: Float64, travel_m: float) -> Float64:
    rows = [[rng.uniform(8.0, travel_m + 30.0), 1.6]] if rng.random() < 0.4 else []
    for branch in branches:
        for way in (-1, 1):
            if rng.random() < 0.55:
                rows.append([branch[0] + way * (branch[4] + rng.uniform(5.5, 7.0)), 1.6])
    kept: list[list[float]] = []
    for row in rows:
        clear = all(abs(row[0] - branch[0]) > branch[4] + 5.0 for branch in branches)
        if clear and all(abs(row[0] - other[0]) > 9.0 for other in kept):
            kept.append(row)
    return np.array(kept).reshape(-1, 2)


def _ensure_ground(
    rng: np.random.Generator, cycle: Float64, paved: Float64, *, has_median: bool
) -> None:
    if not has_median and not cycle.any():
        cycle[int(rng.integers(2))] = rng.uniform(1.3, 2.0)
    if paved.all():
        paved[int(rng.integers(2))] = 0.0


def draw_street(
    rng: np.random.Generator, style: Style, travel_m: float, *, all_classes: bool
) -> Street:
    """The plan of a street along which the ego drives from x = 0 for `travel_m` metres.

    With `all_classes` it has a median or a cycle path, a parking strip, and green ground.
    """
    start = -BEYOND_M
    profile = draw_profile(rng, style, start, travel_m + BEYOND_M)
    branches = _branches(rng, profile, start, travel_m)
    lanes = 1 if rng.random() < style.narrow else 2
    median = rng.uniform(0.5, 1.4) if rng.random() < style.median else 0.0
    parking = np.where(rng.random(2) < style.bays, _STRIP_M, 0.0)
    cycle = np.where(rng.random(2) < style.cycle_path, rng.uniform(1.3, 2.0, 2), 0.0)
    paved = np.where(rng.random(2) < style.urban, rng.uniform(3.0, 9.0, 2), 0.0)
    if all_classes:
        _ensure_ground(rng, cycle, paved, has_median=median > 0)
        parking[0] = parking[0] if parking.any() else _STRIP_M
    ground = Ground(
        start=start,
        profile=profile,
        tilt=float(style.slope * rng.uniform(-0.4, 0.4)),
        lane_width=float(rng.uniform(3.2, 3.7)),
        lanes=lanes,
        median=float(median),
        parking=parking,
        cycle=cycle,
        walk=rng.uniform(*style.walk_m, 2),
        paved=paved,
        branches=branches,
        crossings=_crossings(rng, branches, travel_m),
        bald=float(rng.uniform(0.1, 0.45)),
        seed=int(rng.integers(1, 1 << 20)),
    )
    return Street(ground, start_m=-75.0, end_m=travel_m + 95.0, style=style)
