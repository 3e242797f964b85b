"""Missing beams: whole rings are gone.

Offers `corrupt` and `LEVELS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lima_bench.datasets.corruptions.frame import RawFrame

FIRST_RING, LAST_RING = 2, 28
"""Rings that may go (Robo3D ``create/nuscenes_c/beam_missing``)."""


@dataclass(frozen=True)
class Level:
    """How many are lost.

    Attributes:
        draws: Rings drawn with replacement, as published: often fewer distinct ones go.
    """

    draws: int


LEVELS: Mapping[str, Level] = {"light": Level(8), "moderate": Level(16), "heavy": Level(24)}
"""Robo3D ``create/nuscenes_c/beam_missing``."""


def corrupt(frame: RawFrame, level: Level, rng: np.random.Generator) -> RawFrame:
    """The frame without the points of the drawn rings."""
    lost = rng.integers(FIRST_RING, LAST_RING + 1, level.draws)
    return frame.kept(~np.isin(frame.ring, lost))
