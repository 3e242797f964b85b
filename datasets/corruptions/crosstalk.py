"""Crosstalk: another LiDAR's pulses throw points off.

Offers `corrupt` and `LEVELS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from lima_bench.datasets.corruptions.frame import CROSSTALK, RawFrame

DEVIATION = 3.0
"""Of the noise, in metres for x, y and z and in counts for intensity (Robo3D)."""


@dataclass(frozen=True)
class Level:
    """How much of it.

    Attributes:
        share: Of the points that are hit.
    """

    share: float


LEVELS: Mapping[str, Level] = {
    "light": Level(0.03),
    "moderate": Level(0.07),
    "heavy": Level(0.12),
}
"""Light from Robo3D ``create/nuscenes_c/crosstalk``; the others are assumed, after what the paper
says as far as it is remembered."""


def corrupt(frame: RawFrame, level: Level, rng: np.random.Generator) -> RawFrame:
    """The frame with Gaussian noise on some points, labelled 43, their intensity included.

    As published, intensity is not held to 0..255 afterwards.
    """
    count = len(frame.labels)
    hit = rng.choice(count, int(level.share * count), replace=False)
    noise = rng.normal(0.0, DEVIATION, (len(hit), 4)).astype(np.float32)
    points, intensity = frame.points.copy(), frame.intensity.copy()
    labels = frame.labels.copy()
    points[hit] += noise[:, :3]
    intensity[hit] += noise[:, 3]
    labels[hit] = CROSSTALK
    return replace(frame, points=points, intensity=intensity, labels=labels)
