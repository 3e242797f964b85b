"""RELLIS-3D, read from disk: the real one or the built-in world's.

Offers `Rellis3d`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from lima_bench.common.errors import UserError
from lima_bench.datasets.card import Card
from lima_bench.datasets.manifest import manifest_digest
from lima_bench.datasets.rellis3d.lists import Entry, read_list
from lima_bench.datasets.rellis3d.sequence import (
    EXTRINSIC,
    IMAGES,
    INTRINSIC,
    LABELS,
    PIXEL_LABELS,
    POSES,
    SCANS,
    Drive,
    open_drive,
    stamp,
)
from lima_bench.datasets.rigid import refuse_jumps
from lima_bench.datasets.sample import Camera, Float64, Frame, Int64, Sample
from lima_bench.datasets.scans import read_labels, read_scan

SCANS_PER_S = 10.0
"""The Ouster's rate: scans have no time stamps of their own in this format."""


class Rellis3d:
    """Reads RELLIS-3D: Ouster scans, labels, poses, the colour camera and its pixels' labels."""

    card = Card.beside(__file__)
    version = 1

    def frames(self, root: Path, split: str) -> Sequence[Frame]:
        """Frames that the split's list names, by sequence and number.

        Split ``pretrain`` is those of ``train`` that have an image and a pose.

        Raises:
            UserError: A list, a sequence or the split is missing, or poses or calibration are
                broken.
        """
        learnt = split == "pretrain"
        entries = read_list(self.card, root, "train" if learnt else split)
        frames = [
            frame
            for name, group in groupby(entries, key=lambda entry: entry.sequence)
            for frame in _frames(root, root / name, list(group), seen=learnt)
        ]
        if not frames:
            raise UserError(
                root,
                "No train frame has an image and a pose, so none can be pretrained on.",
                f"Unpack the release's images ({IMAGES}) and poses ({POSES}) over its scans.",
            )
        return frames

    def load(self, frame: Frame) -> Sample:
        """The scan of `frame` with labels, pose and image; beams without an echo are left out.

        The pose needs ``poses.txt``, the image the pose.

        Raises:
            UserError: A file is missing, truncated or of another length than its companion.
        """
        drive = _drive(frame)
        root: Path = frame.handle["root"]
        rows = read_scan(root / frame.handle["scan"], columns=4)
        raw = read_labels(root / frame.handle["labels"], "<u4", len(rows)) & 0xFFFF
        # Such a row has zero coordinates; its intensity is what the sensor measured of the sky.
        echo = rows[:, :3].any(axis=1)
        if not echo.any():
            raise UserError(
                root / frame.handle["scan"],
                "This scan is empty: no beam has an echo.",
                "Get this file again from where the data set came from.",
            )
        pose = _pose(drive, frame)
        return Sample(
            frame=frame,
            points=np.ascontiguousarray(rows[echo, :3]),
            intensity=np.ascontiguousarray(rows[echo, 3]),
            labels=self.card.remap(raw[echo]),
            unknown_labels=self.card.unknown(raw[echo]),
            n_dropped=int((~echo).sum()),
            lidar_to_global=pose,
            cameras=_cameras(drive, frame, pose),
        )

    def pixel_labels(self, frame: Frame) -> Int64 | None:
        """The raw ids (H, W) of the image of `frame`; None where it was not annotated.

        Raises:
            UserError: The file cannot be read.
        """
        drive = _drive(frame)
        name = drive.pixel_labels.get(frame.handle["number"])
        return None if name is None else _read_ids(drive.folder / PIXEL_LABELS / name)

    def pixel_classes(self, raw: npt.NDArray[np.integer[Any]]) -> Int64:
        """Raw ids of pixels to train ids; images know three kinds more than scans do."""
        merges: dict[int, int] = self.card.options["image_merges"]
        merged = np.array(raw, dtype=np.int64)
        for kind, same in merges.items():
            merged[raw == kind] = same
        return self.card.remap(merged)

    def manifest(self, root: Path) -> str:
        """Digest of lists, calibrations and poses, and of all other files' names and sizes."""
        folders = sorted(path for path in root.glob("*") if (path / SCANS).is_dir())
        lists = ("pt_train.lst", "pt_val.lst", "pt_test.lst")
        texts = (POSES, INTRINSIC, EXTRINSIC)
        parts = (SCANS, LABELS, IMAGES, PIXEL_LABELS)
        return manifest_digest(
            root,
            contents=[*(root / name for name in lists), *(f / t for f in folders for t in texts)],
            sizes=[folder / part for folder in folders for part in parts],
        )


def _frames(root: Path, folder: Path, entries: list[Entry], *, seen: bool) -> list[Frame]:
    """Frames of one sequence; with `seen`, those with image and pose only."""
    key = stamp(folder)
    drive = open_drive(folder, key)
    if seen:
        known = drive.images if drive.lidar_to_global is not None else {}
        entries = [entry for entry in entries if int(entry.stem) in known]
    frames = [
        Frame(
            id=f"{entry.sequence}/{entry.stem}",
            sequence=entry.sequence,
            index=position,
            timestamp_s=int(entry.stem) / SCANS_PER_S,
            handle={
                "root": root,
                "folder": folder,
                "stamp": key,
                "number": int(entry.stem),
                "scan": entry.scan,
                "labels": entry.labels,
            },
        )
        for position, entry in enumerate(entries)
    ]
    _check_poses(drive, frames)
    return frames


def _check_poses(drive: Drive, frames: list[Frame]) -> None:
    """Refuse poses that no vehicle can have between the frames of this list."""
    poses = [pose for frame in frames if (pose := _pose(drive, frame)) is not None]
    if poses:
        names = [f"scan {frame.handle['number']:06}" for frame in frames]
        times = np.array([frame.timestamp_s for frame in frames])
        refuse_jumps(drive.folder / POSES, np.stack(poses), times, names)


def _drive(frame: Frame) -> Drive:
    return open_drive(frame.handle["folder"], frame.handle["stamp"])


def _pose(drive: Drive, frame: Frame) -> Float64 | None:
    """The pose of the Ouster; None where the sequence has no poses.

    Raises:
        UserError: ``poses.txt`` ends before this scan.
    """
    if drive.lidar_to_global is None:
        return None
    number: int = frame.handle["number"]
    if number >= len(drive.lidar_to_global):
        raise UserError(
            drive.folder / POSES,
            f"This file has {len(drive.lidar_to_global)} rows, none for scan {number:06}.",
            "It has one row a scan; get it again.",
        )
    pose: Float64 = drive.lidar_to_global[number]
    return pose


def _cameras(drive: Drive, frame: Frame, pose: Float64 | None) -> tuple[Camera, ...]:
    """The image with the scan's number, where it and poses exist."""
    name = drive.images.get(frame.handle["number"])
    if name is None or pose is None or drive.camera_to_lidar is None:
        return ()
    width, height = drive.image_size
    return (
        Camera(
            name=IMAGES,
            id=f"{frame.id}/{IMAGES}",
            image=drive.folder / IMAGES / name,
            intrinsic=drive.intrinsic,
            camera_to_global=pose @ drive.camera_to_lidar,
            width=width,
            height=height,
        ),
    )


def _read_ids(path: Path) -> Int64:
    """An image of ids (H, W)."""
    try:
        with Image.open(path) as image:
            ids = np.array(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(
            path, f"This image cannot be read: {error}.", "Get the file again."
        ) from error
    if ids.ndim != 2:
        raise UserError(
            path,
            "This image has colours, not ids.",
            f"Take it from {PIXEL_LABELS} of the release, the annotations in ID format.",
        )
    return ids.astype(np.int64)
