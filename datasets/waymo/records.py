"""Segments in Waymo Open's first format: ``<folder>/segment-<context name>*.tfrecord``.

Offers `contexts`, `listing` (which frames a file has) and `capture` (everything about one). The
listing touches a few bytes of each record, and images are read from where they lie, so that no
frame costs another one's megabytes.
"""

from __future__ import annotations

import mmap
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from lima_bench.common.errors import UserError
from lima_bench.datasets.sample import EncodedImage, Float32, Float64
from lima_bench.datasets.waymo.capture import (
    CameraCalibration,
    Capture,
    Int32,
    Laser,
    LaserCalibration,
    Shot,
)
from lima_bench.datasets.waymo.listing import Listing
from lima_bench.datasets.waymo.names import LASERS, TOP
from lima_bench.datasets.waymo.protos import messages
from lima_bench.datasets.waymo.tfrecord import Place, read_record, record_places
from lima_bench.datasets.waymo.wire import Bytes, Field, fields

_AGAIN = "Get this file again from where the data set came from."
_TIME, _POSE, _IMAGES, _LASERS = 2, 3, 4, 5
_NAME, _FIRST_RETURN, _LABEL, _JPEG = 1, 2, 6, 2


def contexts(folder: Path) -> Mapping[str, Path]:
    """The segments in a split's folder by name, sorted; the file's name tells the segment's."""
    found = {}
    for path in sorted(folder.glob("*.tfrecord")):
        match = re.fullmatch(r"segment-(.+?)(_with_camera_labels)?", path.stem)
        found[match[1] if match else path.stem] = path
    return dict(sorted(found.items()))


def listing(path: Path) -> Listing:
    """The frames of a file, in order of time.

    Raises:
        UserError: The file is damaged, or a record is no frame.
    """
    places = record_places(path)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        heads = [_head(path, data, place) for place in places]
    order = sorted(range(len(heads)), key=lambda i: heads[i][0])
    return Listing(
        times_us=np.array([heads[i][0] for i in order], dtype=np.int64),
        poses=np.array([heads[i][1] for i in order]).reshape(-1, 4, 4),
        labelled=np.array([heads[i][2] for i in order], dtype=bool),
        pictured=np.array([heads[i][3] for i in order], dtype=bool),
        places=np.array([places[i] for i in order], dtype=np.int64).reshape(-1, 2),
    )


def capture(path: Path, place: Place, lasers: Sequence[str], n_returns: int) -> Capture:
    """Everything about one frame.

    Args:
        path: The file.
        place: Where its record lies.
        lasers: Names of the LiDARs wanted, in the order wanted.
        n_returns: 1 or 2.

    Raises:
        UserError: The record fails its checksum, lacks something, or protobuf is not installed.
    """
    record = read_record(path, place)
    try:
        frame = messages()["Frame"].FromString(record)
    except Exception as error:  # protobuf's own class: importing it would need the extra
        raise UserError(path, f"The record at byte {place[0]} is no frame: {error}", _AGAIN) from (
            error
        )
    where = f"{path}: frame {frame.timestamp_micros}"
    wanted = [LASERS[name] for name in lasers]
    return Capture(
        where=where,
        timestamp_us=frame.timestamp_micros,
        pose=_matrix(where, frame.pose),
        lasers=tuple(_lasers(where, frame, wanted, n_returns)),
        shots=tuple(_shots(path, where, frame, record, place)),
    )


def _head(path: Path, data: Bytes, place: Place) -> tuple[int, Float64, bool, bool]:
    """Time stamp, pose, whether labelled and whether there are images, of one record."""
    start, length = place
    time_us, pose, labelled, pictured = 0, np.zeros((0,)), False, False
    try:
        for field in fields(data, start, start + length):
            if field.number == _TIME:
                time_us = field.value
            elif field.number == _POSE:
                raw = data[field.start : field.end]
                pose = np.array(messages()["Transform"].FromString(raw).transform)
            elif field.number == _IMAGES:
                pictured = True
            elif field.number == _LASERS and not labelled:
                labelled = _is_labelled(data, field)
    except ValueError as error:
        what = f"The record at byte {start} is no frame: {error}."
        raise UserError(path, what, _AGAIN) from error
    if pose.size != 16:
        raise UserError(path, f"Frame {time_us} has no pose.", _AGAIN)
    return time_us, pose.reshape(4, 4), labelled, pictured


def _is_labelled(data: Bytes, laser: Field) -> bool:
    """Whether this is the top LiDAR and its first return has point labels."""
    inside = {field.number: field for field in fields(data, laser.start, laser.end)}
    if _NAME not in inside or inside[_NAME].value != TOP or _FIRST_RETURN not in inside:
        return False
    first = inside[_FIRST_RETURN]
    parts = fields(data, first.start, first.end)
    return any(part.number == _LABEL and len(part) > 0 for part in parts)


def _lasers(where: str, frame: Any, wanted: Sequence[int], n_returns: int) -> Iterator[Laser]:
    """The wanted LiDARs, with calibration, labels and poses."""
    lasers = {laser.name: laser for laser in frame.lasers}
    calibrations = {entry.name: entry for entry in frame.context.laser_calibrations}
    for number in wanted:
        if number not in calibrations:
            raise UserError(where, f"LiDAR {number} has no calibration.", _AGAIN)
        laser = lasers.get(number)
        images = [] if laser is None else [laser.ri_return1, laser.ri_return2][:n_returns]
        if not images or not images[0].range_image_compressed:
            what = f"LiDAR {number} has no range image: were they stripped from this file?"
            raise UserError(where, what, "Get the whole file from the data set's own release.")
        images = [image for image in images if image.range_image_compressed]
        poses = images[0].range_image_pose_compressed if number == TOP else b""
        if number == TOP and not poses:
            raise UserError(where, "The top LiDAR has no poses of pixels.", _AGAIN)
        yield Laser(
            calibration=_laser_calibration(where, calibrations[number]),
            returns=tuple(_floats(where, image.range_image_compressed) for image in images),
            labels=tuple(_labels(where, image.segmentation_label_compressed) for image in images),
            pixel_pose=_floats(where, poses) if poses else None,
        )


def _floats(where: str, data: bytes) -> Float32:
    pixels: Float32 = _unpacked(where, "MatrixFloat", data, np.float32)
    return pixels


def _labels(where: str, data: bytes) -> Int32 | None:
    return _unpacked(where, "MatrixInt32", data, np.int32) if data else None


def _unpacked(where: str, message: str, data: bytes, dtype: Any) -> Any:
    """A zlib-compressed matrix message as an array of its shape."""
    try:
        matrix = messages()[message].FromString(zlib.decompress(data))
        return np.array(matrix.data, dtype=dtype).reshape(tuple(matrix.shape.dims))
    except Exception as error:  # zlib's, protobuf's or numpy's: all say that the bytes are wrong
        raise UserError(where, f"A range image cannot be unpacked: {error}.", _AGAIN) from error


def _laser_calibration(where: str, entry: Any) -> LaserCalibration:
    return LaserCalibration(
        name=entry.name,
        extrinsic=_matrix(where, entry.extrinsic),
        inclinations=np.array(entry.beam_inclinations, dtype=np.float64),
        least=entry.beam_inclination_min,
        most=entry.beam_inclination_max,
    )


def _shots(path: Path, where: str, frame: Any, record: bytes, place: Place) -> Iterator[Shot]:
    """The images, unread; a frame may have none."""
    if not frame.images:
        return
    calibrations = {entry.name: entry for entry in frame.context.camera_calibrations}
    jpegs = _jpeg_places(record)
    for entry in frame.images:
        if entry.name not in calibrations:
            raise UserError(where, f"Camera {entry.name} has no calibration.", _AGAIN)
        start, length = jpegs.get(entry.name, (0, 0))
        yield Shot(
            calibration=_camera_calibration(where, calibrations[entry.name]),
            image=EncodedImage(
                path,
                f"frame {frame.timestamp_micros}, camera {entry.name}",
                partial(_read_range, path, place[0] + start, length),
            ),
            pose=_matrix(where, entry.pose),
            time_s=entry.pose_timestamp,
        )


def _jpeg_places(record: bytes) -> dict[int, Place]:
    """Offset in the record and length of each camera's JPEG."""
    places = {}
    for field in fields(record, 0, len(record)):
        if field.number == _IMAGES:
            inside = {part.number: part for part in fields(record, field.start, field.end)}
            if _NAME in inside and _JPEG in inside:
                places[inside[_NAME].value] = (inside[_JPEG].start, len(inside[_JPEG]))
    return places


def _read_range(path: Path, start: int, length: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return file.read(length)


def _camera_calibration(where: str, entry: Any) -> CameraCalibration:
    if len(entry.intrinsic) != 9:
        raise UserError(where, f"Camera {entry.name} has no calibration of nine numbers.", _AGAIN)
    return CameraCalibration(
        name=entry.name,
        intrinsic=np.array(entry.intrinsic, dtype=np.float64),
        extrinsic=_matrix(where, entry.extrinsic),
        width=entry.width,
        height=entry.height,
    )


def _matrix(where: str, transform: Any) -> Float64:
    """A transform as 4x4."""
    if len(transform.transform) != 16:
        raise UserError(where, "A pose or an extrinsic calibration is absent.", _AGAIN)
    return np.array(transform.transform, dtype=np.float64).reshape(4, 4)


@lru_cache(maxsize=1024)
def cached_listing(path: Path, stamp: tuple[int, int]) -> Listing:
    """`listing`, once per process and `stamp`."""
    del stamp
    return listing(path)
