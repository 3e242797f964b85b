"""Puts rare classes where the ego sees them, so that no class is missing from a scene.

Offers `cast_rare`: road works with a machine, barriers, cones and workers; a bus, a lorry, a
trailer, motorcycles, bicycles and pedestrians near the ego's way.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from lima_bench.datasets.world import cycles, furniture, people, roadworks, vehicles
from lima_bench.datasets.world.kerbside import line_kerbs
from lima_bench.datasets.world.plan import Plan
from lima_bench.datasets.world.things import AlongRoad, Model
from lima_bench.datasets.world.traffic import stand_bicycle, walker

_TRIES = 14


def _sign(side: int) -> int:
    return 1 if side == 0 else -1


def cast_rare(plan: Plan, *, all_classes: bool) -> None:
    """Place the rare classes; each of them for certain, or by the style's chance."""
    rng, style = plan.rng, plan.street.style
    if (all_classes and style.machines) or rng.random() < style.works:
        _works(plan)
    steps: tuple[tuple[str, Callable[[Plan], object]], ...] = (
        ("trailer", _trailer),
        ("bus", _bus),
        ("truck", _truck),
        ("ridden bicycle", _ridden_bicycle),
        ("motorcycles", _motorcycles),
        ("bicycles", _bicycles),
        ("walkers", _walkers),
    )
    for name, step in steps:
        if name not in style.lacks and (all_classes or rng.random() < style.rare):
            step(plan)
    line_kerbs(plan, all_classes=all_classes)


def _near(plan: Plan, before_m: float, beyond_m: float) -> float:
    """A place along the ego's way."""
    return float(plan.rng.uniform(-before_m, plan.travel_m + beyond_m))


def _moving(plan: Plan, model: Model, nearest_m: float, farthest_m: float) -> bool:
    """A vehicle on any lane, that far from the ego half-way through the drive."""
    rng = plan.rng
    half = plan.claims.times_s[-1] / 2
    for _ in range(_TRIES):
        direction = 1 if rng.random() < 0.35 else -1
        lane = int(rng.integers(plan.street.ground.lanes))
        own = direction == 1 and lane == plan.ego.lane
        speed = plan.ego.track.speed_mps if own else float(rng.uniform(3.5, 9.0))
        apart = float(rng.uniform(nearest_m, farthest_m)) * (1 if rng.random() < 0.6 else -1)
        middle = plan.travel_m / 2 + apart
        start = middle - direction * speed * half
        offset = plan.lane_offset(direction, lane)
        track = AlongRoad(plan.street, offset, start, direction * speed, direction)
        if plan.put(model, track, speed, apart_m=0.35):
            return True
    return False


def _bus(plan: Plan) -> bool:
    rng = plan.rng
    draw = vehicles.bendy_bus if rng.random() < 0.3 else vehicles.rigid_bus
    return _moving(plan, draw(rng), 12.0, 28.0)


def _truck(plan: Plan) -> bool:
    return _moving(plan, vehicles.truck(plan.rng), 9.0, 26.0)


def _ridden_bicycle(plan: Plan) -> bool:
    """On the cycle path, or at the edge of the outer lane."""
    rng, street = plan.rng, plan.street
    for _ in range(_TRIES):
        side = int(rng.integers(2))
        direction = 1 if side == 1 else -1
        path = float(street.ground.cycle[side])
        edge = street.half_width(side) - float(street.ground.parking[side]) - 0.5
        offset = _sign(side) * (street.half_width(side) + 0.2 + path / 2 if path else edge)
        start, speed = _near(plan, 8.0, 14.0), float(rng.uniform(2.5, 5.0))
        track = AlongRoad(street, offset, start, direction * speed, direction)
        if plan.put(cycles.bicycle(rng, ridden=True), track, speed):
            return True
    return False


def _trailer(plan: Plan) -> bool:
    """Parked on its own in a strip or on open ground, or behind its tractor on a lane."""
    rng, street = plan.rng, plan.street
    for _ in range(_TRIES):
        side, apart = int(rng.integers(2)), float(rng.uniform(9.0, 24.0))
        x = plan.travel_m / 2 + apart * (1 if rng.random() < 0.6 else -1)
        strip = float(street.ground.parking[side])
        if strip and plan.open_road(x - 5) and plan.open_road(x + 5):
            offset = _sign(side) * (street.half_width(side) - strip / 2 + 0.05)
            if plan.put(vehicles.trailer(rng), plan.beside(x, offset, math.pi * (side == 0))):
                return True
        if _road_train(plan, x):
            return True
    return False


def _road_train(plan: Plan, x: float) -> bool:
    """A tractor with its trailer, driving straight enough to be two boxes in line."""
    rng, street = plan.rng, plan.street
    trailer, tractor = vehicles.trailer(rng), vehicles.tractor(rng)
    speed = float(rng.uniform(3.5, 8.0))
    start = x + speed * plan.claims.times_s[-1] / 2
    offset = plan.lane_offset(-1, street.ground.lanes - 1)
    behind = AlongRoad(street, offset, start, -speed, -1)
    gap = (trailer.size[0] + tractor.size[0]) / 2 - 0.9
    ahead = AlongRoad(street, offset, start - gap - 1.0, -speed, -1)
    if not plan.put(trailer, behind, speed, apart_m=0.05):
        return False
    plan.put(tractor, ahead, speed, apart_m=0.03)
    return True


def _motorcycles(plan: Plan) -> None:
    """One ridden, one parked at the kerb or on the sidewalk."""
    rng, street = plan.rng, plan.street
    _moving(plan, cycles.motorcycle(rng, ridden=True), 3.0, 15.0)
    for _ in range(_TRIES):
        side, x = int(rng.integers(2)), _near(plan, 6.0, 12.0)
        strip = float(street.ground.parking[side])
        on_strip = strip > 0 and plan.open_road(x)
        inside = strip / 2 if on_strip else -1.1 - float(street.ground.cycle[side])
        offset = _sign(side) * (street.half_width(side) - inside)
        track = plan.beside(x, offset, float(rng.uniform(-0.5, 0.5)))
        if not on_strip and plan.kerb_clearance(track, 2.1, 0.8) < 0.1:
            continue
        if plan.put(cycles.motorcycle(rng, ridden=False), track):
            return


def _bicycles(plan: Plan) -> None:
    """A few parked bicycles on each sidewalk, sometimes at a rack."""
    rng, street = plan.rng, plan.street
    for side in (0, 1):
        placed = 0
        for _ in range(_TRIES):
            x = _near(plan, 5.0, 12.0)
            placed += stand_bicycle(plan, x, side)
            if placed == 2:
                break
    if rng.random() < 0.3:
        side = int(rng.integers(2))
        offset = _sign(side) * (street.behind_walk(side) - 0.6)
        track = plan.beside(_near(plan, 5.0, 15.0), offset)
        if plan.kerb_clearance(track, 0.8, 2.0) > 0.2:
            plan.put(furniture.bicycle_rack(rng), track)


def _walkers(plan: Plan) -> None:
    for _ in range(5):
        walker(plan, _near(plan, 8.0, 15.0), int(plan.rng.integers(2)))


def _works(plan: Plan) -> None:
    """Road works in a parking strip, on an outer lane or behind a kerb."""
    rng = plan.rng
    machine = roadworks.construction_vehicle(rng)
    for _ in range(3 * _TRIES):
        side, x = int(rng.integers(2)), _near(plan, 12.0, 18.0)
        if not (plan.open_road(x - 6, 3.0) and plan.open_road(x + 6, 3.0)):
            continue
        offset = _works_offset(plan, side)
        track = plan.beside(x, _sign(side) * offset, math.pi * (rng.random() < 0.5))
        if plan.put(machine, track, apart_m=0.4):
            _fence_off(plan, x, side, offset)
            return


def _works_offset(plan: Plan, side: int) -> float:
    """Where the machine stands: in the strip if there is one, else beside the sidewalk."""
    street, rng = plan.street, plan.rng
    strip = float(street.ground.parking[side])
    if strip and rng.random() < 0.75:
        return street.half_width(side) - strip / 2 + 0.15
    return street.half_width(side) + float(street.ground.cycle[side]) + 1.6


def _fence_off(plan: Plan, x: float, side: int, offset: float) -> None:
    """Barriers towards the road, cones before and behind, workers inside."""
    rng, sign = plan.rng, _sign(side)
    line = offset - 1.75
    for k in range(-2, 3):
        track = plan.beside(x + 2.2 * k, sign * line, float(rng.normal(0, 0.03)))
        plan.put(roadworks.barrier(rng), track, apart_m=0.02)
    for way in (-1, 1):
        for k in range(4):
            along = x + way * (5.6 + 1.5 * k)
            track = plan.beside(along, sign * (line + 0.45 * k + float(rng.normal(0, 0.08))))
            plan.put(roadworks.cone(rng), track, apart_m=0.05)
    for _ in range(4):
        along, out = x + float(rng.uniform(-8, 8)), offset + float(rng.uniform(-1.0, 2.5))
        track = plan.beside(along, sign * out, float(rng.uniform(0, 2 * math.pi)))
        plan.put(people.worker(rng), track)
