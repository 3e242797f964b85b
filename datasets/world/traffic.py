"""Fills a street with what moves or is parked: vehicles in both directions, people, cycles.

Offers `park`, `drive_lanes`, `fill_branches`, `walk` and the `FLEETS` of towns.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from lima_bench.datasets.sample import Float64
from lima_bench.datasets.world import cycles, furniture, people, vehicles
from lima_bench.datasets.world.palette import pick
from lima_bench.datasets.world.plan import Plan
from lima_bench.datasets.world.things import AlongRoad, Model, Straight

Draw = Callable[[np.random.Generator], Model]


def _ridden_bicycle(rng: np.random.Generator) -> Model:
    return cycles.bicycle(rng, ridden=True)


def _ridden_motorcycle(rng: np.random.Generator) -> Model:
    return cycles.motorcycle(rng, ridden=True)


def _parked_motorcycle(rng: np.random.Generator) -> Model:
    return cycles.motorcycle(rng, ridden=False)


def _parked_bicycle(rng: np.random.Generator) -> Model:
    return cycles.bicycle(rng, ridden=False)


_MOVING: tuple[tuple[Draw, float], ...] = (
    (vehicles.car, 0.78),
    (vehicles.truck, 0.07),
    (vehicles.rigid_bus, 0.03),
    (vehicles.bendy_bus, 0.01),
    (_ridden_motorcycle, 0.05),
    (_ridden_bicycle, 0.03),
    (vehicles.police_car, 0.015),
    (vehicles.ambulance, 0.015),
)
_PARKED: tuple[tuple[Draw, float], ...] = (
    (vehicles.car, 0.90),
    (vehicles.truck, 0.05),
    (_parked_motorcycle, 0.04),
    (vehicles.trailer, 0.01),
)
_CAMPUS_MOVING: tuple[tuple[Draw, float], ...] = (
    (vehicles.car, 0.40),
    (vehicles.rigid_bus, 0.01),
    (_ridden_motorcycle, 0.22),
    (_ridden_bicycle, 0.37),
)
_CAMPUS_PARKED: tuple[tuple[Draw, float], ...] = (
    (vehicles.car, 0.74),
    (_parked_motorcycle, 0.14),
    (_parked_bicycle, 0.12),
)
FLEETS = {"town": (_MOVING, _PARKED), "campus": (_CAMPUS_MOVING, _CAMPUS_PARKED)}
"""By `Style.fleet`: who drives and who parks, with their shares."""


def choose(rng: np.random.Generator, table: tuple[tuple[Draw, float], ...]) -> Model:
    """Draw one model of a weighted table."""
    return table[pick(rng, [weight for _, weight in table])][0](rng)


def _sign(side: int) -> int:
    return 1 if side == 0 else -1


def park(plan: Plan) -> None:
    """Rows of parked vehicles in the parking strips."""
    rng, street = plan.rng, plan.street
    for side in (0, 1):
        strip = float(street.ground.parking[side])
        if strip == 0:
            continue
        offset = _sign(side) * (street.half_width(side) - strip / 2 - 0.05)
        x = street.start_m
        while x < street.end_m:
            if rng.random() < street.style.parked and plan.open_road(x):
                model = choose(rng, FLEETS[street.style.fleet][1])
                turn = math.pi * ((side == 0) != (rng.random() < 0.1)) + rng.normal(0, 0.015)
                middle = x + model.size[0] / 2
                if plan.open_road(x + model.size[0]):
                    plan.put(model, plan.beside(middle, offset + rng.normal(0, 0.05), turn))
                x += model.size[0]
            x += float(rng.uniform(0.7, 2.5))


def drive_lanes(plan: Plan) -> None:
    """Moving vehicles on every lane of the main road; a lane keeps one speed."""
    rng, street = plan.rng, plan.street
    for direction in (1, -1):
        for lane in range(street.ground.lanes):
            own = direction == 1 and lane == plan.ego.lane
            speed = plan.ego.track.speed_mps if own else float(rng.uniform(4.0, 11.0))
            offset = plan.lane_offset(direction, lane)
            reach = street.end_m - street.start_m
            for _ in range(rng.poisson(street.style.traffic * reach / 100)):
                model = choose(rng, FLEETS[street.style.fleet][0])
                start = float(rng.uniform(street.start_m, street.end_m))
                swing = float(rng.normal(0, 0.12))
                track = AlongRoad(street, offset + swing, start, direction * speed, direction)
                plan.put(model, track, speed, apart_m=0.35)


def fill_branches(plan: Plan) -> None:
    """Vehicles that wait at the mouth of branch roads, stand along them or drive on them."""
    for branch in plan.street.ground.branches:
        ways = (1,) if branch[5] else (1, -1)
        for way in ways:
            _branch(plan, branch, way)


def _branch(plan: Plan, branch: Float64, way: int) -> None:
    rng = plan.rng
    cos, sin, half = way * branch[2], way * branch[3], float(branch[4])
    yaw = math.atan2(sin, cos)
    mouth = plan.street.half_width(0 if way * branch[3] > 0 else 1) + 7.0
    for side in (-1, 1):
        ahead = mouth + float(rng.uniform(0, 3))
        while ahead < mouth + 55:
            model = vehicles.car(rng)
            beside = side * half * 0.5
            x = branch[0] + ahead * cos - beside * sin
            y = branch[1] + ahead * sin + beside * cos
            turn = yaw + (math.pi if side > 0 else 0.0)
            if rng.random() < plan.street.style.side_traffic:
                first = ahead < mouth + 3
                speed = 0.0 if side > 0 and first else float(rng.uniform(2.0, 6.0))
                if side > 0 and not first:
                    speed = min(speed, 0.0)
                name = None if speed else "vehicle.stopped"
                track = Straight(plan.street, x, y, turn, speed)
                plan.put(model, track, speed, attribute=name, apart_m=0.3)
            ahead += float(rng.uniform(7, 22))


def walk(plan: Plan) -> None:
    """People on sidewalks and crossings, parked bicycles, now and then a dog or a pram."""
    rng, street = plan.rng, plan.street
    reach = street.end_m - street.start_m
    for side in (0, 1):
        for _ in range(rng.poisson(street.style.walkers * reach / 100)):
            walker(plan, float(rng.uniform(street.start_m, street.end_m)), side)
        for _ in range(rng.poisson(0.02 * street.style.bicycles * reach)):
            stand_bicycle(plan, float(rng.uniform(street.start_m, street.end_m)), side)
    for x in street.ground.crossings[:, 0]:
        if rng.random() < 0.5:
            _cross(plan, float(x))


_PEOPLE: tuple[tuple[Draw, float], ...] = (
    (people.adult, 0.80),
    (people.child, 0.11),
    (people.officer, 0.03),
    (people.stroller, 0.03),
    (furniture.dog, 0.03),
)


def walker(plan: Plan, x: float, side: int) -> bool:
    """Put a person on the sidewalk near `x`, walking or standing; say whether there was room."""
    rng, street = plan.rng, plan.street
    inner = street.half_width(side) + float(street.ground.cycle[side]) + 0.6
    offset = _sign(side) * float(rng.uniform(inner, max(street.behind_walk(side) - 0.4, inner)))
    model = choose(rng, _PEOPLE)
    if rng.random() < 0.35:
        track = plan.beside(x, offset, float(rng.uniform(0, 2 * math.pi)))
        placed = plan.kerb_clearance(track, 0.6, 0.6) > 0 and plan.put(model, track)
        return placed and _accompany(plan, x, offset, 0.0)
    ahead, speed = 1 if rng.random() < 0.5 else -1, float(rng.uniform(0.7, 1.7))
    placed = plan.put(model, AlongRoad(street, offset, x, ahead * speed, ahead), speed)
    return placed and _accompany(plan, x, offset, ahead * speed)


def _accompany(plan: Plan, x: float, offset: float, speed: float) -> bool:
    """Put someone beside a pedestrian, by the style's chance and where there is room; say True."""
    rng, street = plan.rng, plan.street
    if street.style.company > 0 and rng.random() < street.style.company:
        model = people.adult(rng) if rng.random() < 0.85 else people.child(rng)
        apart = float(rng.uniform(0.9, 1.1)) * (1 if rng.random() < 0.5 else -1)
        if speed:
            ahead = 1 if speed > 0 else -1
            plan.put(model, AlongRoad(street, offset + apart, x, speed, ahead), abs(speed))
        else:
            plan.put(model, plan.beside(x, offset + apart, float(rng.uniform(0, 2 * math.pi))))
    return True


def stand_bicycle(plan: Plan, x: float, side: int) -> bool:
    """Lean a bicycle at the back of the sidewalk near `x`; say whether there was room."""
    offset = _sign(side) * (plan.street.behind_walk(side) - 0.5)
    turn = math.pi * (plan.rng.random() < 0.5) + float(plan.rng.normal(0, 0.3))
    track = plan.beside(x, offset, turn)
    clear = plan.kerb_clearance(track, 1.8, 0.7) > 0.3
    return clear and plan.put(cycles.bicycle(plan.rng, ridden=False), track)


def _cross(plan: Plan, x: float) -> None:
    """Someone on a zebra crossing, if all drivers' ways leave them room."""
    rng = plan.rng
    left = bool(rng.random() < 0.5)
    middle = plan.beside(x + float(rng.uniform(-1, 1)), 0.0)
    yaw = middle.yaw + (math.pi / 2 if left else -math.pi / 2)
    back, speed = float(rng.uniform(-4, 5)), float(rng.uniform(0.8, 1.6))
    x0, y0 = middle.x - back * math.cos(yaw), middle.y - back * math.sin(yaw)
    plan.put(people.adult(rng), Straight(plan.street, x0, y0, yaw, speed), speed)
