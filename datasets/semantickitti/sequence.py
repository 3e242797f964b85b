"""One SemanticKITTI sequence: its calibration, poses and times, read once.

Offers `Drive`, `open_drive` and `sequences_folder`.

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
from lima_bench.datasets.rigid import inverse, refuse_jumps, rigid
from lima_bench.datasets.sample import Float64

SCANS_PER_S = 10.0
"""The LiDAR's rate, which dates the scans of a sequence without ``times.txt``."""

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
    for folder in (root / "dataset" / "sequences", root / "sequences"):
        if folder.is_dir():
            return folder
    raise UserError(
        root,
        "There is no SemanticKITTI here." if root.is_dir() else "This folder does not exist.",
        "Expected dataset/sequences/00/velodyne/000000.bin, labels/, image_2/, calib.txt and "
        "poses.txt in <data>/semantickitti; say where <data> is with --data DIR or "
        "LIMA_BENCH_DATA.",
    )


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
    times = _numbers(folder / "times.txt", 1)
    poses = _numbers(folder / "poses.txt", 12)
    size = _image_size(folder / "image_2")
    lidar = camera = None
    intrinsic = np.zeros((3, 3))
    if poses is not None or size != (0, 0):
        to_camera, projection = _calibration(folder / "calib.txt")
        intrinsic = projection[:, :3]
        if poses is not None:
            camera_0 = inverse(to_camera) @ _square(poses)
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


def _numbers(path: Path, columns: int) -> Float64 | None:
    """A text file's rows (F, columns); None if there is no such file."""
    if not path.is_file():
        return None
    try:
        rows = [[float(word) for word in line.split()] for line in path.read_text().splitlines()]
    except ValueError as error:
        raise UserError(path, f"This is not a number: {error}.", "Get the file again.") from error
    rows = [row for row in rows if row]
    wrong = next((i for i, row in enumerate(rows) if len(row) != columns), None)
    if wrong is not None:
        raise UserError(
            f"{path}:{wrong + 1}",
            f"A row has {columns} numbers here, this one has {len(rows[wrong])}.",
            "Get the file again.",
        )
    return np.array(rows, dtype=np.float64).reshape(-1, columns)


def _square(rows: Float64) -> Float64:
    """Rows of twelve numbers to transforms (F, 4, 4)."""
    parts = rows.reshape(-1, 3, 4)
    return rigid(parts[:, :, :3], parts[:, :, 3])


def _calibration(path: Path) -> tuple[Float64, Float64]:
    """LiDAR to camera 0 (4, 4), and the projection ``P2`` (3, 4).

    Raises:
        UserError: The file is absent, or lacks ``Tr`` or ``P2``, or they are not 3x4.
    """
    how = "Unpack KITTI odometry's calibration archive (data_odometry_calib.zip) over the data."
    if not path.is_file():
        raise UserError(path, "The calibration is absent, so poses and images mean nothing.", how)
    lines = (line.partition(":") for line in path.read_text().splitlines())
    entries = {name.strip(): values.split() for name, _, values in lines}
    for name in ("P2", "Tr"):
        if len(entries.get(name, ())) != 12:
            raise UserError(path, f"The line {name}: with twelve numbers is absent.", how)
    try:
        p2, tr = (np.array(entries[name], dtype=np.float64) for name in ("P2", "Tr"))
    except ValueError as error:
        raise UserError(path, f"This is not a number: {error}.", how) from error
    return _square(tr)[0], p2.reshape(3, 4)


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
