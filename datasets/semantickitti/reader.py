"""SemanticKITTI, read from disk: the real one or the built-in world's.

Offers `SemanticKitti`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lima_bench.common.errors import UserError
from lima_bench.datasets.card import Card
from lima_bench.datasets.manifest import manifest_digest
from lima_bench.datasets.sample import Camera, Float64, Frame, Sample
from lima_bench.datasets.scans import read_labels, read_scan
from lima_bench.datasets.semantickitti.sequence import (
    SCANS_PER_S,
    Drive,
    open_drive,
    sequences_folder,
    stamp,
)
from lima_bench.datasets.splits import FILE, sequences_of


class SemanticKitti:
    """Reads SemanticKITTI: scans, labels with moving classes, poses, the left colour camera."""

    card = Card.beside(__file__)
    version = 1

    def frames(self, root: Path, split: str) -> Sequence[Frame]:
        """Scans of `split`: sequences in the split's order, scans by number.

        Raises:
            UserError: The root, a sequence or the split is missing, or a sequence's calibration,
                poses or times are broken.
        """
        base = sequences_folder(root)
        present = sorted(folder.name for folder in base.iterdir() if folder.is_dir())
        return [
            frame
            for name in sequences_of(self.card, root, split, present)
            for frame in _frames(base / name)
        ]

    def load(self, frame: Frame) -> Sample:
        """The scan of `frame` with labels, pose and image.

        Labels and `moving` are None where the sequence has no labels; pose and cameras need
        ``poses.txt``.

        Raises:
            UserError: A file is missing, truncated or of another length than its companion.
        """
        drive = open_drive(frame.handle["folder"], frame.handle["stamp"])
        stem: str = frame.handle["stem"]
        rows = read_scan(drive.folder / "velodyne" / f"{stem}.bin", columns=4)
        raw = _raw_labels(drive, stem, len(rows))
        return Sample(
            frame=frame,
            points=np.ascontiguousarray(rows[:, :3]),
            intensity=np.ascontiguousarray(rows[:, 3]),
            labels=None if raw is None else self.card.remap(raw),
            unknown_labels={} if raw is None else self.card.unknown(raw),
            moving=None if raw is None else np.isin(raw, self.card.moving_raw),
            lidar_to_global=_pose(drive, drive.lidar_to_global, stem),
            cameras=_cameras(drive, frame.id, stem),
        )

    def files(self, frame: Frame) -> list[Path]:
        """Scan, label file and image of `frame`, whether or not they exist."""
        drive = open_drive(frame.handle["folder"], frame.handle["stamp"])
        stem: str = frame.handle["stem"]
        scan = drive.folder / "velodyne" / f"{stem}.bin"
        labels = [drive.folder / "labels" / f"{stem}.label"] if drive.labelled else []
        return [scan, *labels, *(camera.image for camera in _cameras(drive, frame.id, stem))]

    def manifest(self, root: Path) -> str:
        """Digest of calibrations, poses, times and splits, and of all files' names and sizes."""
        base = sequences_folder(root)
        texts = ("calib.txt", "poses.txt", "times.txt")
        folders = sorted(base.iterdir())
        parts = ("velodyne", "labels", "image_2")
        return manifest_digest(
            root,
            contents=[*(f / text for f in folders for text in texts), root / FILE],
            sizes=[f / part for f in folders for part in parts],
        )


def _frames(folder: Path) -> list[Frame]:
    """The scans of one sequence, by number."""
    stems = sorted(path.stem for path in (folder / "velodyne").glob("*.bin"))
    if not stems:
        raise UserError(
            folder / "velodyne",
            "There are no scans here.",
            "Unpack KITTI odometry's velodyne archive (data_odometry_velodyne.zip) over the data.",
        )
    wrong = next((stem for stem in stems if not stem.isdecimal()), None)
    if wrong is not None:
        raise UserError(
            folder / "velodyne" / f"{wrong}.bin",
            "A scan is named by its number, as 000000.bin.",
            "Rename or remove this file.",
        )
    key = stamp(folder)
    drive = open_drive(folder, key)
    return [
        Frame(
            id=f"{folder.name}/{stem}",
            sequence=folder.name,
            index=position,
            timestamp_s=_time_s(drive, stem),
            handle={"folder": folder, "stamp": key, "stem": stem},
        )
        for position, stem in enumerate(stems)
    ]


def _time_s(drive: Drive, stem: str) -> float:
    """When the scan was taken, from ``times.txt`` or from the LiDAR's rate."""
    if drive.times_s is None:
        return int(stem) / SCANS_PER_S
    return float(_row(drive, drive.times_s, stem, "times.txt"))


def _pose(drive: Drive, poses: Float64 | None, stem: str) -> Float64 | None:
    """The scan's row of `poses`, where the sequence has poses."""
    if poses is None:
        return None
    pose: Float64 = _row(drive, poses, stem, "poses.txt")
    return pose


def _row(drive: Drive, rows: Float64, stem: str, name: str) -> Any:
    """The row of a text file that belongs to the scan.

    Raises:
        UserError: The file ends before that row.
    """
    number = int(stem)
    if number >= len(rows):
        raise UserError(
            drive.folder / name,
            f"This file has {len(rows)} rows, none for scan {stem}.",
            "It has one row a scan; get it again.",
        )
    return rows[number]


def _cameras(drive: Drive, frame_id: str, stem: str) -> tuple[Camera, ...]:
    """The left colour image, where images and poses exist."""
    pose = _pose(drive, drive.camera_to_global, stem)
    if pose is None:
        return ()
    width, height = drive.image_size
    image = drive.folder / "image_2" / f"{stem}.png"
    return (Camera("image_2", f"{frame_id}/image_2", image, drive.intrinsic, pose, width, height),)


def _raw_labels(drive: Drive, stem: str, n_points: int) -> npt.NDArray[np.int64] | None:
    """The class ids (N,) without the instance in the high half; None in a test sequence."""
    if not drive.labelled:
        return None
    values = read_labels(drive.folder / "labels" / f"{stem}.label", "<u4", n_points)
    return (values & 0xFFFF).astype(np.int64)
