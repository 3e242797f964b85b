"""Where a street's kerbs run: distances from branch roads, crossings and kerbs; compiled.

Offers `kerb_distance`, `clearance`, `from_junction`, `from_crossing`, `nearest_branch` and
`joined`.
"""

from __future__ import annotations

import math

from lima_bench.datasets.sample import Float64
from lima_bench.datasets.world.compiled import compiled
from lima_bench.datasets.world.ground import (
    BRANCH,
    CROSSING,
    FAR,
    N_BRANCHES,
    N_CROSSINGS,
    N_PROFILE,
    PROFILE,
    ROW,
    half_width,
    road_frame,
)

_CORNER_M = 7.0


@compiled
def branch_at(ground: Float64, i: int) -> int:
    """Place of a branch road in the table."""
    return PROFILE + ROW * int(ground[N_PROFILE]) + BRANCH * i


@compiled
def crossing_at(ground: Float64, i: int) -> int:
    """Place of a crossing in the table."""
    return branch_at(ground, int(ground[N_BRANCHES])) + CROSSING * i


@compiled
def nearest_branch(ground: Float64, x: float, y: float) -> tuple[float, float, float]:
    """Distance beyond the kerb of the nearest branch road, and how far along and beside it."""
    best, best_along, best_beside = FAR, 0.0, 0.0
    for i in range(int(ground[N_BRANCHES])):
        place = branch_at(ground, i)
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
def joined(main: float, branch: float) -> float:
    """Distance beyond the kerb of two roads together; their corners are rounded."""
    blend = max(_CORNER_M - abs(main - branch), 0.0) * (1 / _CORNER_M)
    return min(main, branch) - blend * blend * (_CORNER_M / 4)


@compiled
def kerb_distance(ground: Float64, x: float, y: float) -> float:
    """Metres beyond the nearest kerb; negative on the carriageway."""
    t, _ = road_frame(ground, x, y)
    return joined(abs(t) - half_width(ground, t >= 0), nearest_branch(ground, x, y)[0])


@compiled
def clearance(
    ground: Float64, x: float, y: float, yaw: float, length: float, width: float
) -> float:
    """Smallest distance beyond the kerb over the corners and sides' middles of a rectangle."""
    cos, sin, least = math.cos(yaw), math.sin(yaw), FAR
    for i in range(-1, 2):
        for j in range(-1, 2):
            ahead, beside = i * length / 2, j * width / 2
            px, py = x + cos * ahead - sin * beside, y + sin * ahead + cos * beside
            least = min(least, kerb_distance(ground, px, py))
    return least


@compiled
def from_junction(ground: Float64, x: float) -> float:
    """Metres along x from the mouth of the nearest branch road; negative inside the junction."""
    best = FAR
    for i in range(int(ground[N_BRANCHES])):
        place = branch_at(ground, i)
        mouth = ground[place + 4] / max(abs(ground[place + 3]), 0.3)
        best = min(best, abs(x - ground[place]) - mouth)
    return best


@compiled
def from_crossing(ground: Float64, x: float) -> float:
    """Metres along x from the nearest zebra crossing; negative on it."""
    best = FAR
    for i in range(int(ground[N_CROSSINGS])):
        place = crossing_at(ground, i)
        best = min(best, abs(x - ground[place]) - ground[place + 1])
    return best
