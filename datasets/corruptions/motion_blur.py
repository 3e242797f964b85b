"""Motion blur: the whole scan shifted by a little, and every point by a little less.

Offers `corrupt` and `LEVELS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from lima_bench.datasets.corruptions.frame import RawFrame

JITTER_SHARE = (0.1, 0.1, 0.05)
"""Of the shift's deviation, in x, y and z (Robo3D ``create/nuscenes_c/motion_blur``)."""

FARTHEST = 3.0
"""Jitter ends at so many deviations of the shift (Robo3D)."""


@dataclass(frozen=True)
class Level:
    """How strong it is.

    Attributes:
        deviation_m: Standard deviation of the shift in each of x, y and z.
    """

    deviation_m: float


LEVELS: Mapping[str, Level] = {
    "light": Level(0.2),
    "moderate": Level(0.3),
    "heavy": Level(0.4),
}
"""Light from Robo3D; the others are assumed, in equal steps."""


def corrupt(frame: RawFrame, level: Level, rng: np.random.Generator) -> RawFrame:
    """The frame shifted and jittered; as many points, same labels."""
    shift = rng.normal(0.0, level.deviation_m, 3)
    jitter = rng.normal(0.0, 1.0, frame.points.shape) * level.deviation_m * JITTER_SHARE
    limit = FARTHEST * level.deviation_m
    points = frame.points + shift + np.clip(jitter, -limit, limit)
    return replace(frame, points=points.astype(np.float32))
