"""The sensor files that a nuScenes index knows: keyframes of every channel, and every LiDAR scan.

Offers `Files` and `read_files`. The join follows the schema: a file's channel comes from
``calibrated_sensor -> sensor``, and each file has an ego pose of its own time.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lima_bench.common.errors import UserError
from lima_bench.datasets.nuscenes.json_rows import REMEDY, Row
from lima_bench.datasets.nuscenes.strings import StringList, Strings
from lima_bench.datasets.nuscenes.tables import read_table, scan_table
from lima_bench.datasets.rigid import rigid, rotation
from lima_bench.datasets.sample import Float64, Int64

BLOCK = 1 << 15
"""Poses that are computed at a time."""


@dataclass(frozen=True)
class Files:
    """The files of one version, one row each.

    Attributes:
        token: Of the sample_data row.
        filename: Relative to the data root.
        timestamp_us: (K,).
        size: (K, 2) width and height in pixels, 0 for LiDAR.
        calibration: (K,) row in `intrinsic`.
        intrinsic: (calibrations, 3, 3), zero for LiDAR.
        sensor_to_global: (K, 4, 4) at the file's own time.
    """

    token: Strings
    filename: Strings
    timestamp_us: Int64
    size: Int64
    calibration: Int64
    intrinsic: Float64
    sensor_to_global: Float64


@dataclass(frozen=True)
class Placed:
    """Files and what they belong to.

    Attributes:
        files: The files.
        keyframe: (F, channels) row of each frame's keyframe file, -1 where it lacks one.
        scans: Rows of all files of the first channel, keyframes and sweeps.
        frame_of_scan: For each of `scans`, the frame that its row names.
    """

    files: Files
    keyframe: Int64
    scans: Int64
    frame_of_scan: Int64


@dataclass(frozen=True)
class _Calibrations:
    """Places of the wanted sensors on the car, one row each."""

    row: Mapping[str, int]
    channel: Sequence[int]
    intrinsic: Float64
    sensor_to_ego: Float64


@dataclass
class _Collected:
    """Columns that grow with every row of sample_data that is kept."""

    token: StringList = field(default_factory=StringList)
    filename: StringList = field(default_factory=StringList)
    timestamp_us: array[int] = field(default_factory=lambda: array("q"))
    size: array[int] = field(default_factory=lambda: array("q"))
    calibration: array[int] = field(default_factory=lambda: array("q"))
    frame: array[int] = field(default_factory=lambda: array("q"))
    is_key: array[int] = field(default_factory=lambda: array("b"))
    pose: array[int] = field(default_factory=lambda: array("q"))
    pose_rows: dict[str, int] = field(default_factory=dict)

    def add(self, row: Row, calibration: int, frame: int) -> None:
        """Keep one row."""
        self.token.append(row["token"])
        self.filename.append(row["filename"])
        self.timestamp_us.append(row["timestamp"])
        self.size.extend((row["width"] or 0, row["height"] or 0))
        self.calibration.append(calibration)
        self.frame.append(frame)
        self.is_key.append(bool(row["is_key_frame"]))
        self.pose.append(self.pose_rows.setdefault(row["ego_pose_token"], len(self.pose_rows)))


def read_files(folder: Path, channels: Sequence[str], frames: Mapping[str, int]) -> Placed:
    """The keyframe files of `channels`, and all files of the first of them.

    Args:
        folder: Of the tables.
        channels: The LiDAR, then the cameras.
        frames: Frame number of each sample token.

    Raises:
        UserError: A table is missing or broken, or a file has no ego pose.
    """
    places = _calibrations(folder, channels)
    kept = _Collected()

    def visit(row: Row) -> None:
        calibration = places.row.get(row["calibrated_sensor_token"])
        frame, is_key = frames.get(row["sample_token"]), row["is_key_frame"]
        if calibration is None or frame is None:
            return
        if is_key or places.channel[calibration] == 0:
            kept.add(row, calibration, frame)

    scan_table(folder, "sample_data", visit)
    frame, calibration = _column(kept.frame), _column(kept.calibration)
    channel = np.array(places.channel, dtype=np.int64)[calibration]
    is_key = np.frombuffer(kept.is_key, dtype=np.int8).astype(bool)
    keyframe = np.full((len(frames), len(channels)), -1, dtype=np.int64)
    keyframe[frame[is_key], channel[is_key]] = np.flatnonzero(is_key)
    scans = np.flatnonzero(channel == 0)
    poses = _ego_poses(folder, kept.pose_rows)
    kept.pose_rows.clear()  # of all that is held, the largest
    files = Files(
        token=kept.token.done(),
        filename=kept.filename.done(),
        timestamp_us=_column(kept.timestamp_us),
        size=_column(kept.size).reshape(-1, 2),
        calibration=calibration,
        intrinsic=places.intrinsic,
        sensor_to_global=_to_global(poses, _column(kept.pose), places.sensor_to_ego, calibration),
    )
    return Placed(files, keyframe, scans, frame[scans])


def _column(values: array[int]) -> Int64:
    return np.frombuffer(values, dtype=np.int64)


def _calibrations(folder: Path, channels: Sequence[str]) -> _Calibrations:
    names = dict(read_table(folder, "sensor", lambda r: (r["token"], r["channel"])))
    number = {name: i for i, name in enumerate(channels)}
    rows = read_table(
        folder,
        "calibrated_sensor",
        lambda r: (
            (
                r["token"],
                number[names[r["sensor_token"]]],
                np.array(r["camera_intrinsic"] or np.zeros((3, 3)), dtype=np.float64).reshape(3, 3),
                rigid(rotation(r["rotation"]), r["translation"]),
            )
            if names[r["sensor_token"]] in number
            else None
        ),
    )
    return _Calibrations(
        row={token: i for i, (token, _, _, _) in enumerate(rows)},
        channel=[channel for _, channel, _, _ in rows],
        intrinsic=np.array([intrinsic for _, _, intrinsic, _ in rows]).reshape(-1, 3, 3),
        sensor_to_ego=np.array([place for _, _, _, place in rows]).reshape(-1, 4, 4),
    )


def _ego_poses(folder: Path, wanted: Mapping[str, int]) -> Float64:
    """Rotation and translation (P, 7) of the poses in `wanted`, each in its row.

    Raises:
        UserError: One of them is not in the table.
    """
    values = np.zeros((len(wanted), 7))
    found = np.zeros(len(wanted), dtype=bool)

    def visit(row: Row) -> None:
        place = wanted.get(row["token"])
        if place is not None:
            values[place] = (*row["rotation"], *row["translation"])
            found[place] = True

    scan_table(folder, "ego_pose", visit)
    lost = [token for token, place in wanted.items() if not found[place]]
    if lost:
        raise UserError(
            folder / "ego_pose.json",
            f"{len(lost)} sensor files have no ego pose, {min(lost)} first.",
            REMEDY,
        )
    return values


def _to_global(poses: Float64, pose: Int64, mounts: Float64, mount: Int64) -> Float64:
    """Sensor to global (K, 4, 4) of files by their rows in `poses` (P, 7) and `mounts`."""
    found = np.empty((len(pose), 4, 4))
    for start in range(0, len(pose), BLOCK):
        rows = slice(start, start + BLOCK)
        values = poses[pose[rows]]
        found[rows] = rigid(rotation(values[:, :4]), values[:, 4:]) @ mounts[mount[rows]]
    return found
