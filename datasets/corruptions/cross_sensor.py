"""Cross-sensor: the scan as a LiDAR with fewer beams and half the columns would have taken it.

Offers `corrupt` and `LEVELS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lima_bench.datasets.corruptions.frame import RawFrame

RINGS = 32
FIRST_RING = 1


@dataclass(frozen=True)
class Level:
    """Which rings go.

    Attributes:
        step: From one lost ring to the next, starting at ring 1; fractions are cut off.
    """

    step: float

    @property
    def lost(self) -> tuple[int, ...]:
        """The lost rings."""
        return tuple(int(ring) for ring in np.arange(FIRST_RING, RINGS, self.step))


LEVELS: Mapping[str, Level] = {"light": Level(4.0), "moderate": Level(2.0), "heavy": Level(1.33)}
"""8, 16 and 24 rings (Robo3D ``create/nuscenes_c/cross_sensor``)."""


def corrupt(frame: RawFrame, level: Level, rng: np.random.Generator) -> RawFrame:
    """The frame without those rings, of which every second point is kept."""
    del rng  # nothing is left to chance
    rest = frame.kept(~np.isin(frame.ring, level.lost))
    return rest.kept(np.arange(len(rest.labels)) % 2 == 0)
