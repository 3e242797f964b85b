"""Where sensors sit on the ego and how they look; each data set has a rig of its own.

Offers `Rig`, `LidarMount`, `CameraMount`, and what rigs are built from: `upright`, `mounted`,
`turned_about`, `LOOKING_AHEAD` and `HDL_64E_RAD`. Ego axes: x ahead, y left, z up, origin on the
ground below the rear axle. The rigs stand in ``datasets/<id>/expedition.py``; positions, fields of
view and firing times follow the published calibrations, rounded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lima_bench.datasets.sample import Float64, Int64

HDL_64E_RAD: Float64 = np.radians(
    np.concatenate([np.linspace(2.0, -8.33, 32), np.linspace(-8.83, -24.33, 32)])[::-1]
)
"""(64,) elevations of a Velodyne HDL-64E's beams, lowest first."""


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
        name: Which LiDAR of the rig.
        on_beam: Keep every point exactly on its beam, as formats need that store ranges only.
        two_returns: Whether the sensor keeps a second return where a beam meets two things.
        noise: Parts the noise of a rig's LiDARs; empty where there is one.
        nearest_m: Where returns begin.
        clean: Whether every beam that meets something returns, from exactly there: a simulator's.
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
    name: str = "LIDAR_TOP"
    on_beam: bool = False
    two_returns: bool = False
    noise: str = ""
    nearest_m: float = 0.0
    clean: bool = False


@dataclass(frozen=True)
class CameraMount:
    """A camera.

    Attributes:
        name: Channel.
        camera_to_ego: 4x4; camera axes are x right, y down, z ahead.
        intrinsic: 3x3 in pixels.
        height: Pixels.
        width: Pixels.
        later_s: Exposure against the scan's time stamp.
        distortion: Brown-Conrady k1, k2, p1, p2, k3 of its lens; None for a pinhole.
    """

    name: str
    camera_to_ego: Float64
    intrinsic: Float64
    height: int
    width: int
    later_s: float
    distortion: tuple[float, float, float, float, float] | None = None


@dataclass(frozen=True)
class Rig:
    """One vehicle's sensors.

    Attributes:
        lidar: The LiDAR that sets the pace.
        cameras: In the format's order.
        period_s: Between keyframes.
        scored: The format's train id by world class id; 255 where it does not score the class.
        more_lidars: Further LiDARs.
    """

    lidar: LidarMount
    cameras: tuple[CameraMount, ...]
    period_s: float
    scored: Int64
    more_lidars: tuple[LidarMount, ...] = ()


def mounted(position: tuple[float, float, float], rotation: Float64) -> Float64:
    """The 4x4 pose of a sensor at `position` in metres, turned by `rotation` (3x3)."""
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation, position
    return pose


def turned_about(axis: int, angle_rad: float) -> Float64:
    """The rotation (3x3) about axis 0, 1 or 2, counter-clockwise."""
    cos, sin = math.cos(angle_rad), math.sin(angle_rad)
    rotation = np.eye(3)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    rotation[i, i] = rotation[j, j] = cos
    rotation[j, i], rotation[i, j] = sin, -sin
    return rotation


LOOKING_AHEAD: Float64 = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
"""Camera axes (right, down, ahead) as columns in the ego frame, for a camera that looks ahead."""


def upright(
    position: tuple[float, float, float],
    elevations_rad: Float64,
    azimuths: int,
    max_range_m: float,
) -> LidarMount:
    """A LiDAR along the ego's axes, at 10 Hz; its time stamp is when it looks ahead."""
    mount = mounted(position, np.eye(3))
    return LidarMount(
        lidar_to_ego=mount,
        spin_to_ego=mount,
        elevations_rad=elevations_rad,
        azimuths=azimuths,
        first_azimuth_rad=math.pi,
        first_s=-0.05,
        turn_s=0.1,
        max_range_m=max_range_m,
        sees_ego=False,
    )
