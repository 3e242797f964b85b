"""Recordings of the built-in world as RELLIS-3D on disk.

Offers `write_recording` (a part of one sequence; run many at once) and `write_tables` (lists, poses
and calibrations, once). A recording is named by its sequence and its first scan's number,
``00000/000060``. The format has one row a beam, one pose a scan and one calibration a sequence;
recordings that need more are refused.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from lima_bench.common.seeds import derive_seed
from lima_bench.datasets.rellis3d.raw_ids import IMAGE_RAW, RAW
from lima_bench.datasets.rellis3d.sequence import (
    EXTRINSIC,
    IMAGES,
    INTRINSIC,
    LABELS,
    PIXEL_LABELS,
    POSES,
    SCANS,
    TRANSFORM,
)
from lima_bench.datasets.rigid import inverse, quaternion
from lima_bench.datasets.sample import Float64
from lima_bench.datasets.world.recording import LidarScan, Moment, Picture, Recording

BRIGHTEST = 753
"""The raw value of full intensity: the most in the public frame (0.0115 times 65535)."""

_SKY_LIGHT = 9
JPEG_QUALITY = 90
_LISTS = {"train": "pt_train.lst", "val": "pt_val.lst", "test": "pt_test.lst"}

Rows = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class RecordingTables:
    """What one recording adds to lists and tables; plain data that travels between processes.

    Attributes:
        name: The recording's.
        split: Its list.
        poses: Twelve numbers a scan.
        camera: fx fy cx cy, the quaternion w x y z and the shift of camera to Ouster; empty
            without images.
    """

    name: str
    split: str
    poses: Rows
    camera: tuple[float, ...]

    @property
    def place(self) -> tuple[str, int]:
        """The sequence and the number of the first scan."""
        return _place(self.name)


def write_recording(recording: Recording, root: Path) -> RecordingTables:
    """Write scans, labels, images and their labels of one part of a sequence.

    Raises:
        ValueError: The recording does what the format cannot say.
    """
    _refuse_what_cannot_be_said(recording)
    sequence, first = _place(recording.name)
    folder = root / sequence
    for number, moment in enumerate(recording.moments, start=first):
        seed = derive_seed(0, "sky light", recording.name, recording.split, number)
        _write_scan(moment.scan, folder, f"{number:06}", seed)
        for picture in moment.pictures:
            _write_picture(picture, folder, number)
    return RecordingTables(
        name=recording.name,
        split=recording.split,
        poses=tuple(_twelve(_lidar_to_global(moment.scan)) for moment in recording.moments),
        camera=_camera(recording.moments[0]),
    )


def write_tables(
    tables: Iterable[RecordingTables], root: Path, *, pretrain: Collection[str]
) -> None:
    """Write the three lists, and per sequence poses and calibration.

    Args:
        tables: What `write_recording` returned, in any order.
        root: The data root.
        pretrain: Names of the recordings on which students are pretrained. The format has no
            place for them: they are those of ``train`` that have images.

    Raises:
        ValueError: `pretrain` differs, or the parts of a sequence do not fit together.
    """
    parts = sorted(tables, key=lambda part: part.place)
    taught = {part.name for part in parts if part.split == "train" and part.camera}
    if set(pretrain) != taught:
        raise ValueError(f"pretraining uses every train recording with images: {sorted(taught)}")
    for sequence, group in groupby(parts, key=lambda part: part.place[0]):
        _write_sequence(root / sequence, list(group))
    for split, name in _LISTS.items():
        lines = [line for part in parts if part.split == split for line in _lines(part)]
        (root / name).write_text("".join(lines))


def _place(name: str) -> tuple[str, int]:
    sequence, _, first = name.partition("/")
    return sequence, int(first)


def _lines(part: RecordingTables) -> Iterable[str]:
    sequence, first = part.place
    for number in range(first, first + len(part.poses)):
        stem = f"{number:06}"
        yield f"{sequence}/{SCANS}/{stem}.bin {sequence}/{LABELS}/{stem}.label\n"


def _write_sequence(folder: Path, parts: list[RecordingTables]) -> None:
    """``poses.txt``, ``calib.txt`` and, where there are images, their calibration."""
    rows: list[tuple[float, ...]] = []
    for part in parts:
        if part.place[1] != len(rows):
            raise ValueError(f"{part.name}: the scans before it are {len(rows)}")
        rows += part.poses
    (folder / POSES).write_text("".join(f"{_numbers(row)}\n" for row in rows))
    same = _numbers(np.eye(4)[:3].ravel())
    names = ("P0", "P1", "P2", "P3", "Tr")
    (folder / "calib.txt").write_text("".join(f"{name}: {same}\n" for name in names))
    cameras = [part.camera for part in parts if part.camera]
    if cameras:
        if not np.allclose(cameras, cameras[0], atol=1e-9):
            raise ValueError(f"{folder.name}: one calibration a sequence, so fix the sensors")
        (folder / INTRINSIC).write_text(_numbers(cameras[0][:4]) + "\n")
        q = dict(zip("wxyz", cameras[0][4:8], strict=True))
        t = dict(zip("xyz", cameras[0][8:], strict=True))
        (folder / EXTRINSIC).write_text(yaml.safe_dump({TRANSFORM: {"q": q, "t": t}}))


def _write_scan(scan: LidarScan, folder: Path, stem: str, seed: int) -> None:
    """A row for every beam, column after column from the highest beam down.

    Beams without an echo have zero coordinates, label 0 and, as in the real scan, what little light
    the sensor saw.
    """
    rings, columns = len(scan.beams.elevations_rad), len(scan.beams.azimuths_rad)
    light = np.random.default_rng(seed).integers(0, _SKY_LIGHT, rings * columns)
    rows = np.zeros((rings * columns, 4), dtype="<f4")
    rows[:, 3] = light / 65535
    values = np.zeros(rings * columns, dtype="<u4")
    row = _rows_of(scan)
    rows[row, :3], rows[row, 3] = scan.points, np.rint(scan.intensity * BRIGHTEST) / 65535
    values[row] = RAW[scan.label]
    for part, suffix, table in ((SCANS, ".bin", rows), (LABELS, ".label", values)):
        (folder / part).mkdir(parents=True, exist_ok=True)
        (folder / part / f"{stem}{suffix}").write_bytes(table.tobytes())


def _rows_of(scan: LidarScan) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Row of each point: the file counts rings from the highest, the world from the lowest."""
    rings = len(scan.beams.elevations_rad)
    return scan.column * rings + (rings - 1 - scan.ring)


def _write_picture(picture: Picture, folder: Path, number: int) -> None:
    """The image, and the ids of its pixels."""
    seconds, rest = divmod(picture.timestamp_us, 1_000_000)
    stem = f"frame{number:06}-{seconds}_{rest // 1000:03}"
    ids = IMAGE_RAW[picture.label].astype(np.uint8)
    for part in (IMAGES, PIXEL_LABELS):
        (folder / part).mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture.pixels).save(folder / IMAGES / f"{stem}.jpg", quality=JPEG_QUALITY)
    Image.fromarray(ids).save(folder / PIXEL_LABELS / f"{stem}.png")


def _camera(moment: Moment) -> tuple[float, ...]:
    """Focal lengths, middle, turn and shift of camera to Ouster; nothing without a picture."""
    if not moment.pictures:
        return ()
    k = moment.pictures[0].intrinsic
    to_lidar = _camera_to_lidar(moment)
    inner = (float(k[0, 0]), float(k[1, 1]), float(k[0, 2]), float(k[1, 2]))
    return (*inner, *quaternion(to_lidar[:3, :3]), *(float(value) for value in to_lidar[:3, 3]))


def _camera_to_lidar(moment: Moment) -> Float64:
    turned: Float64 = inverse(moment.scan.lidar_to_ego) @ moment.pictures[0].camera_to_ego
    return turned


def _lidar_to_global(scan: LidarScan) -> Float64:
    return scan.ego_to_global @ scan.lidar_to_ego


def _twelve(matrix: Float64) -> tuple[float, ...]:
    """The upper three rows."""
    return tuple(float(value) for value in matrix[:3].ravel())


def _numbers(values: Iterable[float]) -> str:
    return " ".join(f"{value:.12e}" for value in values)


def _refuse_what_cannot_be_said(recording: Recording) -> None:
    """Refuse beams with two echoes, cameras at another time, sensors that move."""
    name, first = recording.name, recording.moments[0]
    for moment in recording.moments:
        row = _rows_of(moment.scan)
        if len(np.unique(row)) < len(row):
            raise ValueError(f"{name}: one row a beam, so keep one echo")
        if len(moment.pictures) > 1:
            raise ValueError(f"{name}: there is one camera")
        if not moment.pictures:
            continue
        if not first.pictures or not np.allclose(_camera(moment), _camera(first), atol=1e-9):
            raise ValueError(f"{name}: one calibration a sequence, so fix the sensors")
        if not np.allclose(moment.pictures[0].ego_to_global, moment.scan.ego_to_global, atol=1e-9):
            raise ValueError(f"{name}: one pose a scan, so take the image at its time")
