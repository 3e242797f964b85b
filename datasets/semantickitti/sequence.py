"""One SemanticKITTI sequence: its calibration, poses and times, read once.

Offers `Drive`, `open_drive`, `sequences_folder`, `list_scans`, `time_s`, `lidar_pose` and
`pose_row`.

The global frame is the LiDAR frame at the origin of ``poses.txt``. With `Tr` from the LiDAR to
camera 0 and the pose `P` of camera 0, the LiDAR's pose is ``Tr^-1 P Tr``. Camera 2 is camera 0
shifted by what the fourth column of ``P2`` says: ``P2 = K [I | s]``, a point x of camera 0 is
``x + s`` in camera 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from lima_bench.common.errors import UserError
from lima_bench.datasets.kitti_texts import as_transforms, read_matrices, read_numbers, row_of_scan
from lima_bench.datasets.numbered_scans import first_folder, scan_stems
from lima_bench.datasets.rigid import inverse, refuse_jumps, rigid
from lima_bench.datasets.sample import Float64, Frame

SCANS_PER_S = 10.0
"""The LiDAR's rate, which dates the scans of a sequence without ``times.txt``."""

_LAYOUT = (
    "Expected dataset/sequences/00/velodyne/000000.bin, labels/, image_2/, calib.txt and "
    "poses.txt in <data>/semantickitti; say where <data> is with --data DIR or LIMA_BENCH_DATA."
)
_SCANS = "Unpack KITTI odometry's velodyne archive (data_odometry_velodyne.zip) over the data."
_CALIBRATION = (
    "Unpack KITTI odometry's calibration archive (data_odometry_calib.zip) over the data."
)

Stamp = tuple[int, ...]


@dataclass(frozen=True)
class Drive:
    """What a sequence says beside its scans; row i belongs to scan number i.

    Attributes:
        folder: The sequence's folder.
        times_s: (F,) since the start; None without ``times.txt``.
        lidar_to_global: (F, 4, 4); None without ``poses.txt``.
        camera_to_global: (F, 4, 4) of image_2; None without poses or images.
        intrinsic: 3x3 of image_2, zero without images.
        image_size: Width and height in pixels of the first image, or zeros.
        labelled: Whether there are labels (the test sequences have none).
    """

    folder: Path
    times_s: Float64 | None
    lidar_to_global: Float64 | None
    camera_to_global: Float64 | None
    intrinsic: Float64
    image_size: tuple[int, int]
    labelled: bool


def sequences_folder(root: Path) -> Path:
    """The folder of sequences below a data root: ``dataset/sequences`` or ``sequences``.

    Raises:
        UserError: There is neither.
    """
    places = ("dataset/sequences", "sequences")
    return first_folder(root, places, "SemanticKITTI", _LAYOUT)


def stamp(folder: Path) -> Stamp:
    """Change times of what `open_drive` reads: equal stamps, equal drive."""
    parts = ("calib.txt", "poses.txt", "times.txt", "image_2", "labels")
    paths = (folder / part for part in parts)
    return tuple(path.stat().st_mtime_ns if path.exists() else 0 for path in paths)


@lru_cache(maxsize=64)
def open_drive(folder: Path, stamp: Stamp) -> Drive:
    """The calibration, poses and times of the sequence in `folder`, once per process and `stamp`.

    Raises:
        UserError: A text file is broken, calibration is absent though poses or images need it,
            or the poses jump.
    """
    del stamp
    times = read_numbers(folder / "times.txt", 1)
    poses = read_numbers(folder / "poses.txt", 12)
    size = _image_size(folder / "image_2")
    lidar = camera = None
    intrinsic = np.zeros((3, 3))
    if poses is not None or size != (0, 0):
        projection, tr = read_matrices(folder / "calib.txt", ("P2", "Tr"), _CALIBRATION)
        to_camera = as_transforms(tr)[0]
        intrinsic = projection[:, :3]
        if poses is not None:
            camera_0 = inverse(to_camera) @ as_transforms(poses)
            lidar = camera_0 @ to_camera
            shift = np.linalg.solve(intrinsic, projection[:, 3])
            camera = None if size == (0, 0) else camera_0 @ rigid(np.eye(3), -shift)
            _check(folder, lidar, times)
    return Drive(
        folder=folder,
        times_s=None if times is None else times[:, 0],
        lidar_to_global=lidar,
        camera_to_global=camera,
        intrinsic=intrinsic,
        image_size=size,
        labelled=(folder / "labels").is_dir(),
    )


def list_scans(folder: Path) -> list[Frame]:
    """The scans of the sequence in `folder`, by number; `Frame.handle` says where each lies.

    Raises:
        UserError: There are no scans, or the sequence's text files are broken.
    """
    stems = scan_stems(folder / "velodyne", _SCANS)
    key = stamp(folder)
    drive = open_drive(folder, key)
    return [
        Frame(
            id=f"{folder.name}/{stem}",
            sequence=folder.name,
            index=position,
            timestamp_s=time_s(drive, stem),
            handle={"folder": folder, "stamp": key, "stem": stem},
        )
        for position, stem in enumerate(stems)
    ]


def time_s(drive: Drive, stem: str) -> float:
    """When the scan was taken, from ``times.txt`` or from the LiDAR's rate."""
    if drive.times_s is None:
        return int(stem) / SCANS_PER_S
    return float(row_of_scan(drive.folder / "times.txt", drive.times_s, stem))


def lidar_pose(drive: Drive, stem: str) -> Float64 | None:
    """LiDAR to global (4, 4) of a scan; None in a sequence without poses.

    Raises:
        UserError: ``poses.txt`` ends before the scan's row.
    """
    return pose_row(drive, drive.lidar_to_global, stem)


def pose_row(drive: Drive, poses: Float64 | None, stem: str) -> Float64 | None:
    """The scan's row of `poses`, which were read from ``poses.txt``; None without poses."""
    if poses is None:
        return None
    pose: Float64 = row_of_scan(drive.folder / "poses.txt", poses, stem)
    return pose


def _check(folder: Path, poses: Float64, times: Float64 | None) -> None:
    """Refuse poses that jump, and times of another number than poses."""
    if times is not None and len(times) != len(poses):
        raise UserError(
            folder,
            f"times.txt has {len(times)} rows, poses.txt {len(poses)}.",
            "Both have one row a scan; get them again.",
        )
    seconds = np.arange(len(poses)) / SCANS_PER_S if times is None else times[:, 0]
    names = [f"scan {i:06}" for i in range(len(poses))]
    refuse_jumps(folder / "poses.txt", poses, seconds, names)


def _image_size(folder: Path) -> tuple[int, int]:
    """Width and height of the sequence's first image; zeros without images."""
    first = min(folder.glob("*.png"), default=None) if folder.is_dir() else None
    if first is None:
        return (0, 0)
    try:
        with Image.open(first) as image:
            return image.size
    except OSError as error:
        raise UserError(
            first, f"This image cannot be read: {error}.", "Get the file again."
        ) from error
