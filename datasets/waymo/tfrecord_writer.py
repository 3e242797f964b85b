"""Recordings of the built-in world as Waymo Open in its first format: one ``.tfrecord`` a segment.

Offers `write_recording`, to be used instead of that of `lima_bench.datasets.waymo.writer`; needs
the extra ``waymo``.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

from lima_bench.datasets.waymo.capture import (
    CameraCalibration,
    Capture,
    Laser,
    LaserCalibration,
    Shot,
)
from lima_bench.datasets.waymo.develop import develop
from lima_bench.datasets.waymo.protos import messages
from lima_bench.datasets.waymo.tfrecord import write_records
from lima_bench.datasets.waymo.writer import FOLDERS, SegmentEntry
from lima_bench.datasets.world.recording import Recording


def write_recording(recording: Recording, root: Path) -> SegmentEntry:
    """Write one segment; see the writer of the second format.

    Raises:
        ValueError: A point lies beside its beam, which ranges cannot say.
        UserError: protobuf is not installed.
    """
    folder = root / FOLDERS[recording.split]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"segment-{recording.name}_with_camera_labels.tfrecord"
    captures = (develop(recording.name, moment) for moment in recording.moments)
    write_records(path, (_record(recording.name, capture) for capture in captures))
    return SegmentEntry(recording.name, recording.split)


def _record(context: str, capture: Capture) -> bytes:
    """One frame as its message's bytes."""
    frame = messages()["Frame"](timestamp_micros=capture.timestamp_us)
    frame.context.name = context
    frame.pose.transform.extend(capture.pose.ravel().tolist())
    for shot in capture.shots:
        _add_camera(frame.context.camera_calibrations.add(), shot.calibration)
        _add_image(frame.images.add(), shot)
    for laser in capture.lasers:
        _add_laser_calibration(frame.context.laser_calibrations.add(), laser.calibration)
        _add_laser(frame.lasers.add(), laser)
    data: bytes = frame.SerializeToString()
    return data


def _add_camera(entry: Any, calibration: CameraCalibration) -> None:
    entry.name = calibration.name
    entry.intrinsic.extend(calibration.intrinsic.tolist())
    entry.extrinsic.transform.extend(calibration.extrinsic.ravel().tolist())
    entry.width, entry.height = calibration.width, calibration.height


def _add_image(entry: Any, shot: Shot) -> None:
    entry.name, entry.image = shot.calibration.name, shot.image.read()
    entry.pose.transform.extend(shot.pose.ravel().tolist())
    entry.pose_timestamp = shot.time_s


def _add_laser_calibration(entry: Any, calibration: LaserCalibration) -> None:
    entry.name = calibration.name
    entry.beam_inclinations.extend(calibration.inclinations.tolist())
    entry.beam_inclination_min = calibration.least
    entry.beam_inclination_max = calibration.most
    entry.extrinsic.transform.extend(calibration.extrinsic.ravel().tolist())


def _add_laser(entry: Any, laser: Laser) -> None:
    entry.name = laser.calibration.name
    for number, image in enumerate((entry.ri_return1, entry.ri_return2)):
        image.range_image_compressed = _packed("MatrixFloat", laser.returns[number])
        image.camera_projection_compressed = _packed("MatrixInt32", laser.projections[number])
        if laser.labels:
            image.segmentation_label_compressed = _packed("MatrixInt32", laser.labels[number])
    if laser.pixel_pose is not None:
        entry.ri_return1.range_image_pose_compressed = _packed("MatrixFloat", laser.pixel_pose)


def _packed(message: str, image: Any) -> bytes:
    """An image as a zlib-compressed matrix message."""
    matrix = messages()[message]()
    values = image if message == "MatrixFloat" else image.astype(int)
    matrix.data.extend(values.ravel().tolist())
    matrix.shape.dims.extend(image.shape)
    return zlib.compress(matrix.SerializeToString())
