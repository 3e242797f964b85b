"""How the world is recorded in the manner of RELLIS-3D.

Offers `expedition`, its rig as `rellis3d_rig`, `OFFROAD` and the sequence names.
"""

from __future__ import annotations

import math

import numpy as np

from lima_bench.datasets.card import Card
from lima_bench.datasets.rellis3d.raw_ids import RAW
from lima_bench.datasets.sample import Float64
from lima_bench.datasets.world.drives import Rellis3dDrive
from lima_bench.datasets.world.expedition import Expedition, Trip
from lima_bench.datasets.world.rigs import (
    LOOKING_AHEAD,
    CameraMount,
    LidarMount,
    Rig,
    mounted,
    turned_about,
)
from lima_bench.datasets.world.spec import WorldSpec
from lima_bench.datasets.world.street import Style

SEQUENCES = ("00000", "00001", "00002", "00003", "00004")
SPLITS = ("train", "val", "test")

OFFROAD = Style(
    name="offroad",
    urban=0.0,
    curve_m=10.0,
    slope=0.05,
    trees=52.0,
    houses=0.0,
    parked=0.0,
    traffic=0.0,
    walkers=2.0,
    cycle_path=0.0,
    median=0.0,
    works=0.0,
    machines=False,
    weather=(0.65, 0.35, 0.0, 0.0, 0.0),
    rare=0.3,
    pace=0.45,
    wild=True,
    thickets=340.0,
)

# An OS1-64's beams, by what the rings of the public frame's PLY file see: 17.0 down to -16.4
# degrees, evenly.
OS1_64_RAD: Float64 = np.radians(np.linspace(-16.44, 17.02, 64))
HEIGHT_M = 1.35

# The public frame's calibration, rounded: the camera sits ahead of and below the Ouster and looks
# two degrees aside.
_CAMERA = (0.13, -0.04, HEIGHT_M - 0.17)
_ASIDE_RAD = math.radians(-2.0)
_FOCAL, _WIDTH = 2813.64, 1920
_MIDDLE = (969.29, 624.05)


def expedition(spec: WorldSpec) -> Expedition:
    """All five sequences have frames in every list; each part of one is a place of its own.

    A trip is named by its sequence and the number of its first scan.
    """
    own = spec.rellis3d
    scans = {"train": own.train_scans, "val": own.val_scans, "test": own.test_scans}
    trips = []
    for split in SPLITS:
        first = sum(scans[earlier] for earlier in SPLITS[: SPLITS.index(split)])
        for index, name in enumerate(SEQUENCES):
            if scans[split]:
                trip = f"{name}/{first:06}"
                trips.append(Trip(trip, split, index, scans[split], all_classes=True))
    pretrain = [trip.name for trip in trips if trip.split == "train"]
    return Expedition(rellis3d_rig(own), OFFROAD, tuple(trips), "rellis3d", pretrain=pretrain)


def rellis3d_rig(drive: Rellis3dDrive) -> Rig:
    """OS1-64 at 10 Hz, whose x axis looks back, and the colour camera at the same instant."""
    place = (0.0, 0.0, HEIGHT_M)
    lidar = LidarMount(
        lidar_to_ego=mounted(place, turned_about(2, math.pi)),
        spin_to_ego=mounted(place, np.eye(3)),
        elevations_rad=OS1_64_RAD,
        azimuths=drive.azimuths,
        first_azimuth_rad=math.pi,
        first_s=-0.05,
        turn_s=0.1,
        max_range_m=drive.max_range_m,
        sees_ego=False,
        name="os1_cloud_node",
    )
    scale = drive.image_width / _WIDTH
    intrinsic = np.array(
        [
            [_FOCAL * scale, 0, _MIDDLE[0] * scale],
            [0, _FOCAL * scale, _MIDDLE[1] * scale],
            [0, 0, 1.0],
        ]
    )
    pose = mounted(_CAMERA, turned_about(2, _ASIDE_RAD) @ LOOKING_AHEAD)
    camera = CameraMount(
        "pylon_camera_node", pose, intrinsic, drive.image_height, drive.image_width, 0.0
    )
    scored = Card.beside(__file__).remap(RAW)
    return Rig(lidar, (camera,), period_s=0.1, scored=scored)
