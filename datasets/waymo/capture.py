"""One frame of Waymo Open before it is a sample: what both of its formats say, and no more.

``parquet`` or ``tfrecord`` -> `Capture` -> `lima_bench.datasets.waymo.assemble.sample_of`; and for
the built-in world ``develop`` -> `Capture` -> either format. Offers `Capture`, `LaserCalibration`,
`Laser`, `CameraCalibration` and `Shot`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from lima_bench.datasets.sample import EncodedImage, Float32, Float64

Int32 = npt.NDArray[np.int32]


@dataclass(frozen=True)
class LaserCalibration:
    """How a LiDAR is mounted and where its beams look.

    Attributes:
        name: Number of the LiDAR.
        extrinsic: 4x4, LiDAR to vehicle.
        inclinations: (H,) radians, lowest beam first; empty where rows are evenly spaced.
        least: Radians, lower edge of the lowest row.
        most: Radians, upper edge of the highest row.
    """

    name: int
    extrinsic: Float64
    inclinations: Float64
    least: float
    most: float


@dataclass(frozen=True)
class Laser:
    """What one LiDAR saw in one frame. Row 0 of every image is the highest beam.

    Attributes:
        calibration: Of the LiDAR.
        returns: First and second: (H, W, 4) range in metres, intensity, elongation, no-label
            zone; a range that is not positive is no return.
        labels: Per return (H, W, 2) instance and class, or None; empty without any.
        pixel_pose: (H, W, 6) roll, pitch, yaw, x, y, z, vehicle to global when the pixel was
            taken; None where all pixels count as taken at the frame's pose.
        projections: Per return (H, W, 6) camera, x, y, camera, x, y; empty where not read.
    """

    calibration: LaserCalibration
    returns: tuple[Float32, ...]
    labels: tuple[Int32 | None, ...] = ()
    pixel_pose: Float32 | None = None
    projections: tuple[Float32, ...] = ()


@dataclass(frozen=True)
class CameraCalibration:
    """How a camera is mounted and how its lens bends.

    Attributes:
        name: Number of the camera.
        intrinsic: (9,) f_u, f_v, c_u, c_v in pixels, k1, k2, p1, p2, k3.
        extrinsic: 4x4, camera (x ahead, y left, z up) to vehicle.
        width: Pixels.
        height: Pixels.
    """

    name: int
    intrinsic: Float64
    extrinsic: Float64
    width: int
    height: int


@dataclass(frozen=True)
class Shot:
    """One image.

    Attributes:
        calibration: Of the camera.
        image: The JPEG.
        pose: 4x4, vehicle to global when the image was taken.
        time_s: Of that pose; 0 where it was not read.
    """

    calibration: CameraCalibration
    image: EncodedImage
    pose: Float64
    time_s: float = 0.0


@dataclass(frozen=True)
class Capture:
    """One frame.

    Attributes:
        where: File and frame, for messages.
        timestamp_us: Of the first column of `TOP`, microseconds; not the time of `pose`.
        pose: 4x4, vehicle to global, about the middle of the turn.
        lasers: In the order in which points are wanted.
        shots: In the order of cameras.
    """

    where: str
    timestamp_us: int
    pose: Float64
    lasers: tuple[Laser, ...]
    shots: tuple[Shot, ...] = field(default=())
