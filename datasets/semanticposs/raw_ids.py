"""What SemanticPOSS calls the world's classes.

Offers `RAW` (raw ids by world class id) and `TWO_OR_MORE` (people who stand together). The set has
no ids for kerbs, lorries or street furniture: all ground is one class, all vehicles are cars, and
what has no name is 0.
"""

from __future__ import annotations

import numpy as np

from lima_bench.datasets.sample import Int64
from lima_bench.datasets.world.labels import PEOPLE, VEHICLES, Label

TWO_OR_MORE = 5

_GROUND = (
    Label.ROAD,
    Label.LANE_MARKING,
    Label.PARKING,
    Label.SIDEWALK,
    Label.OTHER_FLAT,
    Label.TERRAIN,
    Label.CURB,
    Label.GRASSLAND,
    Label.PUDDLE,
    Label.MUD,
    Label.CONCRETE_SLAB,
)
_NAMES: dict[Label, int] = {
    **dict.fromkeys(PEOPLE - {Label.STROLLER}, 4),
    Label.RIDDEN_BICYCLE: 6,
    Label.RIDDEN_MOTORCYCLE: 6,
    **dict.fromkeys(VEHICLES, 7),
    Label.TRUNK: 8,
    Label.VEGETATION: 9,
    Label.BUSH: 9,
    Label.TRAFFIC_SIGN: 10,
    Label.POLE: 13,
    Label.PUSHABLE: 14,
    Label.BUILDING: 15,
    Label.TRAFFIC_CONE: 16,
    Label.RUBBLE: 16,
    Label.WALL: 17,
    Label.FENCE: 17,
    Label.BARRIER: 17,
    Label.BICYCLE: 21,
    Label.MOTORCYCLE: 21,
    **dict.fromkeys(_GROUND, 22),
}

RAW: Int64 = np.array([_NAMES.get(label, 0) for label in Label])
"""Raw id by world class id."""
