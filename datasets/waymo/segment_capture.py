"""Everything about one frame in Waymo Open's second format.

Offers `capture`. Component by component, each at its frame's rows; images stay where they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lima_bench.common.errors import UserError
from lima_bench.datasets.sample import EncodedImage, Float32
from lima_bench.datasets.waymo.capture import (
    CameraCalibration,
    Capture,
    Int32,
    Laser,
    LaserCalibration,
    Shot,
)
from lima_bench.datasets.waymo.names import CAMERAS, LASERS, TOP
from lima_bench.datasets.waymo.parquet import (
    CAMERA,
    LASER,
    Columns,
    Key,
    image,
    matrix,
    read_keys,
)
from lima_bench.datasets.waymo.segments import (
    OF_CAMERA,
    OF_LASER,
    column,
    component_file,
    poses_of,
    rows_of,
)

_INTRINSIC = ("f_u", "f_v", "c_u", "c_v", "k1", "k2", "p1", "p2", "k3")
_AGAIN = "All components must come from the same release; get this one again."


def capture(
    folder: Path, context: str, time_us: int, lasers: Sequence[str], n_returns: int
) -> Capture:
    """Everything about one frame.

    Args:
        folder: The split's.
        context: The segment.
        time_us: The frame's time stamp.
        lasers: Names of the LiDARs wanted, in the order wanted.
        n_returns: 1 or 2.

    Raises:
        UserError: A component, a column or a row is missing, or a file is broken.
    """
    one = _Frame(folder, context, time_us)
    return Capture(
        where=f"{component_file(folder, 'lidar', context)}: frame {time_us}",
        timestamp_us=time_us,
        pose=poses_of(folder, context, time_us)[time_us],
        lasers=_lasers(one, [LASERS[name] for name in lasers], n_returns),
        shots=_shots(one),
    )


class _Frame:
    """Reads rows of one frame by sensor number."""

    def __init__(self, folder: Path, context: str, time_us: int) -> None:
        self.folder, self.context, self.time_us = folder, context, time_us

    def file(self, component: str) -> Path:
        return component_file(self.folder, component, self.context)

    def of_lasers(
        self, component: str, lasers: Sequence[int], columns: Sequence[str]
    ) -> dict[int, Columns]:
        """Rows of the frame by LiDAR, of those that have one."""
        places = read_keys(self.file(component), OF_LASER, LASERS)
        keys: list[Key] = [(self.time_us, laser) for laser in lasers]
        here = {key: places[key] for key in keys if key in places}
        rows = rows_of(self.folder, component, self.context, here, columns)
        return {key[1]: row for key, row in rows.items()}

    def of_segment(
        self, component: str, key: str, names: Mapping[str, int], columns: Sequence[str]
    ) -> dict[int, Columns]:
        """Rows of the segment by sensor."""
        places = read_keys(self.file(component), [key], names)
        rows = rows_of(self.folder, component, self.context, places, columns)
        return {sensor[0]: row for sensor, row in rows.items()}


def _lasers(one: _Frame, lasers: Sequence[int], n_returns: int) -> tuple[Laser, ...]:
    """The wanted LiDARs with calibration, labels and poses."""
    calibrations = _laser_calibrations(one)
    images = [f"range_image_return{number + 1}" for number in range(n_returns)]
    columns = [f"{name}.{part}" for name in images for part in ("values", "shape")]
    rows = one.of_lasers("lidar", lasers, columns)
    poses = _pixel_poses(one) if TOP in lasers else None
    found = []
    for laser in lasers:
        if laser not in rows:
            where, what = one.file("lidar"), f"Frame {one.time_us} lacks LiDAR {laser}."
            raise UserError(where, what, _AGAIN)
        if laser not in calibrations:
            where, what = one.file("lidar_calibration"), f"LiDAR {laser} has no calibration."
            raise UserError(where, what, _AGAIN)
        found.append(
            Laser(
                calibration=calibrations[laser],
                returns=tuple(_ranges(one, rows[laser], images)),
                labels=_labels(one, images) if laser == TOP else (),
                pixel_pose=poses if laser == TOP else None,
            )
        )
    return tuple(found)


def _ranges(one: _Frame, row: Columns, images: Sequence[str]) -> list[Float32]:
    """The range images of one LiDAR; a second return may be absent, a first may not."""
    found: list[Float32] = []
    for number, name in enumerate(images):
        pixels = image(one.file("lidar"), row, column("lidar", name))
        if pixels is None and number == 0:
            what = f"Frame {one.time_us} has no range image: were they stripped?"
            raise UserError(one.file("lidar"), what, _AGAIN)
        if pixels is not None:
            found.append(pixels.astype(np.float32, copy=False))
    return found


def _labels(one: _Frame, images: Sequence[str]) -> tuple[Int32 | None, ...]:
    """Labels of the top LiDAR by return; empty where the frame has none."""
    component = "lidar_segmentation"
    path = one.file(component)
    if not path.is_file():
        return ()
    columns = [f"{name}.{part}" for name in images for part in ("values", "shape")]
    row = one.of_lasers(component, [TOP], columns).get(TOP)
    if row is None:
        return ()
    return tuple(image(path, row, column(component, name)) for name in images)


def _pixel_poses(one: _Frame) -> Float32:
    """The top LiDAR's poses (H, W, 6), which both returns share."""
    component, name = "lidar_pose", "range_image_return1"
    columns = [f"{name}.values", f"{name}.shape"]
    row = one.of_lasers(component, [TOP], columns).get(TOP, {})
    poses = image(one.file(component), row, column(component, name))
    if poses is None:
        raise UserError(one.file(component), f"Frame {one.time_us} has no poses of pixels.", _AGAIN)
    wide: Float32 = poses
    return wide


def _laser_calibrations(one: _Frame) -> dict[int, LaserCalibration]:
    """By number of the LiDAR."""
    component = "lidar_calibration"
    path = one.file(component)
    extrinsic = column(component, "extrinsic.transform")
    least, most, values = (
        column(component, f"beam_inclination.{part}") for part in ("min", "max", "values")
    )
    parts = ["extrinsic.transform", *(f"beam_inclination.{p}" for p in ("min", "max", "values"))]
    rows = one.of_segment(component, LASER, LASERS, parts)
    return {
        laser: LaserCalibration(
            name=laser,
            extrinsic=matrix(path, row, extrinsic),
            inclinations=_floats(row[values]),
            least=float(row[least]),
            most=float(row[most]),
        )
        for laser, row in rows.items()
    }


def _floats(values: Any) -> Any:
    """A list in float64; empty where absent."""
    return np.zeros(0) if values is None else values.astype(np.float64)


def _shots(one: _Frame) -> tuple[Shot, ...]:
    """The frame's images, unread; none where the component was not downloaded."""
    component = "camera_image"
    path = one.file(component)
    if not path.is_file():
        return ()
    places = {
        key: place
        for key, place in read_keys(path, OF_CAMERA, CAMERAS).items()
        if key[0] == one.time_us
    }
    if not places:
        return ()
    rows = rows_of(one.folder, component, one.context, places, ["pose.transform"])
    calibrations = _camera_calibrations(one)
    found = []
    for key, row in rows.items():
        if key[1] not in calibrations:
            where, what = one.file("camera_calibration"), f"Camera {key[1]} has no calibration."
            raise UserError(where, what, _AGAIN)
        found.append(
            Shot(
                calibration=calibrations[key[1]],
                image=EncodedImage(
                    path,
                    f"frame {one.time_us}, camera {key[1]}",
                    partial(_jpeg, one.folder, one.context, places[key]),
                ),
                pose=matrix(path, row, column(component, "pose.transform")),
            )
        )
    return tuple(found)


def _jpeg(folder: Path, context: str, place: tuple[int, int]) -> bytes:
    """The bytes of one image."""
    rows = rows_of(folder, "camera_image", context, {place: place}, ["image"])
    found: bytes = rows[place][column("camera_image", "image")] or b""
    return found


def _camera_calibrations(one: _Frame) -> dict[int, CameraCalibration]:
    """By number of the camera."""
    component = "camera_calibration"
    path = one.file(component)
    parts = [*(f"intrinsic.{name}" for name in _INTRINSIC), "extrinsic.transform"]
    rows = one.of_segment(component, CAMERA, CAMERAS, [*parts, "width", "height"])
    return {
        camera: CameraCalibration(
            name=camera,
            intrinsic=np.array(
                [float(row[column(component, part)]) for part in parts[:-1]], dtype=np.float64
            ),
            extrinsic=matrix(path, row, column(component, parts[-1])),
            width=int(row[column(component, "width")]),
            height=int(row[column(component, "height")]),
        )
        for camera, row in rows.items()
    }
