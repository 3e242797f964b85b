"""What Waymo Open calls the classes of the built-in world.

Offers `RAW`. Source of the meanings: waymo-research/waymo-open-dataset
``protos/segmentation.proto``.
"""

from __future__ import annotations

import numpy as np

from lima_bench.datasets.sample import Int64
from lima_bench.datasets.world.labels import Label

UNDEFINED = 0

# What is not listed has no class there: street furniture, barriers, debris, prams, animals, noise.
_RAW: dict[Label, int] = {
    Label.CAR: 1,
    Label.POLICE_CAR: 1,
    Label.TRUCK: 2,
    Label.TRAILER: 2,
    Label.BUS_RIGID: 3,
    Label.BUS_BENDY: 3,
    Label.CONSTRUCTION_VEHICLE: 4,
    Label.AMBULANCE: 4,
    Label.RIDDEN_MOTORCYCLE: 5,
    Label.RIDDEN_BICYCLE: 6,
    Label.ADULT: 7,
    Label.CHILD: 7,
    Label.CONSTRUCTION_WORKER: 7,
    Label.POLICE_OFFICER: 7,
    Label.PERSONAL_MOBILITY: 7,
    Label.WHEELCHAIR: 7,
    Label.TRAFFIC_SIGN: 8,
    Label.TRAFFIC_LIGHT: 9,
    Label.POLE: 10,
    Label.TRAFFIC_CONE: 11,
    Label.BICYCLE: 12,
    Label.MOTORCYCLE: 13,
    Label.BUILDING: 14,
    Label.WALL: 14,
    Label.FENCE: 14,
    Label.VEGETATION: 15,
    Label.BUSH: 15,
    Label.TRUNK: 16,
    Label.CURB: 17,
    Label.ROAD: 18,
    Label.PARKING: 18,
    Label.PUDDLE: 18,
    Label.LANE_MARKING: 19,
    Label.OTHER_FLAT: 20,
    Label.CONCRETE_SLAB: 20,
    Label.TERRAIN: 21,
    Label.GRASSLAND: 21,
    Label.MUD: 21,
    Label.SIDEWALK: 22,
}

RAW: Int64 = np.array([_RAW.get(label, UNDEFINED) for label in Label])
"""Raw class by world class id."""
