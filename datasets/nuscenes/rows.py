"""The table rows of one recording, in nuScenes' schema.  Recording -> `recording_tables` -> rows.

Offers `RecordingTables`, `recording_tables`, `fixed_tables`, `token` and `file_name`. Pure: what is
written where is decided here, the writing is `lima_bench.datasets.nuscenes.writer`'s. Tokens are
digests of what they name, so the same recording always has the same ones.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import numpy as np

from lima_bench.datasets.card import Card
from lima_bench.datasets.rigid import quaternion
from lima_bench.datasets.sample import Float64
from lima_bench.datasets.world.recording import (
    Annotation,
    LidarScan,
    Moment,
    Picture,
    Recording,
)

LIDAR = "LIDAR_TOP"
ATTRIBUTES = (
    "vehicle.moving",
    "vehicle.stopped",
    "vehicle.parked",
    "cycle.with_rider",
    "cycle.without_rider",
    "pedestrian.sitting_lying_down",
    "pedestrian.standing",
    "pedestrian.moving",
)
VISIBILITIES = {1: "v0-40", 2: "v40-60", 3: "v60-80", 4: "v80-100"}

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class RecordingTables:
    """What one recording adds to the tables; plain data that travels between processes.

    Attributes:
        name: The scene's name.
        split: ``train`` or ``val``.
        rows: New rows by table.
    """

    name: str
    split: str
    rows: dict[str, Rows]


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


def token(*parts: str | int) -> str:
    """32 hex digits that depend on every part and on their order."""
    text = "\x1f".join(str(part) for part in parts)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def file_name(recording: Recording, channel: str, timestamp_us: int, *, is_key: bool) -> str:
    """Where a sensor file lies, relative to the data root."""
    folder, suffix = "samples" if is_key else "sweeps", "pcd.bin" if channel == LIDAR else "jpg"
    return f"{folder}/{channel}/{_log(recording)}__{channel}__{timestamp_us}.{suffix}"


def lidar_token(recording: Recording, timestamp_us: int) -> str:
    """Token of the scan that was taken then; its label file is named by it."""
    return token("sample_data", recording.name, LIDAR, timestamp_us)


def recording_tables(recording: Recording, version: str) -> RecordingTables:
    """Every row that `recording` adds to the tables of `version`."""
    scene, log = token("scene", recording.name), token("log", recording.name)
    samples = [token("sample", recording.name, i) for i in range(len(recording.moments))]
    started = datetime.fromtimestamp(recording.moments[0].scan.timestamp_us * 1e-6, tz=UTC)
    rows: dict[str, Rows] = {
        "log": [
            {
                "token": log,
                "logfile": _log(recording),
                "vehicle": "synth",
                "date_captured": started.date().isoformat(),
                "location": recording.town,
            }
        ],
        "scene": [
            {
                "token": scene,
                "log_token": log,
                "nbr_samples": len(samples),
                "first_sample_token": samples[0],
                "last_sample_token": samples[-1],
                "name": recording.name,
                "description": recording.description,
            }
        ],
        "sample": [
            {
                "token": sample,
                "timestamp": moment.scan.timestamp_us,
                "scene_token": scene,
                **links,
            }
            for sample, moment, links in zip(
                samples, recording.moments, _links(samples), strict=True
            )
        ],
        "lidarseg": [_lidarseg_row(recording, moment, version) for moment in recording.moments],
        **_sensor_rows(recording, samples),
        **_box_rows(recording, samples),
    }
    return RecordingTables(recording.name, recording.split, rows)


def fixed_tables(
    card: Card, channels: list[str], logs: list[str], map_file: str
) -> dict[str, Rows]:
    """The tables that do not grow with recordings: classes, sensors, the map."""
    return {
        "category": [
            {"token": token("category", name), "name": name, "description": "", "index": index}
            for index, name in card.raw_names.items()
        ],
        "attribute": [
            {"token": token("attribute", name), "name": name, "description": ""}
            for name in ATTRIBUTES
        ],
        "visibility": [
            {"token": str(number), "level": level, "description": ""}
            for number, level in VISIBILITIES.items()
        ],
        "sensor": [
            {
                "token": token("sensor", channel),
                "channel": channel,
                "modality": "lidar" if channel == LIDAR else "camera",
            }
            for channel in channels
        ],
        "map": [
            {
                "token": token("map"),
                "log_tokens": logs,
                "category": "semantic_prior",
                "filename": map_file,
            }
        ],
    }


def _log(recording: Recording) -> str:
    """The log's name; two underscores would break the file name's parts."""
    return re.sub(r"[^A-Za-z0-9.+-]+", "-", f"synth-{recording.town}-{recording.name}")


def _links(tokens: list[str]) -> list[dict[str, str]]:
    """The prev and next of each of a chain of tokens; empty at its ends."""
    ends = ["", *tokens, ""]
    return [{"prev": a, "next": b} for a, b in zip(ends[:-2], ends[2:], strict=True)]


def _lidarseg_row(recording: Recording, moment: Moment, version: str) -> dict[str, Any]:
    name = lidar_token(recording, moment.scan.timestamp_us)
    file = f"lidarseg/{version}/{name}_lidarseg.bin"
    return {"token": name, "sample_data_token": name, "filename": file}


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


def _sensor_rows(recording: Recording, samples: list[str]) -> dict[str, Rows]:
    """The rows of sample_data, ego_pose (one for each file) and calibrated_sensor."""
    by_channel: dict[str, list[_File]] = {}
    for file in _files(recording, samples):
        by_channel.setdefault(file.channel, []).append(file)
    data, poses, calibrations = [], [], {}
    for channel, files in by_channel.items():
        files.sort(key=lambda file: file.timestamp_us)
        _refuse_twins(recording, channel, files)
        tokens = [token("sample_data", recording.name, channel, f.timestamp_us) for f in files]
        for name, file, links in zip(tokens, files, _links(tokens), strict=True):
            calibration = _calibration_row(recording, file)
            calibrations[calibration["token"]] = calibration
            data.append({**_data_row(recording, name, file, calibration["token"]), **links})
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


def _box_rows(recording: Recording, samples: list[str]) -> dict[str, Rows]:
    """The rows of sample_annotation and instance."""
    by_instance: dict[int, list[tuple[str, Annotation]]] = {}
    for sample, moment in zip(samples, recording.moments, strict=True):
        for box in moment.annotations:
            by_instance.setdefault(box.instance, []).append((sample, box))
    boxes, instances = [], []
    for number, seen in by_instance.items():
        instance = token("instance", recording.name, number)
        tokens = [token("sample_annotation", instance, sample) for sample, _ in seen]
        instances.append(
            {
                "token": instance,
                "category_token": token("category", seen[0][1].category),
                "nbr_annotations": len(tokens),
                "first_annotation_token": tokens[0],
                "last_annotation_token": tokens[-1],
            }
        )
        for name, (sample, box), links in zip(tokens, seen, _links(tokens), strict=True):
            boxes.append(
                {"token": name, "sample_token": sample, "instance_token": instance}
                | _box_row(box)
                | links
            )
    return {"sample_annotation": boxes, "instance": instances}


def _box_row(box: Annotation) -> dict[str, Any]:
    if box.attribute and box.attribute not in ATTRIBUTES:
        raise ValueError(f"nuScenes has no attribute {box.attribute!r}")
    length, width, height = (float(side) for side in box.size)
    return {
        "visibility_token": str(box.visibility),
        "attribute_tokens": [token("attribute", box.attribute)] if box.attribute else [],
        "translation": [float(part) for part in box.centre],
        "size": [width, length, height],
        "rotation": [float(np.cos(box.yaw / 2)), 0.0, 0.0, float(np.sin(box.yaw / 2))],
        "num_lidar_pts": box.n_lidar_points,
        "num_radar_pts": 0,
    }
