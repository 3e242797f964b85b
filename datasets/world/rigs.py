"""Where sensors sit on the ego and how they look: one rig for each format of the world.

Offers `Rig`, `LidarMount`, `CameraMount`, `nuscenes_rig` and `semantickitti_rig`. Ego axes: x
ahead, y left, z up, origin on the ground below the rear axle. Positions, fields of view and firing
times follow the published calibrations of the two data sets, rounded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lima_bench.datasets.sample import Float64, Int64
from lima_bench.datasets.world.labels import SCORED_16, SCORED_19
from lima_bench.datasets.world.spec import NuScenesDrive, SemanticKittiDrive

KITTI_BASELINE_M = 0.06
"""Colour camera 2 sits this far left of camera 0, whose frame SemanticKITTI's poses use."""


@dataclass(frozen=True)
class LidarMount:
    """A spinning LiDAR.

    Attributes:
        lidar_to_ego: 4x4.
        spin_to_ego: 4x4; the spinning frame has x ahead and z along the axis of rotation.
        elevations_rad: (R,) of the beams, lowest first.
        azimuths: Columns per turn; the sensor turns clockwise seen from above.
        first_azimuth_rad: Of the first column, about z of the spinning frame.
        first_s: Time of the first column against the scan's time stamp.
        turn_s: Duration of a turn.
        max_range_m: Where returns end.
        sees_ego: Whether the lowest beams graze the ego's roof.
    """

    lidar_to_ego: Float64
    spin_to_ego: Float64
    elevations_rad: Float64
    azimuths: int
    first_azimuth_rad: float
    first_s: float
    turn_s: float
    max_range_m: float
    sees_ego: bool


@dataclass(frozen=True)
class CameraMount:
    """A pinhole camera.

    Attributes:
        name: Channel.
        camera_to_ego: 4x4; camera axes are x right, y down, z ahead.
        intrinsic: 3x3 in pixels.
        height: Pixels.
        width: Pixels.
        later_s: Exposure against the scan's time stamp.
    """

    name: str
    camera_to_ego: Float64
    intrinsic: Float64
    height: int
    width: int
    later_s: float


@dataclass(frozen=True)
class Rig:
    """One vehicle's sensors.

    Attributes:
        lidar: The LiDAR.
        cameras: In the format's order.
        period_s: Between keyframes.
        scored: The format's train id by world class id; 255 where it does not score the class.
    """

    lidar: LidarMount
    cameras: tuple[CameraMount, ...]
    period_s: float
    scored: Int64


def _pose(position: tuple[float, float, float], rotation: Float64) -> Float64:
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation, position
    return pose


def _turn(axis: int, angle_rad: float) -> Float64:
    cos, sin = math.cos(angle_rad), math.sin(angle_rad)
    rotation = np.eye(3)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    rotation[i, i] = rotation[j, j] = cos
    rotation[j, i], rotation[i, j] = sin, -sin
    return rotation


# Camera axes (right, down, ahead) as columns in the ego frame, for a camera that looks ahead.
_LOOKING_AHEAD = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])

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
    rotation = _turn(2, math.radians(yaw)) @ _LOOKING_AHEAD
    pose = _pose((x, y, z), rotation)
    return CameraMount(name, pose, intrinsic, height, width, later_ms / 1000)


def nuscenes_rig(drive: NuScenesDrive) -> Rig:
    """HDL-32E at 20 Hz whose x axis points right, and the drive's cameras; keyframes at 2 Hz."""
    spin = _pose((0.94, 0.0, 1.84), _turn(1, 0.02) @ _turn(2, 0.002))
    lidar = LidarMount(
        lidar_to_ego=spin @ _pose((0, 0, 0), _turn(2, -math.pi / 2)),
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


def semantickitti_rig(drive: SemanticKittiDrive) -> Rig:
    """HDL-64E at 10 Hz, x ahead, and colour camera 2; both belong to the same instant."""
    mount = _pose((0.76, 0.0, 1.73), np.eye(3))
    upper, lower = np.linspace(2.0, -8.33, 32), np.linspace(-8.83, -24.33, 32)
    lidar = LidarMount(
        lidar_to_ego=mount,
        spin_to_ego=mount,
        elevations_rad=np.radians(np.concatenate([upper, lower])[::-1]),
        azimuths=drive.azimuths,
        first_azimuth_rad=math.pi,
        first_s=-0.05,
        turn_s=0.1,
        max_range_m=drive.max_range_m,
        sees_ego=False,
    )
    height, width = drive.image_height, drive.image_width
    pixels = 718.86 / 1241 * width
    intrinsic = np.array(
        [[pixels, 0, 0.489 * (width - 1)], [0, pixels, 0.493 * (height - 1)], [0, 0, 1.0]]
    )
    pose = _pose((0.76 + 0.27, KITTI_BASELINE_M, 1.65), _LOOKING_AHEAD)
    camera = CameraMount("image_2", pose, intrinsic, height, width, 0.0)
    return Rig(lidar, (camera,), period_s=0.1, scored=SCORED_19)
