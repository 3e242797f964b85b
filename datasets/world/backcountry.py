"""Fills open country: people on the trail, what people left there, and what grows.

Offers `fill`, the one step with which a wild scene is filled.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from lima_bench.datasets.world import buildings, people, plants, thicket, vehicles
from lima_bench.datasets.world.labels import Label
from lima_bench.datasets.world.noise import smooth
from lima_bench.datasets.world.plan import Plan
from lima_bench.datasets.world.things import AlongRoad, Model

Draw = Callable[[np.random.Generator], Model]

_TRIES = 16
_OPEN_M = 2.2
_DEEP_M = 42.0
_CLEARING = 0.42


def fill(plan: Plan, *, all_classes: bool) -> None:
    """Place everything; with `all_classes`, each rare thing near the ego for certain."""
    rng, style = plan.rng, plan.street.style
    _flood(plan)
    steps: tuple[Callable[[Plan], object], ...] = (
        _vehicle,
        _rubble,
        _barriers,
        _fence,
        _log,
        _post,
    )
    for step in steps:
        if all_classes or rng.random() < style.rare:
            step(plan)
    _people(plan, 2 if all_classes else 0)
    for side in (-1, 1):
        _trees(plan, side)
        _bushes(plan, side)
        _tufts(plan, side)


def _flood(plan: Plan) -> None:
    """Take the ground under water, so that nothing stands in it."""
    for x, y, cos, sin, half_length, half_width, level, label in plan.street.ground.patches:
        if label in (Label.WATER, Label.PUDDLE):
            pose = (x, y, level, math.atan2(sin, cos))
            poses = np.tile(pose, (len(plan.claims.times_s), 1))
            plan.claims.take(poses, 1.7 * half_length, 1.7 * half_width, apart_m=0.0)


def _near(plan: Plan, before_m: float, beyond_m: float) -> float:
    """A place along the ego's way."""
    return float(plan.rng.uniform(-before_m, plan.travel_m + beyond_m))


def _put_beside(
    plan: Plan,
    model: Model,
    out_m: tuple[float, float],
    beyond_m: float,
    *,
    turn: float | None = None,
) -> float | None:
    """Stand a thing between `out_m` from the trail's edge; give its offset, None without room."""
    rng = plan.rng
    for _ in range(_TRIES):
        side = 1.0 if rng.random() < 0.5 else -1.0
        out = float(rng.uniform(*out_m)) + model.size[1] / 2
        offset = side * (plan.street.half_width(0) + out)
        angle = float(rng.uniform(0, 2 * math.pi)) if turn is None else turn
        x = _near(plan, 2.0, beyond_m)
        track = plan.beside(x, offset, angle)
        clear = plan.kerb_clearance(track, *model.size[:2]) > 0.1
        if clear and plan.put(model, track, apart_m=0.2):
            return offset
    return None


def _vehicle(plan: Plan) -> None:
    draw = vehicles.car if plan.rng.random() < 0.7 else vehicles.truck
    _put_beside(plan, draw(plan.rng), (5.0, 14.0), 16.0)


def _rubble(plan: Plan) -> None:
    _put_beside(plan, thicket.rubble(plan.rng), (2.5, 8.0), 12.0)


def _log(plan: Plan) -> None:
    _put_beside(plan, thicket.log(plan.rng), (2.5, 8.0), 12.0)


def _post(plan: Plan) -> None:
    """A mast, and with luck the next ones of its row."""
    model, rng = thicket.post(plan.rng), plan.rng
    offset = _put_beside(plan, model, (2.5, 8.0), 8.0, turn=0.0)
    if offset is not None and rng.random() < 0.3:
        for x in np.arange(plan.street.start_m, plan.street.end_m, float(rng.uniform(24, 36))):
            plan.put(model, plan.beside(float(x), offset))


def _barriers(plan: Plan) -> None:
    """A few concrete elements in line."""
    turn = float(plan.rng.normal(0, 0.15))
    _row(plan, thicket.concrete_barrier, (4.0, 9.0), 12.0, step_m=2.5, turn=turn)


def _fence(plan: Plan) -> None:
    """A stretch of fence along the trail."""
    _row(plan, lambda rng: buildings.fence(rng, 4.0), (4.0, 12.0), 12.0, step_m=4.1, turn=0.0)


def _row(
    plan: Plan,
    draw: Draw,
    out_m: tuple[float, float],
    beyond_m: float,
    *,
    step_m: float,
    turn: float,
) -> None:
    """Two to four things end to end, as far as there is room behind the first."""
    rng = plan.rng
    more = int(rng.integers(1, 4))
    for _ in range(_TRIES):
        side = 1.0 if rng.random() < 0.5 else -1.0
        offset = side * (plan.street.half_width(0) + float(rng.uniform(*out_m)))
        x = _near(plan, 3.0, beyond_m)
        if _element(plan, draw(rng), x, offset, turn):
            for k in range(1, more + 1):
                along = k * step_m
                _element(plan, draw(rng), x + along, offset + along * math.sin(turn), turn)
            return


def _element(plan: Plan, model: Model, x: float, offset: float, turn: float) -> bool:
    track = plan.beside(x, offset, turn)
    clear = plan.kerb_clearance(track, *model.size[:2]) > 0.1
    return clear and plan.put(model, track, apart_m=0.02)


def _people(plan: Plan, at_least: int) -> None:
    """People who walk along with the vehicle, come towards it, or stand beside the trail."""
    rng, street = plan.rng, plan.street
    count = max(at_least, int(rng.poisson(street.style.walkers)))
    for _ in range(count):
        model = people.adult(rng)
        for _ in range(_TRIES):
            side = 1.0 if rng.random() < 0.5 else -1.0
            offset = side * float(rng.uniform(1.8, 7.0))
            x = _near(plan, 5.0, 10.0)
            if rng.random() < 0.3:
                track = plan.beside(x, offset, float(rng.uniform(0, 2 * math.pi)))
                if plan.put(model, track):
                    break
                continue
            ahead = 1 if rng.random() < 0.75 else -1
            speed = float(rng.uniform(0.8, 1.7))
            walk = AlongRoad(street, offset, x, ahead * speed, ahead)
            if plan.put(model, walk, speed):
                break


def _scattered(
    plan: Plan, side: int, per_100_m: float, nearest_m: float, farthest_m: float
) -> list[tuple[float, float]]:
    """Places (x, offset) beside the trail, in thickets with clearings between."""
    rng, street = plan.rng, plan.street
    count = rng.poisson(per_100_m * (street.end_m - street.start_m) / 100)
    x = rng.uniform(street.start_m, street.end_m, count)
    # Denser near the trail than far behind the first rows, which hide the rest.
    out = nearest_m + (farthest_m - nearest_m) * rng.random(count) ** 1.4
    seed = street.ground.seed
    return [
        (float(a), side * (street.half_width(0) + float(b)))
        for a, b in zip(x, out, strict=True)
        if smooth(0.07 * a, 0.11 * b * side, seed + 17) > _CLEARING - 0.012 * b
    ]


def _trees(plan: Plan, side: int) -> None:
    rng = plan.rng
    for x, offset in _scattered(plan, side, plan.street.style.trees, 7.0, _DEEP_M):
        track = plan.beside(x, offset)
        room = plan.kerb_clearance(track, 0.3, 0.3)
        if room > 1.2:
            reach = min(room, float(rng.uniform(1.8, 4.2)))
            plan.put(plants.tree(rng, reach), track, room=(0.9 * reach, 0.9 * reach))


def _bushes(plan: Plan, side: int) -> None:
    rng = plan.rng
    for x, offset in _scattered(plan, side, plan.street.style.thickets, _OPEN_M, _DEEP_M):
        wide = float(rng.uniform(1.0, 4.5))
        track = plan.beside(x, offset, float(rng.uniform(0, 2 * math.pi)))
        if plan.kerb_clearance(track, wide, wide) > 0.3:
            plan.put(thicket.shrub(rng, wide), track, room=(0.6 * wide, 0.6 * wide))


def _tufts(plan: Plan, side: int) -> None:
    rng = plan.rng
    for x, offset in _scattered(plan, side, 0.35 * plan.street.style.thickets, 0.3, 18.0):
        track = plan.beside(x, offset, float(rng.uniform(0, 2 * math.pi)))
        if plan.kerb_clearance(track, 0.8, 0.8) > 0:
            plan.put(thicket.tuft(rng), track, room=(0.5, 0.5))
