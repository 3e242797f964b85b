"""The geometry of Waymo's range images: from a row, a column and a range to a point.

Offers `row_inclinations`, `column_azimuths`, `to_points`, `pose_matrices` and `pose_angles`. Row 0
is the highest beam, column 0 looks back and the columns go round clockwise. Source:
waymo-research/waymo-open-dataset ``utils/range_image_utils.py``.
"""

from __future__ import annotations

import math

import numpy as np

from lima_bench.datasets.rigid import inverse, rigid
from lima_bench.datasets.sample import Float32, Float64, Int64
from lima_bench.datasets.waymo.capture import LaserCalibration


def row_inclinations(calibration: LaserCalibration, height: int) -> Float64:
    """Radians above the horizon (H,) of each row, row 0 first.

    The calibration lists beams from the lowest up, rows come from the highest down. Without a list
    the rows share the span between `least` and `most` evenly.
    """
    if len(calibration.inclinations):
        return calibration.inclinations[::-1]
    share = (np.arange(height) + 0.5) / height
    found: Float64 = calibration.least + share[::-1] * (calibration.most - calibration.least)
    return found


def column_azimuths(extrinsic: Float64, width: int) -> Float64:
    """Radians (W,) about the LiDAR's own z axis of each column.

    Columns are counted in the vehicle's directions, so the LiDAR's own heading is taken off.
    """
    heading = math.atan2(extrinsic[1, 0], extrinsic[0, 0])
    share = (width - np.arange(width) - 0.5) / width
    found: Float64 = (share * 2 - 1) * np.pi - heading
    return found


def to_points(
    ranges: Float32,
    calibration: LaserCalibration,
    pixel_pose: Float32 | None,
    frame_pose: Float64,
) -> tuple[Float64, Int64, Int64]:
    """Every return of a range image in the vehicle's frame at the frame's pose.

    Args:
        ranges: (H, W) metres; not positive where nothing came back.
        calibration: Of the LiDAR; as many inclinations as rows, or none.
        pixel_pose: (H, W, 6), see `Laser`; None where the vehicle counts as standing still.
        frame_pose: 4x4.

    Returns:
        Points (N, 3) in float64, row after row; their rows and columns.
    """
    row, column = np.nonzero(ranges > 0)
    length = ranges[row, column].astype(np.float64)
    inclination = row_inclinations(calibration, ranges.shape[0])[row]
    azimuth = column_azimuths(calibration.extrinsic, ranges.shape[1])[column]
    level = length * np.cos(inclination)
    own = np.stack(
        [level * np.cos(azimuth), level * np.sin(azimuth), length * np.sin(inclination)], axis=1
    )
    points = own @ calibration.extrinsic[:3, :3].T + calibration.extrinsic[:3, 3]
    if pixel_pose is not None:
        poses = inverse(frame_pose) @ pose_matrices(pixel_pose[row, column].astype(np.float64))
        points = np.einsum("nij,nj->ni", poses[:, :3, :3], points) + poses[:, :3, 3]
    return points, row, column


def pose_matrices(poses: Float64) -> Float64:
    """Roll, pitch, yaw, x, y, z (N, 6) to transforms (N, 4, 4): R = Rz(yaw) Ry(pitch) Rx(roll)."""
    (cr, cp, cy), (sr, sp, sy) = np.cos(poses[:, :3]).T, np.sin(poses[:, :3]).T
    rows = [
        [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
        [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
        [-sp, cp * sr, cp * cr],
    ]
    return rigid(np.moveaxis(np.array(rows), 2, 0), poses[:, 3:])


def pose_angles(poses: Float64) -> Float64:
    """The inverse of `pose_matrices`: transforms (N, 4, 4) to roll, pitch, yaw, x, y, z (N, 6)."""
    turn = poses[:, :3, :3]
    roll = np.arctan2(turn[:, 2, 1], turn[:, 2, 2])
    pitch = np.arcsin(np.clip(-turn[:, 2, 0], -1, 1))
    yaw = np.arctan2(turn[:, 1, 0], turn[:, 0, 0])
    return np.column_stack([roll, pitch, yaw, poses[:, :3, 3]])
