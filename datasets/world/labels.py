"""What things are in the built-in world, and what each data set calls them.

Offers the world's class ids (`Label`), which of them are objects (`IS_OBJECT`), and the tables that
writers use: `NUSCENES_CATEGORY` (general category), `NUSCENES_RAW` (lidarseg index), `KITTI_RAW`
and `KITTI_MOVING_RAW` (SemanticKITTI ids), all indexed by world class id. Light: numpy only.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from lima_bench.datasets.sample import Bool, Int64


class Label(IntEnum):
    """World class ids; fine enough for every format that the world is written in."""

    NOTHING = 0
    ROAD = 1
    LANE_MARKING = 2
    PARKING = 3
    SIDEWALK = 4
    OTHER_FLAT = 5
    TERRAIN = 6
    BUILDING = 7
    WALL = 8
    FENCE = 9
    POLE = 10
    TRAFFIC_SIGN = 11
    TRAFFIC_LIGHT = 12
    VEGETATION = 13
    TRUNK = 14
    STREET_FURNITURE = 15
    BARRIER = 16
    TRAFFIC_CONE = 17
    DEBRIS = 18
    PUSHABLE = 19
    BICYCLE_RACK = 20
    CAR = 21
    TRUCK = 22
    BUS_RIGID = 23
    BUS_BENDY = 24
    TRAILER = 25
    CONSTRUCTION_VEHICLE = 26
    AMBULANCE = 27
    POLICE_CAR = 28
    MOTORCYCLE = 29
    RIDDEN_MOTORCYCLE = 30
    BICYCLE = 31
    RIDDEN_BICYCLE = 32
    ADULT = 33
    CHILD = 34
    CONSTRUCTION_WORKER = 35
    POLICE_OFFICER = 36
    PERSONAL_MOBILITY = 37
    STROLLER = 38
    WHEELCHAIR = 39
    ANIMAL = 40
    EGO = 41
    NOISE = 42
    CURB = 43
    GRASSLAND = 44
    BUSH = 45
    LOG = 46
    WATER = 47
    PUDDLE = 48
    MUD = 49
    CONCRETE_SLAB = 50
    RUBBLE = 51
    FOG = 52
    SNOW = 53
    RAIN = 54


PEOPLE = frozenset(
    {
        Label.ADULT,
        Label.CHILD,
        Label.CONSTRUCTION_WORKER,
        Label.POLICE_OFFICER,
        Label.WHEELCHAIR,
        Label.PERSONAL_MOBILITY,
        Label.STROLLER,
    }
)
CYCLES = frozenset({Label.BICYCLE, Label.MOTORCYCLE, Label.RIDDEN_BICYCLE, Label.RIDDEN_MOTORCYCLE})
VEHICLES = frozenset(
    {
        Label.CAR,
        Label.TRUCK,
        Label.BUS_RIGID,
        Label.BUS_BENDY,
        Label.TRAILER,
        Label.CONSTRUCTION_VEHICLE,
        Label.AMBULANCE,
        Label.POLICE_CAR,
    }
)
_MOVABLE = frozenset(
    {
        Label.BARRIER,
        Label.TRAFFIC_CONE,
        Label.DEBRIS,
        Label.PUSHABLE,
        Label.BICYCLE_RACK,
        Label.ANIMAL,
    }
)

IS_OBJECT: Bool = np.isin(
    np.arange(len(Label)), [int(label) for label in PEOPLE | CYCLES | VEHICLES | _MOVABLE]
)
"""By world class id: whether its things are counted one by one and get a box."""


class Names(NamedTuple):
    """What the data sets call one class.

    Attributes:
        nuscenes: General category.
        nuscenes_raw: Index in ``category.json`` of lidarseg.
        kitti: SemanticKITTI id when it stands still.
        kitti_moving: SemanticKITTI id when it moves.
    """

    nuscenes: str
    nuscenes_raw: int
    kitti: int
    kitti_moving: int


def _still(nuscenes: str, nuscenes_raw: int, kitti: int) -> Names:
    return Names(nuscenes, nuscenes_raw, kitti, kitti)


# A rider belongs to the cycle in nuScenes; SemanticKITTI calls both together a cyclist. It has no
# ids for cones, temporary barriers and street furniture: 99 (other-object), which is not scored.
NAMES: dict[Label, Names] = {
    Label.NOTHING: _still("noise", 0, 0),
    Label.ROAD: _still("flat.driveable_surface", 24, 40),
    Label.LANE_MARKING: _still("flat.driveable_surface", 24, 60),
    Label.PARKING: _still("flat.driveable_surface", 24, 44),
    Label.SIDEWALK: _still("flat.sidewalk", 26, 48),
    Label.OTHER_FLAT: _still("flat.other", 25, 49),
    Label.TERRAIN: _still("flat.terrain", 27, 72),
    Label.BUILDING: _still("static.manmade", 28, 50),
    Label.WALL: _still("static.manmade", 28, 51),
    Label.FENCE: _still("static.manmade", 28, 51),
    Label.POLE: _still("static.manmade", 28, 80),
    Label.TRAFFIC_SIGN: _still("static.manmade", 28, 81),
    Label.TRAFFIC_LIGHT: _still("static.manmade", 28, 99),
    Label.VEGETATION: _still("static.vegetation", 30, 70),
    Label.TRUNK: _still("static.vegetation", 30, 71),
    Label.STREET_FURNITURE: _still("static.manmade", 28, 99),
    Label.BARRIER: _still("movable_object.barrier", 9, 99),
    Label.TRAFFIC_CONE: _still("movable_object.trafficcone", 12, 99),
    Label.DEBRIS: _still("movable_object.debris", 10, 99),
    Label.PUSHABLE: _still("movable_object.pushable_pullable", 11, 99),
    Label.BICYCLE_RACK: _still("static_object.bicycle_rack", 13, 52),
    Label.CAR: Names("vehicle.car", 17, 10, 252),
    Label.TRUCK: Names("vehicle.truck", 23, 18, 258),
    Label.BUS_RIGID: Names("vehicle.bus.rigid", 16, 13, 257),
    Label.BUS_BENDY: Names("vehicle.bus.bendy", 15, 13, 257),
    Label.TRAILER: Names("vehicle.trailer", 22, 20, 259),
    Label.CONSTRUCTION_VEHICLE: Names("vehicle.construction", 18, 20, 259),
    Label.AMBULANCE: Names("vehicle.emergency.ambulance", 19, 20, 259),
    Label.POLICE_CAR: Names("vehicle.emergency.police", 20, 10, 252),
    Label.MOTORCYCLE: Names("vehicle.motorcycle", 21, 15, 255),
    Label.RIDDEN_MOTORCYCLE: Names("vehicle.motorcycle", 21, 32, 255),
    Label.BICYCLE: Names("vehicle.bicycle", 14, 11, 253),
    Label.RIDDEN_BICYCLE: Names("vehicle.bicycle", 14, 31, 253),
    Label.ADULT: Names("human.pedestrian.adult", 2, 30, 254),
    Label.CHILD: Names("human.pedestrian.child", 3, 30, 254),
    Label.CONSTRUCTION_WORKER: Names("human.pedestrian.construction_worker", 4, 30, 254),
    Label.POLICE_OFFICER: Names("human.pedestrian.police_officer", 6, 30, 254),
    Label.PERSONAL_MOBILITY: Names("human.pedestrian.personal_mobility", 5, 30, 254),
    Label.STROLLER: Names("human.pedestrian.stroller", 7, 99, 99),
    Label.WHEELCHAIR: Names("human.pedestrian.wheelchair", 8, 30, 254),
    Label.ANIMAL: _still("animal", 1, 99),
    Label.EGO: _still("vehicle.ego", 31, 1),
    Label.NOISE: _still("noise", 0, 1),
    # Kerb stones count as sidewalk where a set has no class for them.
    Label.CURB: _still("flat.sidewalk", 26, 48),
    # Off the road.
    Label.GRASSLAND: _still("flat.terrain", 27, 72),
    Label.BUSH: _still("static.vegetation", 30, 70),
    Label.LOG: _still("static.other", 29, 99),
    Label.WATER: _still("static.other", 29, 99),
    Label.PUDDLE: _still("flat.terrain", 27, 72),
    Label.MUD: _still("flat.terrain", 27, 72),
    Label.CONCRETE_SLAB: _still("flat.other", 25, 49),
    Label.RUBBLE: _still("static.other", 29, 99),
    # What hangs in the air and sends light back.
    Label.FOG: _still("noise", 0, 1),
    Label.SNOW: _still("noise", 0, 1),
    Label.RAIN: _still("noise", 0, 1),
}

NUSCENES_CATEGORY: tuple[str, ...] = tuple(NAMES[label].nuscenes for label in Label)
"""nuScenes general category by world class id."""

NUSCENES_RAW: Int64 = np.array([NAMES[label].nuscenes_raw for label in Label])
"""nuScenes lidarseg index by world class id."""

KITTI_RAW: Int64 = np.array([NAMES[label].kitti for label in Label])
"""SemanticKITTI id by world class id, for what stands still."""

KITTI_MOVING_RAW: Int64 = np.array([NAMES[label].kitti_moving for label in Label])
"""SemanticKITTI id by world class id, for what moves."""

NUSCENES_16: tuple[str, ...] = (
    "barrier",
    "bicycle",
    "bus",
    "car",
    "construction_vehicle",
    "motorcycle",
    "pedestrian",
    "traffic_cone",
    "trailer",
    "truck",
    "driveable_surface",
    "other_flat",
    "sidewalk",
    "terrain",
    "manmade",
    "vegetation",
)
"""The classes that nuScenes scores, in its order: what every scene of the world should show."""

_SCORED = {
    9: 0,
    14: 1,
    15: 2,
    16: 2,
    17: 3,
    18: 4,
    21: 5,
    2: 6,
    3: 6,
    4: 6,
    6: 6,
    12: 7,
    22: 8,
    23: 9,
    24: 10,
    25: 11,
    26: 12,
    27: 13,
    28: 14,
    30: 15,
}

# SemanticKITTI's 19 classes by raw id; what stands and what moves count as one class.
_SCORED_KITTI = {
    **{10: 0, 252: 0, 11: 1, 15: 2, 18: 3, 258: 3, 13: 4, 20: 4, 257: 4, 259: 4, 30: 5, 254: 5},
    **{31: 6, 253: 6, 32: 7, 255: 7, 40: 8, 60: 8, 44: 9, 48: 10, 49: 11, 50: 12, 51: 13},
    **{70: 14, 71: 15, 72: 16, 80: 17, 81: 18},
}

SCORED_19: Int64 = np.array([_SCORED_KITTI.get(int(raw), 255) for raw in KITTI_RAW])
"""SemanticKITTI train id by world class id; 255 where SemanticKITTI does not score it."""

SCORED_16: Int64 = np.array([_SCORED.get(int(raw), 255) for raw in NUSCENES_RAW])
"""Position in `NUSCENES_16` by world class id; 255 where nuScenes does not score it."""
