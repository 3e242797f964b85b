"""What SynLiDAR calls the world's classes.

Offers `RAW` (raw ids by world class id) and what a class alone does not tell: `PICK_UP`, `FEMALE`,
`MALE` and `CROWD`.
"""

from __future__ import annotations

import numpy as np

from lima_bench.datasets.sample import Int64
from lima_bench.datasets.world.labels import Label

CAR, PICK_UP, FEMALE, MALE, KID, CROWD = 1, 2, 12, 13, 14, 15

_NAMES: dict[Label, int] = {
    Label.ROAD: 8,
    Label.LANE_MARKING: 8,
    Label.PARKING: 10,
    Label.SIDEWALK: 9,
    Label.CURB: 9,
    Label.OTHER_FLAT: 11,
    Label.CONCRETE_SLAB: 11,
    Label.TERRAIN: 22,
    Label.GRASSLAND: 22,
    Label.PUDDLE: 22,
    Label.MUD: 22,
    Label.BUILDING: 18,
    Label.WALL: 19,
    Label.BICYCLE_RACK: 19,
    Label.FENCE: 26,
    Label.POLE: 24,
    Label.TRAFFIC_SIGN: 23,
    Label.VEGETATION: 20,
    Label.BUSH: 20,
    Label.TRUNK: 21,
    Label.STREET_FURNITURE: 31,
    Label.TRAFFIC_CONE: 25,
    Label.PUSHABLE: 27,
    **dict.fromkeys(
        (
            Label.TRAFFIC_LIGHT,
            Label.BARRIER,
            Label.DEBRIS,
            Label.ANIMAL,
            Label.STROLLER,
            Label.LOG,
            Label.RUBBLE,
            Label.WATER,
        ),
        32,
    ),
    Label.CAR: CAR,
    Label.POLICE_CAR: CAR,
    Label.TRUCK: 3,
    Label.BUS_RIGID: 4,
    Label.BUS_BENDY: 4,
    Label.TRAILER: 7,
    Label.CONSTRUCTION_VEHICLE: 7,
    Label.AMBULANCE: 7,
    Label.BICYCLE: 5,
    Label.MOTORCYCLE: 6,
    Label.RIDDEN_BICYCLE: 16,
    Label.RIDDEN_MOTORCYCLE: 17,
    **dict.fromkeys(
        (
            Label.ADULT,
            Label.CONSTRUCTION_WORKER,
            Label.POLICE_OFFICER,
            Label.PERSONAL_MOBILITY,
            Label.WHEELCHAIR,
        ),
        MALE,
    ),
    Label.CHILD: KID,
}

RAW: Int64 = np.array([_NAMES.get(label, 0) for label in Label])
"""Raw id by world class id; every grown person is `MALE`, every car `CAR`, until told apart."""
