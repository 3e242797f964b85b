"""Fills a street with what never moves: buildings, walls, trees, posts, signs, furniture.

Offers `raise_buildings`, `plant` and `furnish`.
"""

from __future__ import annotations

import math

from lima_bench.datasets.world import buildings, furniture, plants
from lima_bench.datasets.world.plan import Plan


def _sign(side: int) -> int:
    return 1 if side == 0 else -1


def raise_buildings(plan: Plan) -> None:
    """Two rows of buildings on each side, with gaps where branch roads leave."""
    for side in (0, 1):
        _row(plan, side, float(plan.street.ground.paved[side]), near=True)
        _row(plan, side, 26.0, near=False)


def _row(plan: Plan, side: int, back_m: float, *, near: bool) -> None:
    rng, style = plan.rng, plan.street.style
    x = plan.street.start_m + rng.uniform(-10, 10)
    paved = plan.street.ground.paved[side] > 0
    while x < plan.street.end_m:
        detached = rng.random() < style.houses and near
        width = float(rng.uniform(8, 13) if detached else rng.uniform(11, 24))
        depth = float(rng.uniform(8, 11) if detached else rng.uniform(10, 16))
        set_back = rng.uniform(3.0, 9.0) if detached or not paved else rng.uniform(0.2, 1.0)
        offset = plan.street.behind_walk(side) + back_m + set_back + depth / 2 + 1.0
        if rng.random() < (0.85 if near else 0.6) * style.built:
            turn = 0.0 if side == 0 else math.pi
            track = plan.beside(x + width / 2, _sign(side) * offset, turn)
            if plan.kerb_clearance(track, width, depth + 2) > 2.6:
                draw = buildings.house if detached else buildings.block
                plan.put(draw(rng, width, depth), track, apart_m=0.3)
        x += width + float(rng.uniform(3, 10) if detached or not near else rng.uniform(0.5, 5))


def plant(plan: Plan) -> None:
    """Street trees, garden trees, hedges, walls, fences and bushes."""
    for side in (0, 1):
        _boundary(plan, side)
        _trees(plan, side)
        _bushes(plan, side)


def _boundary(plan: Plan, side: int) -> None:
    """Hedge, wall or fence along the back of an unpaved sidewalk."""
    rng, street = plan.rng, plan.street
    x = street.start_m
    while x < street.end_m:
        length = float(rng.uniform(5, 14))
        kind = rng.random()
        back = street.behind_walk(side) + float(street.ground.paved[side]) + 0.7
        track = plan.beside(x + length / 2, _sign(side) * back)
        if kind < 0.55 and plan.kerb_clearance(track, length, 0.8) > 1.5:
            if kind < 0.2:
                model = plants.hedge(rng, length)
            elif kind < 0.38:
                model = buildings.fence(rng, length)
            else:
                model = buildings.wall(rng, length)
            plan.put(model, track, apart_m=0.2)
        x += length + float(rng.uniform(1, 9))


def _trees(plan: Plan, side: int) -> None:
    rng, street = plan.rng, plan.street
    count = rng.poisson(street.style.trees * (street.end_m - street.start_m) / 100)
    for _ in range(count):
        x = float(rng.uniform(street.start_m, street.end_m))
        kerb = street.half_width(side) + float(street.ground.cycle[side])
        if rng.random() < 0.45:
            offset = kerb + float(rng.uniform(1.3, max(1.4, street.ground.walk[side] - 0.2)))
        else:
            offset = street.behind_walk(side) + float(rng.uniform(2, 28))
        track = plan.beside(x, _sign(side) * offset)
        room = plan.kerb_clearance(track, 0.3, 0.3)
        if room > 1.0:
            model = plants.tree(rng, min(room + 0.3, 3.2))
            reach = min(room + 0.3, 3.2)
            plan.put(model, track, room=(1.3 * reach, 1.3 * reach))


def _bushes(plan: Plan, side: int) -> None:
    rng, street = plan.rng, plan.street
    for _ in range(rng.poisson(0.08 * street.style.bushes * (street.end_m - street.start_m))):
        x = float(rng.uniform(street.start_m, street.end_m))
        offset = street.behind_walk(side) + float(street.ground.paved[side]) + rng.uniform(1, 9)
        track = plan.beside(x, _sign(side) * float(offset))
        if plan.kerb_clearance(track, 2.0, 2.0) > 2.0:
            plan.put(plants.bush(rng), track)


def furnish(plan: Plan) -> None:
    """Lamps in a row, signs, signals at junctions, and what stands about on sidewalks."""
    for side in (0, 1):
        _lamps(plan, side)
        _signals(plan, side)
        _scatter(plan, side)


def _at_kerb(plan: Plan, x: float, side: int, behind_m: float, turn: float) -> bool:
    """Whether a post fits there; kept apart from corners, where the kerb bends away."""
    track = plan.beside(x, _sign(side) * (plan.street.half_width(side) + behind_m), turn)
    return plan.kerb_clearance(track, 0.3, 0.3) > 0.2


def _lamps(plan: Plan, side: int) -> None:
    rng, street = plan.rng, plan.street
    x, step = street.start_m + rng.uniform(0, 20), rng.uniform(22, 32)
    while x < street.end_m:
        turn = -_sign(side) * math.pi / 2
        if _at_kerb(plan, x, side, 0.55, turn):
            offset = _sign(side) * (street.half_width(side) + 0.55)
            plan.put(furniture.lamp_post(rng), plan.beside(x, offset, turn), apart_m=0.05)
        x += step


def _signals(plan: Plan, side: int) -> None:
    """Signals and signs face the traffic that drives on their side."""
    rng, street = plan.rng, plan.street
    ground = street.ground
    facing = math.pi if side == 0 else 0.0
    towards = -1 if side == 0 else 1
    for x in ground.crossings[:, 0]:
        draw = furniture.traffic_light if rng.random() < 0.6 else furniture.traffic_sign
        stop = float(x) - towards * 2.3
        if _at_kerb(plan, stop, side, 0.45, facing):
            offset = _sign(side) * (street.half_width(side) + 0.45)
            plan.put(draw(rng), plan.beside(stop, offset, facing), apart_m=0.05)
    for _ in range(rng.poisson(0.03 * (street.end_m - street.start_m))):
        x = float(rng.uniform(street.start_m, street.end_m))
        if _at_kerb(plan, x, side, 0.5, facing):
            offset = _sign(side) * (street.half_width(side) + 0.5)
            plan.put(furniture.traffic_sign(rng), plan.beside(x, offset, facing), apart_m=0.05)


def _scatter(plan: Plan, side: int) -> None:
    rng, street = plan.rng, plan.street
    kinds = (
        (furniture.bench, 0.015, 0.5),
        (furniture.bin_on_wheels, 0.03 * street.style.bins, 0.4),
        (furniture.cabinet, 0.012, 0.4),
        (furniture.shelter, 0.006, 1.2),
        (furniture.debris, 0.006, 0.4),
    )
    for draw, per_metre, inside_m in kinds:
        for _ in range(rng.poisson(per_metre * (street.end_m - street.start_m))):
            x = float(rng.uniform(street.start_m, street.end_m))
            offset = street.behind_walk(side) - inside_m + (0.9 if street.ground.paved[side] else 0)
            turn = 0.0 if side == 0 else math.pi
            track, model = plan.beside(x, _sign(side) * offset, turn), draw(rng)
            if plan.kerb_clearance(track, *model.size[:2]) > 0.4:
                plan.put(model, track)
