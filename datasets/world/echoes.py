"""Second returns: what a LiDAR beam meets behind leaves or beside an edge.

Offers `Hits`, `second_hits` and `with_second`. A beam is not a line but a cone of light. Part of it
may pass a twig, or the edge of a car, and come back from what lies behind. The cone is looked at
once more, a little off its axis: where that ends clearly farther away, there is a second return,
reported on the beam's axis as sensors do.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lima_bench.common.seeds import derive_seed
from lima_bench.datasets.sample import Bool, Float64, Int64
from lima_bench.datasets.world.lidar_rays import NOTHING, Turn, trace
from lima_bench.datasets.world.shapes import INSTANCE, TEXTURE, Shapes, Texture

HALF_WIDTH_RAD = 0.0012
"""How far off the axis the beam is looked at once more."""

APART_M = 0.5
"""Two returns of one pulse can only be told apart from this distance on."""

DIMMED = 0.5
"""Share of its light that reaches what lies behind."""

_LEAVES = int(Texture.LEAVES)
_SLACK_M = 0.1


class Hits(NamedTuple):
    """Where the beams of a turn end.

    Attributes:
        depth: (C, R) metres.
        owner: (C, R) a solid's row, `GROUND` or `NOTHING`.
        below: (C, R, 2) label and material of the ground.
    """

    depth: Float64
    owner: Int64
    below: Int64


def second_hits(turn: Turn, first: Hits, ground: Float64, shapes: Shapes) -> tuple[Turn, Hits]:
    """Where a part of each beam ends behind its first hit; `NOTHING` for most beams.

    Returns:
        The turn with noise of its own, and the hits.
    """
    rng = np.random.default_rng(derive_seed(turn.seed, "second"))
    off = turn.directions + HALF_WIDTH_RAD * rng.standard_normal(turn.directions.shape)
    off /= np.linalg.norm(off, axis=2, keepdims=True)
    echo = turn._replace(seed=derive_seed(turn.seed, "echo") % (1 << 31))
    instances = int(shapes.tags[:, INSTANCE].max(initial=0)) + 1
    aside = echo._replace(directions=np.ascontiguousarray(off))
    depth, owner, below, _ = trace(aside, ground, shapes.rows, shapes.tags, instances)
    leafy = np.append(shapes.tags[:, TEXTURE] == _LEAVES, False)
    on_solid = first.owner >= 0
    # One plain surface gives one return, however obliquely it is met.
    another = (owner != first.owner) | leafy[np.where(on_solid, first.owner, -1)]
    behind = on_solid & another & (depth > first.depth + APART_M)
    return echo, Hits(depth, np.where(behind, owner, NOTHING), below)


def with_second(
    turn: Turn, first: tuple[Float64, Int64], second: tuple[Float64, Int64]
) -> tuple[Float64, Int64, Bool]:
    """First returns followed by those second ones whose first was kept and lies in front.

    Args:
        turn: The rotation.
        first: Points with intensity (N, 4), and facts (N, 5) whose columns 0 and 4 are the ring
            and the column.
        second: Likewise.

    Returns:
        Points, facts, and whether each is a second return.
    """
    nearest = np.full(turn.directions.shape[:2], np.inf)
    nearest[first[1][:, 4], first[1][:, 0]] = _ranges(turn, *first)
    points, facts = second
    kept = _ranges(turn, points, facts) > nearest[facts[:, 4], facts[:, 0]] + _SLACK_M
    points, facts = points[kept], facts[kept]
    points[:, 3] *= DIMMED
    is_second = np.repeat([False, True], [len(first[0]), len(points)])
    return np.concatenate([first[0], points]), np.concatenate([first[1], facts]), is_second


def _ranges(turn: Turn, points: Float64, facts: Int64) -> Float64:
    """Distances (N,) from the sensor at each column's time."""
    ranges: Float64 = np.linalg.norm(points[:, :3] - turn.origins[facts[:, 4]], axis=1)
    return ranges
