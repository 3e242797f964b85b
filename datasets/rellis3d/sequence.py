"""One RELLIS-3D sequence: its poses, calibration and images by number, read once.

Offers `Drive`, `open_drive`, `stamp` and the names of folders.

A sequence's folder holds ``poses.txt`` (twelve numbers a scan, by its number), ``camera_info.txt``
(fx fy cx cy) and ``transforms.yaml``. The latter's transform takes the camera's frame to the
Ouster's: to bring points into the camera it must be inverted. ``poses.txt`` are taken as poses of
the Ouster: the release's ``calib.txt``, written for SemanticKITTI's tools, has the identity for Tr.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from lima_bench.common.errors import UserError
from lima_bench.datasets.rigid import rigid, rotation
from lima_bench.datasets.sample import Float64
from lima_bench.datasets.texts import read_rows

SCANS = "os1_cloud_node_kitti_bin"
LABELS = "os1_cloud_node_semantickitti_label_id"
IMAGES = "pylon_camera_node"
PIXEL_LABELS = "pylon_camera_node_label_id"
POSES, INTRINSIC, EXTRINSIC = "poses.txt", "camera_info.txt", "transforms.yaml"
TRANSFORM = "os1_cloud_node-pylon_camera_node"

_AGAIN = "Get the sequence's calibration (camera intrinsic, camera to LiDAR) of the release again."
_IMAGE_NAME = re.compile(r"frame(\d{6})-\d+_\d+")

Stamp = tuple[int, ...]


@dataclass(frozen=True)
class Drive:
    """What a sequence says beside its scans.

    Attributes:
        folder: The sequence's folder.
        lidar_to_global: (F, 4, 4), row i of scan number i; None without ``poses.txt``.
        camera_to_lidar: 4x4; None where images or poses are absent.
        intrinsic: 3x3, zero where images or poses are absent.
        image_size: Width and height in pixels of the first image, or zeros.
        images: Scan number to the image's file name.
        pixel_labels: Scan number to the file name of the image's labels.
    """

    folder: Path
    lidar_to_global: Float64 | None
    camera_to_lidar: Float64 | None
    intrinsic: Float64
    image_size: tuple[int, int]
    images: Mapping[int, str]
    pixel_labels: Mapping[int, str]


def stamp(folder: Path) -> Stamp:
    """Change times of what `open_drive` reads: equal stamps, equal drive."""
    paths = (folder / part for part in (POSES, INTRINSIC, EXTRINSIC, IMAGES, PIXEL_LABELS))
    return tuple(path.stat().st_mtime_ns if path.exists() else 0 for path in paths)


@lru_cache(maxsize=16)
def open_drive(folder: Path, stamp: Stamp) -> Drive:
    """Poses, calibration and images of the sequence in `folder`, once per process and `stamp`.

    Raises:
        UserError: A text file is broken, or calibration is absent though images and poses exist.
    """
    del stamp
    poses = read_rows(folder / POSES, 12)
    images = dict(_by_number(folder / IMAGES, ".jpg"))
    camera, intrinsic, size = None, np.zeros((3, 3)), (0, 0)
    if poses is not None and images:
        camera, intrinsic = _extrinsic(folder / EXTRINSIC), _intrinsic(folder / INTRINSIC)
        size = _image_size(folder / IMAGES / images[min(images)])
    return Drive(
        folder=folder,
        lidar_to_global=None if poses is None else _square(poses),
        camera_to_lidar=camera,
        intrinsic=intrinsic,
        image_size=size,
        images=images,
        pixel_labels=dict(_by_number(folder / PIXEL_LABELS, ".png")),
    )


def _by_number(folder: Path, suffix: str) -> Iterator[tuple[int, str]]:
    """Number and name of the files ``frame000104-1581624663_149<suffix>``."""
    seen: dict[int, str] = {}
    for path in sorted(folder.glob(f"frame*{suffix}")):
        match = _IMAGE_NAME.fullmatch(path.stem)
        if match is None:
            continue
        number = int(match[1])
        if number in seen:
            raise UserError(
                path,
                f"Two files here belong to frame {number:06}; the other is {seen[number]}.",
                "Keep the one that the release has.",
            )
        seen[number] = path.name
    yield from seen.items()


def _square(rows: Float64) -> Float64:
    """Rows of twelve numbers to transforms (F, 4, 4)."""
    parts = rows.reshape(-1, 3, 4)
    return rigid(parts[:, :, :3], parts[:, :, 3])


def _intrinsic(path: Path) -> Float64:
    """3x3 from ``fx fy cx cy``."""
    rows = read_rows(path, 4)
    if rows is None or len(rows) != 1:
        raise UserError(path, "The camera's fx fy cx cy are absent.", _AGAIN)
    fx, fy, cx, cy = rows[0]
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]])


def _extrinsic(path: Path) -> Float64:
    """Camera to Ouster (4, 4), as the file has it.

    Raises:
        UserError: The file is absent, no YAML, or lacks the transform.
    """
    if not path.is_file():
        raise UserError(path, "The calibration of the camera against the Ouster is absent.", _AGAIN)
    try:
        entry: Any = yaml.safe_load(path.read_text(errors="replace"))[TRANSFORM]
        turn = np.array([float(entry["q"][part]) for part in "wxyz"])
        shift = np.array([float(entry["t"][part]) for part in "xyz"])
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            path, f"The transform {TRANSFORM} with q: w x y z and t: x y z is not here.", _AGAIN
        ) from error
    if not (np.isfinite(turn).all() and np.isfinite(shift).all() and np.linalg.norm(turn) > 0.5):
        raise UserError(path, f"The transform {TRANSFORM} is no rotation and shift.", _AGAIN)
    return rigid(rotation(turn), shift)


def _image_size(path: Path) -> tuple[int, int]:
    """Width and height of an image."""
    try:
        with Image.open(path) as image:
            return image.size
    except OSError as error:
        raise UserError(
            path, f"This image cannot be read: {error}.", "Get the file again."
        ) from error
