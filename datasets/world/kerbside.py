"""Small things along the ego's way: cones that bar a kerb, bins that wait for collection.

Offers `line_kerbs`. Towns whose style asks for neither draw nothing here.
"""

from __future__ import annotations

import math

from lima_bench.datasets.world import furniture, roadworks
from lima_bench.datasets.world.plan import Plan

_TRIES = 14


def _sign(side: int) -> int:
    return 1 if side == 0 else -1


def line_kerbs(plan: Plan, *, all_classes: bool) -> None:
    """Cones and bins on each side, by the style's numbers; with `all_classes` on both sides."""
    style = plan.street.style
    for side in (0, 1):
        if style.cones > 0 and (all_classes or plan.rng.random() < style.cones):
            _bar(plan, side)
        if style.bins > 1:
            _bins(plan, side)


def _near(plan: Plan) -> float:
    """A place along the ego's way."""
    return float(plan.rng.uniform(-8.0, plan.travel_m + 14.0))


def _bar(plan: Plan, side: int) -> None:
    """A row of cones in the gutter, where nobody is to park."""
    rng, street = plan.rng, plan.street
    x, step = _near(plan), float(rng.uniform(1.2, 2.5))
    offset = street.half_width(side) - float(street.ground.parking[side]) - 0.35
    for k in range(int(rng.integers(4, 8))):
        track = plan.beside(x + step * k, _sign(side) * (offset + float(rng.normal(0, 0.06))))
        plan.put(roadworks.cone(rng), track, apart_m=0.05)


def _bins(plan: Plan, side: int) -> None:
    """A pair of bins at the back of the sidewalk."""
    rng, street = plan.rng, plan.street
    placed = 0
    for _ in range(_TRIES):
        track = plan.beside(_near(plan), _sign(side) * (street.behind_walk(side) - 0.45))
        turn = math.pi * (side == 1)
        still = plan.at(track.x, track.y, track.yaw + turn)
        if plan.kerb_clearance(still, 0.72, 0.7) > 0.3:
            placed += plan.put(furniture.bin_on_wheels(rng), still)
        if placed == 2:
            return
