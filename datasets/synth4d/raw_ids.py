"""What Synth4D calls the world's classes: the names of the CARLA simulator.

Offers `RAW`, by world class id.
"""

from __future__ import annotations

import numpy as np

from lima_bench.datasets.sample import Int64
from lima_bench.datasets.world.labels import CYCLES, PEOPLE, VEHICLES, Label

# CARLA has one class for all that people drive, two for loose things: "static" for what is fixed,
# "dynamic" for what a person could push away. Prams and wheelchairs are the second.
_NAMED: dict[Label, int] = {
    Label.NOTHING: 0,
    Label.ROAD: 7,
    Label.LANE_MARKING: 6,
    Label.PARKING: 7,
    Label.SIDEWALK: 8,
    Label.OTHER_FLAT: 14,
    Label.TERRAIN: 22,
    Label.BUILDING: 1,
    Label.WALL: 11,
    Label.FENCE: 2,
    Label.POLE: 5,
    Label.TRAFFIC_SIGN: 12,
    Label.TRAFFIC_LIGHT: 18,
    Label.VEGETATION: 9,
    Label.TRUNK: 9,
    Label.STREET_FURNITURE: 19,
    Label.BARRIER: 19,
    Label.TRAFFIC_CONE: 20,
    Label.DEBRIS: 20,
    Label.PUSHABLE: 20,
    Label.BICYCLE_RACK: 19,
    Label.STROLLER: 20,
    Label.WHEELCHAIR: 20,
    Label.ANIMAL: 20,
    Label.EGO: 0,
    Label.NOISE: 0,
    Label.CURB: 8,
    Label.GRASSLAND: 22,
    Label.BUSH: 9,
    Label.LOG: 3,
    Label.WATER: 21,
    Label.PUDDLE: 22,
    Label.MUD: 22,
    Label.CONCRETE_SLAB: 14,
    Label.RUBBLE: 3,
    Label.FOG: 0,
    Label.SNOW: 0,
    Label.RAIN: 0,
}


_RAW: dict[Label, int] = {
    **dict.fromkeys(VEHICLES | CYCLES, 10),
    **dict.fromkeys(PEOPLE, 4),
    **_NAMED,
}

RAW: Int64 = np.array([_RAW[label] for label in Label])
"""CARLA's id by world class id."""
