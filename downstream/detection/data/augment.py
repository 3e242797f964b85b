"""Objects under the motion that their cloud got.

Offers `moved`, `within` and `wrapped`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lima_bench.datasets.sample import Float64
from lima_bench.downstream.detection.boxes import Objects
from lima_bench.lima.recipes import GridBounds


def moved(objects: Objects, motion: Float64) -> Objects:
    """Rotated, shifted, scaled and mirrored as the points around them.

    The heading of a mirrored object is its mirrored heading; velocities turn, grow and are
    mirrored with everything else, and stay NaN where they are unknown.

    Args:
        objects: In the LiDAR frame.
        motion: 4x4, as `lima_bench.lima.augment.draw_motion` draws it: a rotation about z, one
            scale, mirrored axes.
    """
    linear = motion[:3, :3]
    boxes = objects.boxes.astype(np.float64)
    heading = np.stack((np.cos(boxes[:, 6]), np.sin(boxes[:, 6])), axis=1) @ linear[:2, :2].T
    columns = np.column_stack(
        [
            boxes[:, :3] @ linear.T + motion[:3, 3],
            boxes[:, 3:6] * np.cbrt(abs(np.linalg.det(linear))),
            wrapped(np.arctan2(heading[:, 1], heading[:, 0])),
            boxes[:, 7:] @ linear[:2, :2].T,
        ]
    )
    return replace(objects, boxes=columns.astype(np.float32))


def within(objects: Objects, bounds: GridBounds) -> Objects:
    """Those whose middle lies in the grid, seen from above; heights do not count."""
    lower, upper = np.array(bounds.lower[:2]), np.array(bounds.upper[:2])
    middle = objects.boxes[:, :2]
    return objects.only(((middle >= lower) & (middle < upper)).all(axis=1))


def wrapped(yaw: Float64) -> Float64:
    """Angles in radians, from -pi up to but not including pi."""
    turns: Float64 = (yaw + np.pi) % (2 * np.pi) - np.pi
    return turns
