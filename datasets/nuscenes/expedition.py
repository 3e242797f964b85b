"""How the world is recorded in the manner of nuScenes.

Offers `expedition`, and its rig as `nuscenes_rig`.
"""

from __future__ import annotations

import math

import numpy as np

from lima_bench.datasets.world.drives import NuScenesDrive
from lima_bench.datasets.world.expedition import Expedition, Trip
from lima_bench.datasets.world.labels import SCORED_16
from lima_bench.datasets.world.rigs import (
    LOOKING_AHEAD,
    CameraMount,
    LidarMount,
    Rig,
    mounted,
    turned_about,
)
from lima_bench.datasets.world.spec import WorldSpec
from lima_bench.datasets.world.street import CITY

SHARE_STRIDE = 100
"""The sparsest label share keeps every 100th train scene, counted from 1."""

# Name: x, y, z in metres, yaw in degrees, focal length / width, exposure in ms.
_NUSCENES = {
    "CAM_FRONT": (1.70, 0.02, 1.51, 0.0, 0.791, -35.0),
    "CAM_FRONT_RIGHT": (1.55, -0.49, 1.50, -56.4, 0.788, -27.5),
    "CAM_FRONT_LEFT": (1.52, 0.49, 1.51, 55.2, 0.795, -43.0),
    "CAM_BACK": (0.03, 0.00, 1.58, 180.0, 0.506, -10.0),
    "CAM_BACK_LEFT": (1.04, 0.48, 1.59, 108.6, 0.785, -0.5),
    "CAM_BACK_RIGHT": (1.02, -0.48, 1.56, -110.8, 0.787, -20.0),
}
_MIDDLE_ROW = 0.546


def _nuscenes_camera(name: str, drive: NuScenesDrive) -> CameraMount:
    x, y, z, yaw, focal, later_ms = _NUSCENES[name]
    height, width = drive.image_height, drive.image_width
    pixels = focal * width
    intrinsic = np.array(
        [[pixels, 0, 0.51 * (width - 1)], [0, pixels, _MIDDLE_ROW * (height - 1)], [0, 0, 1.0]]
    )
    rotation = turned_about(2, math.radians(yaw)) @ LOOKING_AHEAD
    pose = mounted((x, y, z), rotation)
    return CameraMount(name, pose, intrinsic, height, width, later_ms / 1000)


def expedition(spec: WorldSpec) -> Expedition:
    """Train scenes, then val scenes, numbered through; every 100th of train shows all classes."""
    own = spec.nuscenes
    counts = {"train": own.train_scenes, "val": own.val_scenes}
    trips = tuple(_trip(own, split, i) for split, count in counts.items() for i in range(count))
    longer = [trips[i].name for i in sorted(own.pretrain_indices)]
    return Expedition(nuscenes_rig(own), CITY, trips, "nuscenes", pretrain=longer)


def _trip(own: NuScenesDrive, split: str, index: int) -> Trip:
    number = {"train": 1, "val": own.train_scenes + 1}[split] + index
    shared = split == "train" and (index + 1) % SHARE_STRIDE == 0
    longer = split == "train" and index in own.pretrain_indices
    return Trip(
        name=f"scene-{number:04d}",
        split=split,
        index=index,
        keyframes=own.keyframes(split, index),
        all_classes=split == "val" or shared or longer,
        sweeps=own.sweeps(split, index),
        lead_in=own.leads_in(split, index),
    )


def nuscenes_rig(drive: NuScenesDrive) -> Rig:
    """HDL-32E at 20 Hz whose x axis points right, and the drive's cameras; keyframes at 2 Hz."""
    spin = mounted((0.94, 0.0, 1.84), turned_about(1, 0.02) @ turned_about(2, 0.002))
    lidar = LidarMount(
        lidar_to_ego=spin @ mounted((0, 0, 0), turned_about(2, -math.pi / 2)),
        spin_to_ego=spin,
        elevations_rad=np.radians(np.linspace(-30.67, 10.67, 32)),
        azimuths=drive.azimuths,
        first_azimuth_rad=math.radians(108.0),
        first_s=-0.05,
        turn_s=0.05,
        max_range_m=drive.max_range_m,
        sees_ego=True,
    )
    cameras = tuple(_nuscenes_camera(name, drive) for name in drive.cameras)
    return Rig(lidar, cameras, period_s=0.5, scored=SCORED_16)
