"""From a recording of the built-in world to what either Waymo format stores.

Offers `develop`: `Moment` -> `Capture`. Points become ranges in range images again, which needs
LiDARs that keep points exactly on their beams.
"""

from __future__ import annotations

import io
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from lima_bench.datasets.lens import distort
from lima_bench.datasets.rigid import apply, inverse
from lima_bench.datasets.sample import Bool, EncodedImage, Float32, Float64, Int64
from lima_bench.datasets.waymo.capture import (
    CameraCalibration,
    Capture,
    Laser,
    LaserCalibration,
    Shot,
)
from lima_bench.datasets.waymo.names import CAMERAS, LASERS, PIXEL_CENTRE, TO_WAYMO_AXES, TOP
from lima_bench.datasets.waymo.range_images import pose_angles
from lima_bench.datasets.waymo.raw_ids import RAW
from lima_bench.datasets.world.recording import LidarScan, Moment, Picture

HALF_TURN_US = 50_000
"""A frame's time stamp is that of the first column, its pose about that of the middle one."""

BRIGHTEST = 0.99
"""Intensity has no bound; a world's 1 would become infinite."""

JPEG_QUALITY = 90
_NOTHING = -1.0
_SPREAD = 0.4  # elongation of a pulse that comes back in two parts


def develop(name: str, moment: Moment) -> Capture:
    """One keyframe of the recording `name`."""
    pose = moment.scan.ego_to_global
    scans = (moment.scan, *moment.more_scans)
    shots = tuple(_shot(picture) for picture in moment.pictures)
    time_us = moment.scan.timestamp_us - HALF_TURN_US
    lasers = tuple(_laser(scan, shots, labelled=moment.labelled) for scan in scans)
    return Capture(f"{name}: {time_us}", time_us, pose, lasers, shots)


def _laser(scan: LidarScan, shots: tuple[Shot, ...], *, labelled: bool) -> Laser:
    """The range images of one LiDAR."""
    number = LASERS[scan.lidar]
    height, width = len(scan.beams.elevations_rad), len(scan.beams.azimuths_rad)
    row, column = height - 1 - scan.ring, scan.column
    second = np.zeros(len(scan.points), bool) if scan.second is None else scan.second
    ranges = _ranges(scan, own_pose=number == TOP)
    in_two = np.zeros((height, width), bool)
    in_two[row[second], column[second]] = True
    pixels = np.column_stack(
        [
            ranges,
            np.arctanh(np.minimum(scan.intensity, BRIGHTEST)),
            np.where(in_two[row, column], _SPREAD, 0.0),
            np.full(len(ranges), _NOTHING),
        ]
    )
    returns, labels, projections = [], [], []
    ids = np.column_stack([scan.instance, RAW[scan.label]])
    seen = _projections(scan, shots)
    for kept in (~second, second):
        where = kept, row, column, (height, width)
        returns.append(_image(pixels, *where, empty=_NOTHING).astype(np.float32))
        labels.append(_image(ids, *where, empty=0).astype(np.int32))
        projections.append(_image(seen, *where, empty=0).astype(np.float32))
    return Laser(
        calibration=_laser_calibration(scan),
        returns=tuple(returns),
        labels=tuple(labels) if labelled and number == TOP else (),
        pixel_pose=_pixel_pose(scan) if number == TOP else None,
        projections=tuple(projections),
    )


def _image(
    values: Float64 | Int64,
    kept: Bool,
    row: Int64,
    column: Int64,
    size: tuple[int, int],
    *,
    empty: float,
) -> Float64:
    """Values (N, channels) of the points `kept`, at their places in an image."""
    image = np.full((*size, values.shape[1]), empty)
    image[row[kept], column[kept]] = values[kept]
    return image


def _ranges(scan: LidarScan, *, own_pose: bool) -> Float64:
    """Distances (N,) from the sensor when each point was taken.

    Raises:
        ValueError: Points lie beside their beams, so that ranges would not give them back.
    """
    points = scan.points.astype(np.float64)
    if own_pose:
        now = scan.ego_to_global @ scan.lidar_to_ego
        then = inverse(scan.beams.ego_to_global @ scan.beams.spin_to_ego) @ now
        moved = then[scan.column]
        points = np.einsum("nij,nj->ni", moved[:, :3, :3], points) + moved[:, :3, 3]
    ranges: Float64 = np.linalg.norm(points, axis=1)
    elevation = scan.beams.elevations_rad[scan.ring]
    azimuth = scan.beams.azimuths_rad[scan.column]
    level = np.cos(elevation)
    ways = np.stack([level * np.cos(azimuth), level * np.sin(azimuth), np.sin(elevation)], axis=1)
    beside = np.abs(points - ranges[:, None] * ways).max(initial=0.0)
    if beside > 1e-3:
        raise ValueError(f"{scan.lidar}: a point lies {beside:.4f} m beside its beam")
    return ranges


def _laser_calibration(scan: LidarScan) -> LaserCalibration:
    """A list of inclinations for the top LiDAR, the span's edges for the others."""
    beams = scan.beams.elevations_rad
    top = LASERS[scan.lidar] == TOP
    half = (beams[-1] - beams[0]) / max(len(beams) - 1, 1) / 2
    return LaserCalibration(
        name=LASERS[scan.lidar],
        extrinsic=scan.lidar_to_ego,
        inclinations=beams if top else np.zeros(0),
        least=float(beams[0] - half),
        most=float(beams[-1] + half),
    )


def _pixel_pose(scan: LidarScan) -> Float32:
    """Every column's pose, the same for all its rows."""
    angles = pose_angles(scan.beams.ego_to_global).astype(np.float32)
    return np.repeat(angles[None], len(scan.beams.elevations_rad), axis=0)


def _shot(picture: Picture) -> Shot:
    """One image as a JPEG with its calibration."""
    intrinsic = picture.intrinsic
    centre = intrinsic[:2, 2] + PIXEL_CENTRE
    bend = picture.distortion or (0.0, 0.0, 0.0, 0.0, 0.0)
    height, width = picture.pixels.shape[:2]
    calibration = CameraCalibration(
        name=CAMERAS[picture.camera],
        intrinsic=np.array([intrinsic[0, 0], intrinsic[1, 1], *centre, *bend]),
        extrinsic=picture.camera_to_ego @ TO_WAYMO_AXES.T,
        width=width,
        height=height,
    )
    buffer = io.BytesIO()
    Image.fromarray(picture.pixels).save(buffer, "JPEG", quality=JPEG_QUALITY)
    image = EncodedImage(Path(picture.camera), "", partial(bytes, buffer.getvalue()))
    return Shot(calibration, image, picture.ego_to_global, picture.timestamp_us * 1e-6)


def _projections(scan: LidarScan, shots: tuple[Shot, ...]) -> Float64:
    """(N, 6) camera, x, y of the first two images that see each point, in the order of cameras."""
    found = np.zeros((len(scan.points), 6))
    slot = np.zeros(len(scan.points), dtype=np.int64)
    for shot in sorted(shots, key=lambda shot: shot.calibration.name):
        lens = shot.calibration
        to_camera = inverse(shot.pose @ lens.extrinsic @ TO_WAYMO_AXES)
        rays = apply(to_camera @ scan.ego_to_global @ scan.lidar_to_ego, scan.points)
        depth = np.where(rays[:, 2] > 0, rays[:, 2], np.nan)
        k1, k2, p1, p2, k3 = lens.intrinsic[4:].tolist()
        places = distort(rays[:, :2] / depth[:, None], (k1, k2, p1, p2, k3))
        places = np.floor(places * lens.intrinsic[:2] + lens.intrinsic[2:4])
        inside = (places >= 0).all(axis=1) & (places < [lens.width, lens.height]).all(axis=1)
        point = np.flatnonzero(inside & (slot < 2))
        at = 3 * slot[point]
        found[point, at] = lens.name
        found[point, at + 1], found[point, at + 2] = places[point].T
        slot[point] += 1
    return found
