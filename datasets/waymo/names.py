"""What Waymo Open calls its sensors and components; the numbers are those of its enumerations.

Offers `LASERS`, `CAMERAS`, `TOP`, `TO_WAYMO_AXES` `COMPONENTS` and `NEEDED`.
Source: waymo-research/waymo-open-dataset ``dataset.proto``, ``v2/perception``.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lima_bench.datasets.sample import Float64

LASERS: Mapping[str, int] = {"TOP": 1, "FRONT": 2, "SIDE_LEFT": 3, "SIDE_RIGHT": 4, "REAR": 5}
"""LiDARs by name; `TOP` is the only one with point labels and with a pose for every pixel."""

TOP = LASERS["TOP"]

CAMERAS: Mapping[str, int] = {
    "FRONT": 1,
    "FRONT_LEFT": 2,
    "FRONT_RIGHT": 3,
    "SIDE_LEFT": 4,
    "SIDE_RIGHT": 5,
}

TO_WAYMO_AXES: Float64 = np.array(
    [[0.0, 0, 1, 0], [-1.0, 0, 0, 0], [0, -1.0, 0, 0], [0, 0, 0, 1.0]]
)
"""From a camera frame with x right, y down, z ahead to Waymo's: x ahead, y left, z up."""

PIXEL_CENTRE = 0.5
"""Where Waymo's image coordinates have the middle of the first pixel; ours have it at 0."""

COMPONENTS: Mapping[str, str] = {
    "lidar": "LiDARComponent",
    "lidar_segmentation": "LiDARSegmentationLabelComponent",
    "lidar_pose": "LiDARPoseComponent",
    "lidar_calibration": "LiDARCalibrationComponent",
    "lidar_camera_projection": "LiDARCameraProjectionComponent",
    "vehicle_pose": "VehiclePoseComponent",
    "camera_image": "CameraImageComponent",
    "camera_calibration": "CameraCalibrationComponent",
}
"""Folder of a component in the second format to the name in its columns."""

NEEDED: tuple[str, ...] = ("lidar", "lidar_pose", "lidar_calibration", "vehicle_pose")
"""Components without which no frame can be read."""
