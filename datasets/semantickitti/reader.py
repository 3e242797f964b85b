"""SemanticKITTI, read from disk: the real one or the built-in world's.

Offers `SemanticKitti`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lima_bench.datasets.card import Card
from lima_bench.datasets.manifest import manifest_digest
from lima_bench.datasets.numbered_scans import class_ids
from lima_bench.datasets.sample import Camera, Frame, Int64, Sample, Sweep
from lima_bench.datasets.scans import read_scan
from lima_bench.datasets.semantickitti.sequence import (
    Drive,
    lidar_pose,
    list_scans,
    open_drive,
    pose_row,
    sequences_folder,
)
from lima_bench.datasets.semantickitti.sweeps import scans_before
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
            for frame in list_scans(base / name)
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
            lidar_to_global=lidar_pose(drive, stem),
            cameras=_cameras(drive, frame.id, stem),
        )

    def sweeps(self, frame: Frame, n: int) -> tuple[Sweep, ...]:
        """The `n` latest scans of the sequence before `frame`, the latest first.

        Raises:
            UserError: A scan is missing or broken, or the sequence has no poses.
        """
        return scans_before(frame, n)

    def files(self, frame: Frame) -> list[Path]:
        """Scan, label file and image of `frame`, whether or not they exist."""
        drive = open_drive(frame.handle["folder"], frame.handle["stamp"])
        stem: str = frame.handle["stem"]
        scan = drive.folder / "velodyne" / f"{stem}.bin"
        labels = [drive.folder / "labels" / f"{stem}.label"] if drive.labelled else []
        return [scan, *labels, *(camera.file for camera in _cameras(drive, frame.id, stem))]

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


def _cameras(drive: Drive, frame_id: str, stem: str) -> tuple[Camera, ...]:
    """The left colour image, where images and poses exist."""
    pose = pose_row(drive, drive.camera_to_global, stem)
    if pose is None:
        return ()
    width, height = drive.image_size
    image = drive.folder / "image_2" / f"{stem}.png"
    return (Camera("image_2", f"{frame_id}/image_2", image, drive.intrinsic, pose, width, height),)


def _raw_labels(drive: Drive, stem: str, n_points: int) -> Int64 | None:
    """The class ids (N,) without the instance in the high half; None in a test sequence."""
    if not drive.labelled:
        return None
    return class_ids(drive.folder / "labels" / f"{stem}.label", n_points)
