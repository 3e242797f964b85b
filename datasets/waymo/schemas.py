"""The columns of Waymo Open's second format, with the types that its schema documents.

Offers `SCHEMAS` and `KEYS` by component, and `qualified`. Source: waymo-research/waymo-open-dataset
``v2/perception/{base,context,lidar,segmentation,pose,camera_image}.py``.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from lima_bench.datasets.waymo.names import COMPONENTS

_SEGMENT = ("key.segment_context_name", pa.string())
_TIME = ("key.frame_timestamp_micros", pa.int64())
_LASER, _CAMERA = ("key.laser_name", pa.int8()), ("key.camera_name", pa.int8())
_KEYS = {
    "lidar": (_SEGMENT, _TIME, _LASER),
    "lidar_segmentation": (_SEGMENT, _TIME, _LASER),
    "lidar_pose": (_SEGMENT, _TIME, _LASER),
    "lidar_camera_projection": (_SEGMENT, _TIME, _LASER),
    "lidar_calibration": (_SEGMENT, _LASER),
    "vehicle_pose": (_SEGMENT, _TIME),
    "camera_image": (_SEGMENT, _TIME, _CAMERA),
    "camera_calibration": (_SEGMENT, _CAMERA),
}
_FLOATS, _WHOLE, _DOUBLES = pa.list_(pa.float32()), pa.list_(pa.int32()), pa.list_(pa.float64())
_SHAPE, _TRANSFORM, _DOUBLE = pa.list_(pa.int32(), 3), pa.list_(pa.float64(), 16), pa.float64()


def _images(values: pa.DataType, returns: int = 2) -> dict[str, pa.DataType]:
    return {
        f"range_image_return{number}.{part}": kind
        for number in range(1, returns + 1)
        for part, kind in (("values", values), ("shape", _SHAPE))
    }


_LENS = ("f_u", "f_v", "c_u", "c_v", "k1", "k2", "p1", "p2", "k3")
_VALUES: Mapping[str, Mapping[str, pa.DataType]] = {
    "lidar": _images(_FLOATS),
    "lidar_segmentation": _images(_WHOLE),
    "lidar_pose": _images(_FLOATS, returns=1),
    "lidar_camera_projection": _images(_FLOATS),
    "lidar_calibration": {
        "extrinsic.transform": _TRANSFORM,
        "beam_inclination.min": _DOUBLE,
        "beam_inclination.max": _DOUBLE,
        "beam_inclination.values": _DOUBLES,
    },
    "vehicle_pose": {"world_from_vehicle.transform": _TRANSFORM},
    "camera_image": {
        "image": pa.binary(),
        "pose.transform": _TRANSFORM,
        "pose_timestamp": _DOUBLE,
    },
    "camera_calibration": {
        **{f"intrinsic.{name}": _DOUBLE for name in _LENS},
        "extrinsic.transform": _TRANSFORM,
        "width": pa.int32(),
        "height": pa.int32(),
        "rolling_shutter_direction": pa.int8(),
    },
}


def qualified(component: str, name: str) -> str:
    """What a component's column is called in its file."""
    return f"[{COMPONENTS[component]}].{name}"


KEYS: Mapping[str, tuple[str, ...]] = {
    component: tuple(name for name, _ in keys) for component, keys in _KEYS.items()
}
"""Full names of the key columns; the segment's comes first."""

SCHEMAS: Mapping[str, pa.Schema] = {
    component: pa.schema(
        [*_KEYS[component], *((qualified(component, name), kind) for name, kind in values.items())]
    )
    for component, values in _VALUES.items()
}
