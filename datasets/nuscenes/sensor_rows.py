"""A recording's sensor files as rows of nuScenes tables.

Offers `sensor_rows`. Every file has an ego pose of its own; equal places on the car share one
calibration row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from lima_bench.datasets.nuscenes.names import file_name, links, token
from lima_bench.datasets.nuscenes.tables import LIDAR, Rows
from lima_bench.datasets.rigid import quaternion
from lima_bench.datasets.sample import Float64
from lima_bench.datasets.world.recording import LidarScan, Picture, Recording


@dataclass(frozen=True)
class _File:
    """One sensor file on its way into sample_data."""

    channel: str
    timestamp_us: int
    sample: str
    is_key: bool
    suffix: str
    height: int
    width: int
    sensor_to_ego: Float64
    ego_to_global: Float64
    intrinsic: list[list[float]]


def _files(recording: Recording, samples: list[str]) -> Iterator[_File]:
    """Every sensor file; a sweep belongs to the keyframe that follows it."""
    for sample, moment in zip(samples, recording.moments, strict=True):
        for scan in (*moment.sweeps, moment.scan):
            yield _scan_file(scan, sample, is_key=scan is moment.scan)
        for picture in moment.pictures:
            yield _picture_file(picture, sample)


def _scan_file(scan: LidarScan, sample: str, *, is_key: bool) -> _File:
    return _File(
        LIDAR, scan.timestamp_us, sample, is_key, "pcd", 0, 0,
        scan.lidar_to_ego, scan.ego_to_global, [],
    )  # fmt: skip


def _picture_file(picture: Picture, sample: str) -> _File:
    height, width = picture.pixels.shape[:2]
    return _File(
        picture.camera, picture.timestamp_us, sample, True, "jpg", height, width,
        picture.camera_to_ego, picture.ego_to_global, picture.intrinsic.tolist(),
    )  # fmt: skip


def sensor_rows(recording: Recording, samples: list[str]) -> dict[str, Rows]:
    """The rows of sample_data, ego_pose (one for each file) and calibrated_sensor."""
    by_channel: dict[str, list[_File]] = {}
    for file in _files(recording, samples):
        by_channel.setdefault(file.channel, []).append(file)
    data, poses, calibrations = [], [], {}
    for channel, files in by_channel.items():
        files.sort(key=lambda file: file.timestamp_us)
        _refuse_twins(recording, channel, files)
        tokens = [token("sample_data", recording.name, channel, f.timestamp_us) for f in files]
        for name, file, chain in zip(tokens, files, links(tokens), strict=True):
            calibration = _calibration_row(recording, file)
            calibrations[calibration["token"]] = calibration
            data.append({**_data_row(recording, name, file, calibration["token"]), **chain})
            poses.append(
                {"token": name, "timestamp": file.timestamp_us, **_pose(file.ego_to_global)}
            )
    return {
        "sample_data": data,
        "ego_pose": poses,
        "calibrated_sensor": list(calibrations.values()),
    }


def _refuse_twins(recording: Recording, channel: str, files: list[_File]) -> None:
    """Two files of one sensor at one time would have one name."""
    for first, second in pairwise(files):
        if first.timestamp_us == second.timestamp_us:
            raise ValueError(f"{recording.name}: {channel} twice at {first.timestamp_us} us")


def _data_row(recording: Recording, name: str, file: _File, calibration: str) -> dict[str, Any]:
    return {
        "token": name,
        "sample_token": file.sample,
        "ego_pose_token": name,
        "calibrated_sensor_token": calibration,
        "timestamp": file.timestamp_us,
        "fileformat": file.suffix,
        "is_key_frame": file.is_key,
        "height": file.height,
        "width": file.width,
        "filename": file_name(recording, file.channel, file.timestamp_us, is_key=file.is_key),
    }


def _calibration_row(recording: Recording, file: _File) -> dict[str, Any]:
    """A sensor's place on the car; equal places share one row."""
    place = {**_pose(file.sensor_to_ego), "camera_intrinsic": file.intrinsic}
    return {
        "token": token("calibrated_sensor", recording.name, file.channel, repr(place)),
        "sensor_token": token("sensor", file.channel),
        **place,
    }


def _pose(transform: Float64) -> dict[str, list[float]]:
    return {
        "rotation": list(quaternion(transform[:3, :3])),
        "translation": transform[:3, 3].tolist(),
    }
