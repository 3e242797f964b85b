"""Incomplete echo: most points on dark vehicles never come back.

Offers `corrupt` and `LEVELS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lima_bench.datasets.corruptions.frame import RawFrame

CLASSES_RAW = ((14,), (15, 16), (17,), (18,), (21,), (22,), (23,))
"""Raw ids of bicycle, bus, car, construction vehicle, motorcycle, trailer and truck."""

SPARED = 10
"""A class with at most so many points loses none (Robo3D ``create/nuscenes_c/incomplete_echo``)."""


@dataclass(frozen=True)
class Level:
    """How much is lost.

    Attributes:
        share: Of each class's points that go.
    """

    share: float


LEVELS: Mapping[str, Level] = {"light": Level(0.75), "moderate": Level(0.85), "heavy": Level(0.95)}
"""Robo3D ``create/nuscenes_c/incomplete_echo``."""


def corrupt(frame: RawFrame, level: Level, rng: np.random.Generator) -> RawFrame:
    """The frame without that share of each vehicle class's points."""
    kept = np.ones(len(frame.labels), dtype=bool)
    for ids in CLASSES_RAW:
        places = np.flatnonzero(np.isin(frame.labels, ids))
        if len(places) > SPARED:
            kept[rng.choice(places, int(len(places) * level.share), replace=False)] = False
    return frame.kept(kept)
