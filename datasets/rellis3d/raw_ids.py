"""What RELLIS-3D calls the world's classes, in scans and in images.

Offers `RAW` (scan ids by world class id) and `IMAGE_RAW` (the same for pixels, where nothing is
sky). Light: numpy only.
"""

from __future__ import annotations

import numpy as np

from lima_bench.datasets.sample import Int64
from lima_bench.datasets.world.labels import PEOPLE, VEHICLES, Label

SKY = 7
_VOID, _TREE, _VEHICLE, _OBJECT, _ASPHALT, _BUILDING = 0, 4, 8, 9, 10, 12
_PERSON, _CONCRETE = 17, 23

_IDS: dict[Label, int] = {
    Label.NOTHING: _VOID,
    Label.ROAD: _ASPHALT,
    Label.LANE_MARKING: _ASPHALT,
    Label.PARKING: _ASPHALT,
    Label.SIDEWALK: _CONCRETE,
    Label.OTHER_FLAT: _CONCRETE,
    Label.CURB: _CONCRETE,
    Label.CONCRETE_SLAB: _CONCRETE,
    Label.TERRAIN: 1,
    Label.GRASSLAND: 3,
    Label.VEGETATION: _TREE,
    Label.TRUNK: _TREE,
    Label.POLE: 5,
    Label.WATER: 6,
    Label.BUILDING: _BUILDING,
    Label.WALL: _BUILDING,
    Label.LOG: 15,
    Label.FENCE: 18,
    Label.BUSH: 19,
    Label.BARRIER: 27,
    Label.PUDDLE: 31,
    Label.MUD: 33,
    Label.RUBBLE: 34,
    Label.MOTORCYCLE: _VEHICLE,
    Label.RIDDEN_MOTORCYCLE: _VEHICLE,
    Label.RIDDEN_BICYCLE: _PERSON,
    **dict.fromkeys(VEHICLES, _VEHICLE),
    **dict.fromkeys(PEOPLE, _PERSON),
    Label.STROLLER: _OBJECT,
    Label.TRAFFIC_SIGN: _OBJECT,
    Label.TRAFFIC_LIGHT: _OBJECT,
    Label.STREET_FURNITURE: _OBJECT,
    Label.TRAFFIC_CONE: _OBJECT,
    Label.DEBRIS: _OBJECT,
    Label.PUSHABLE: _OBJECT,
    Label.BICYCLE_RACK: _OBJECT,
    Label.BICYCLE: _OBJECT,
    Label.ANIMAL: _OBJECT,
    **dict.fromkeys((Label.EGO, Label.NOISE, Label.FOG, Label.SNOW, Label.RAIN), _VOID),
}

RAW: Int64 = np.array([_IDS[label] for label in Label])
"""RELLIS-3D's id by world class id."""

IMAGE_RAW: Int64 = np.where(np.arange(len(Label)) == Label.NOTHING, SKY, RAW)
"""Likewise of a pixel; one that shows nothing shows the sky."""
