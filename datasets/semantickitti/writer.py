"""Recordings of the built-in world as SemanticKITTI on disk.

Offers `write_recording` (one sequence; run many at once) and `write_tables` (``splits.json``,
once), and what other formats of the family write likewise: `write_points`, `packed_labels`,
`write_trajectory`, `refuse_what_cannot_be_said`. The format has one pose a scan and one
calibration a sequence, so recordings must be taken with the image at the scan's time and with
fixed sensors; others are refused.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from lima_bench.datasets.rigid import inverse, rigid
from lima_bench.datasets.sample import Float64, Int64
from lima_bench.datasets.splits import write_splits
from lima_bench.datasets.world.labels import KITTI_MOVING_RAW, KITTI_RAW
from lima_bench.datasets.world.recording import LidarScan, Moment, Recording

CAMERA_2_SHIFT_M = 0.06
BASELINE_M = 0.54
"""KITTI's rig: the left colour camera is 6 cm left of the left grey one, each pair 54 cm wide."""

# x ahead, y left, z up to x right, y down, z ahead: for sequences without images.
_AXES = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])


@dataclass(frozen=True)
class RecordingTables:
    """What one recording adds to the lists; plain data that travels between processes."""

    name: str
    split: str


def write_recording(recording: Recording, root: Path) -> RecordingTables:
    """Write one sequence: velodyne, labels, image_2, calib.txt, poses.txt, times.txt.

    Intensity 0..1 becomes remission 0..0.99 in steps of 0.01. Sweeps are not written.

    Raises:
        ValueError: The recording does what the format cannot say.
    """
    refuse_what_cannot_be_said(recording)
    folder = root / "dataset" / "sequences" / recording.name
    for part in ("velodyne", "labels"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for number, moment in enumerate(recording.moments):
        write_points(moment.scan, folder / "velodyne" / f"{number:06}.bin")
        values = packed_labels(moment.scan, KITTI_RAW, KITTI_MOVING_RAW)
        (folder / "labels" / f"{number:06}.label").write_bytes(values.tobytes())
        if moment.pictures:
            (folder / "image_2").mkdir(exist_ok=True)
            image = Image.fromarray(moment.pictures[0].pixels)
            image.save(folder / "image_2" / f"{number:06}.png", compress_level=1)
    write_trajectory(recording, folder)
    return RecordingTables(recording.name, recording.split)


def write_tables(
    tables: Iterable[RecordingTables], root: Path, *, pretrain: Collection[str]
) -> None:
    """Write ``splits.json``.

    Args:
        tables: What `write_recording` returned, in the order of sequences.
        root: The data root.
        pretrain: Names of the train sequences on which students are pretrained.
    """
    write_splits(root, [(part.name, part.split) for part in tables], pretrain)


def write_points(scan: LidarScan, path: Path) -> None:
    """x, y, z and remission 0..0.99 in steps of 0.01; float32."""
    remission = np.clip(np.rint(scan.intensity * 100), 0, 99) / 100
    path.write_bytes(np.column_stack([scan.points, remission]).astype("<f4").tobytes())


def packed_labels(scan: LidarScan, still: Int64, moving: Int64) -> npt.NDArray[np.uint32]:
    """Labels (N,): the class in the low half, the object's number in the high half.

    Args:
        scan: The scan.
        still: Raw ids by world class id, for what stands still.
        moving: Likewise for what moves.
    """
    raw = np.where(scan.moving, moving[scan.label], still[scan.label])
    values: npt.NDArray[np.uint32] = (scan.instance << 16 | raw).astype("<u4")
    return values


def write_trajectory(recording: Recording, folder: Path) -> None:
    """calib.txt, poses.txt (camera 0, one row a scan, relative to the first) and times.txt."""
    first = recording.moments[0]
    to_camera_0 = _lidar_to_camera_0(first)
    start = inverse(_lidar_to_global(first.scan))
    poses = [
        to_camera_0 @ start @ _lidar_to_global(moment.scan) @ inverse(to_camera_0)
        for moment in recording.moments
    ]
    times_us = [moment.scan.timestamp_us - first.scan.timestamp_us for moment in recording.moments]
    (folder / "calib.txt").write_text(
        "".join(f"{name}: {_line(matrix)}\n" for name, matrix in _calibration(first, to_camera_0))
    )
    (folder / "poses.txt").write_text("".join(f"{_line(pose)}\n" for pose in poses))
    (folder / "times.txt").write_text("".join(f"{time * 1e-6:.9e}\n" for time in times_us))


def _calibration(moment: Moment, to_camera_0: Float64) -> Iterable[tuple[str, Float64]]:
    """P0..P3 and Tr; cameras 0 and 2 are left, 1 and 3 right, 2 and 3 in colour."""
    intrinsic = moment.pictures[0].intrinsic if moment.pictures else np.eye(3)
    shifts = (0.0, -BASELINE_M, CAMERA_2_SHIFT_M, CAMERA_2_SHIFT_M - BASELINE_M)
    for number, shift in enumerate(shifts):
        yield f"P{number}", intrinsic @ np.column_stack([np.eye(3), [shift, 0, 0]])
    yield "Tr", to_camera_0


def _lidar_to_camera_0(moment: Moment) -> Float64:
    """From the picture's own place, which is camera 2's."""
    if not moment.pictures:
        return _AXES
    to_camera_2 = inverse(moment.pictures[0].camera_to_ego) @ moment.scan.lidar_to_ego
    return rigid(np.eye(3), [-CAMERA_2_SHIFT_M, 0, 0]) @ to_camera_2


def _lidar_to_global(scan: LidarScan) -> Float64:
    return scan.ego_to_global @ scan.lidar_to_ego


def _line(matrix: Float64) -> str:
    """The upper three rows as twelve numbers."""
    return " ".join(f"{value:.12e}" for value in matrix[:3].ravel())


def refuse_what_cannot_be_said(recording: Recording) -> None:
    """Refuse cameras that come and go or look at another time, moving sensors, huge instances."""
    first = recording.moments[0]
    for moment in recording.moments:
        if bool(moment.pictures) != bool(first.pictures):
            raise ValueError(f"{recording.name}: image_2 exists for all scans or for none")
        if moment.pictures and not np.allclose(
            moment.pictures[0].ego_to_global, moment.scan.ego_to_global, atol=1e-9
        ):
            raise ValueError(f"{recording.name}: one pose a scan, so take the image at its time")
        if not np.allclose(_lidar_to_camera_0(moment), _lidar_to_camera_0(first), atol=1e-9):
            raise ValueError(f"{recording.name}: one calibration a sequence, so fix the sensors")
        if moment.scan.instance.max(initial=0) >= 1 << 16:
            raise ValueError(f"{recording.name}: an instance number has 16 bits")
