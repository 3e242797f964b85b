"""Recordings of the built-in world as Waymo Open in its second format: components as parquet.

Offers `write_recording` (one segment; run many at once) and `write_tables` (``splits.json``, once).
`lima_bench.datasets.waymo.tfrecord_writer` writes the first format.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lima_bench.datasets.splits import write_splits
from lima_bench.datasets.waymo.capture import CameraCalibration, Capture, LaserCalibration
from lima_bench.datasets.waymo.develop import develop
from lima_bench.datasets.waymo.names import TOP
from lima_bench.datasets.waymo.schemas import KEYS, SCHEMAS, qualified
from lima_bench.datasets.world.recording import Recording

FOLDERS = {"train": "training", "val": "validation", "test": "testing"}

Row = dict[str, Any]


@dataclass(frozen=True)
class SegmentEntry:
    """What one recording adds to the lists; plain data that travels between processes."""

    name: str
    split: str


def write_recording(recording: Recording, root: Path) -> SegmentEntry:
    """Write the components of one segment; one row group a frame.

    Intensity 0..1 becomes its inverse hyperbolic tangent and pixels become JPEG.

    Raises:
        ValueError: A point lies beside its beam, which ranges cannot say.
    """
    folder = root / FOLDERS[recording.split]
    captures = [develop(recording.name, moment) for moment in recording.moments]
    for component, describe in _OF_FRAME.items():
        _write(folder, component, recording.name, [describe(capture) for capture in captures])
    first = captures[0]
    cameras = [_camera_row(shot.calibration) for shot in first.shots]
    lasers = [_laser_row(laser.calibration) for laser in first.lasers]
    _write(folder, "lidar_calibration", recording.name, [lasers])
    _write(folder, "camera_calibration", recording.name, [cameras])
    return SegmentEntry(recording.name, recording.split)


def write_tables(tables: Iterable[SegmentEntry], root: Path, *, pretrain: Collection[str]) -> None:
    """Write ``splits.json``.

    Args:
        tables: What `write_recording` returned, in the order of segments.
        root: The data root.
        pretrain: Names of the train segments on which students are pretrained.
    """
    write_splits(root, [(part.name, part.split) for part in tables], pretrain)


def _write(folder: Path, component: str, context: str, groups: Sequence[Sequence[Row]]) -> None:
    """One component of one segment; no file where there is nothing to say."""
    if not any(groups):
        return
    path = folder / component / f"{context}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    schema = SCHEMAS[component]
    # JPEGs are as small as they get.
    compression = "none" if component == "camera_image" else "zstd"
    with pq.ParquetWriter(path, schema, compression=compression, use_dictionary=False) as writer:
        for rows in groups:
            full = [{"key.segment_context_name": context} | row for row in rows]
            columns = [
                pa.array([row.get(field.name) for row in full], type=field.type) for field in schema
            ]
            if full:
                writer.write_table(pa.Table.from_arrays(columns, schema=schema))


def _row(component: str, keys: Sequence[int], values: Mapping[str, Any]) -> Row:
    """Keys and values under their full column names."""
    named = dict(zip(KEYS[component][1:], keys, strict=True))
    return named | {qualified(component, name): value for name, value in values.items()}


def _pixels(images: Sequence[Any]) -> dict[str, Any]:
    """Values and shape of the images of the first and second return."""
    found: dict[str, Any] = {}
    for number, image in enumerate(images, start=1):
        if image is not None:
            found[f"range_image_return{number}.values"] = image.ravel()
            found[f"range_image_return{number}.shape"] = np.array(image.shape, dtype=np.int32)
    return found


def _lidar(capture: Capture) -> list[Row]:
    return [
        _row("lidar", (capture.timestamp_us, laser.calibration.name), _pixels(laser.returns))
        for laser in capture.lasers
    ]


def _projection(capture: Capture) -> list[Row]:
    component = "lidar_camera_projection"
    return [
        _row(component, (capture.timestamp_us, laser.calibration.name), _pixels(laser.projections))
        for laser in capture.lasers
    ]


def _segmentation(capture: Capture) -> list[Row]:
    return [
        _row("lidar_segmentation", (capture.timestamp_us, TOP), _pixels(laser.labels))
        for laser in capture.lasers
        if laser.labels
    ]


def _pixel_pose(capture: Capture) -> list[Row]:
    return [
        _row("lidar_pose", (capture.timestamp_us, TOP), _pixels([laser.pixel_pose]))
        for laser in capture.lasers
        if laser.pixel_pose is not None
    ]


def _vehicle_pose(capture: Capture) -> list[Row]:
    values = {"world_from_vehicle.transform": capture.pose.ravel()}
    return [_row("vehicle_pose", (capture.timestamp_us,), values)]


def _images(capture: Capture) -> list[Row]:
    return [
        _row(
            "camera_image",
            (capture.timestamp_us, shot.calibration.name),
            {
                "image": shot.image.read(),
                "pose.transform": shot.pose.ravel(),
                "pose_timestamp": shot.time_s,
            },
        )
        for shot in capture.shots
    ]


_OF_FRAME = {
    "lidar": _lidar,
    "lidar_segmentation": _segmentation,
    "lidar_pose": _pixel_pose,
    "lidar_camera_projection": _projection,
    "vehicle_pose": _vehicle_pose,
    "camera_image": _images,
}


def _laser_row(calibration: LaserCalibration) -> Row:
    listed = calibration.inclinations
    values = {
        "extrinsic.transform": calibration.extrinsic.ravel(),
        "beam_inclination.min": calibration.least,
        "beam_inclination.max": calibration.most,
        "beam_inclination.values": listed if len(listed) else None,
    }
    return _row("lidar_calibration", (calibration.name,), values)


def _camera_row(calibration: CameraCalibration) -> Row:
    names = ("f_u", "f_v", "c_u", "c_v", "k1", "k2", "p1", "p2", "k3")
    lens = dict(zip(names, calibration.intrinsic.tolist(), strict=True))
    values = {f"intrinsic.{name}": value for name, value in lens.items()} | {
        "extrinsic.transform": calibration.extrinsic.ravel(),
        "width": calibration.width,
        "height": calibration.height,
        "rolling_shutter_direction": _GLOBAL_SHUTTER,
    }
    return _row("camera_calibration", (calibration.name,), values)


_GLOBAL_SHUTTER = 5
