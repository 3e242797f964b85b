"""Which points lie in a box: the loop over boxes and points, compiled.

Offers `mark_inside`.
"""

from __future__ import annotations

from lima_bench.datasets.compiled import compiler
from lima_bench.datasets.sample import Bool, Float64

compiled = compiler()


@compiled
def mark_inside(points: Float64, centre: Float64, reach: Float64, turn: Float64, hit: Bool) -> None:
    """Set `hit` where a point lies in a box.

    Args:
        points: (N, 3) metres.
        centre: (B, 3), in the same frame.
        reach: (B, 3) half of each edge: along the heading, across, and up.
        turn: (B, 2) cosine and sine of the heading.
        hit: (N,), added to.
    """
    for box in range(len(centre)):
        cos, sin = turn[box, 0], turn[box, 1]
        for n in range(len(points)):
            up = points[n, 2] - centre[box, 2]
            if abs(up) <= reach[box, 2]:
                x, y = points[n, 0] - centre[box, 0], points[n, 1] - centre[box, 1]
                ahead, left = x * cos + y * sin, y * cos - x * sin
                if abs(ahead) <= reach[box, 0] and abs(left) <= reach[box, 1]:
                    hit[n] = True
