"""The messages of Waymo Open's first format, as few fields as are read or written here.

Offers `messages`, which needs protobuf (the extra ``waymo``) and neither generated files nor
TensorFlow. Field numbers: waymo-research/waymo-open-dataset ``dataset.proto``,
``protos/segmentation_metrics.proto``.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from lima_bench.common.optional import optional

_PACKAGE = "lima_bench.waymo"

# Message: field -> (number, type). A trailing * repeats, + repeats packed; a capital is a message.
_MESSAGES: Mapping[str, Mapping[str, tuple[int, str]]] = {
    "MatrixShape": {"dims": (1, "int32*")},
    "MatrixFloat": {"data": (1, "float+"), "shape": (2, "MatrixShape")},
    "MatrixInt32": {"data": (1, "int32+"), "shape": (2, "MatrixShape")},
    "Transform": {"transform": (1, "double*")},
    "CameraCalibration": {
        "name": (1, "int32"),
        "intrinsic": (2, "double*"),
        "extrinsic": (3, "Transform"),
        "width": (4, "int32"),
        "height": (5, "int32"),
        "rolling_shutter_direction": (6, "int32"),
    },
    "LaserCalibration": {
        "name": (1, "int32"),
        "beam_inclinations": (2, "double*"),
        "beam_inclination_min": (3, "double"),
        "beam_inclination_max": (4, "double"),
        "extrinsic": (5, "Transform"),
    },
    "Context": {
        "name": (1, "string"),
        "camera_calibrations": (2, "CameraCalibration*"),
        "laser_calibrations": (3, "LaserCalibration*"),
    },
    "RangeImage": {
        "range_image_compressed": (2, "bytes"),
        "camera_projection_compressed": (3, "bytes"),
        "range_image_pose_compressed": (4, "bytes"),
        "segmentation_label_compressed": (6, "bytes"),
    },
    "CameraImage": {
        "name": (1, "int32"),
        "image": (2, "bytes"),
        "pose": (3, "Transform"),
        "pose_timestamp": (5, "double"),
    },
    "Laser": {
        "name": (1, "int32"),
        "ri_return1": (2, "RangeImage"),
        "ri_return2": (3, "RangeImage"),
    },
    "Box": {
        "center_x": (1, "double"),
        "center_y": (2, "double"),
        "center_z": (3, "double"),
        "width": (4, "double"),
        "length": (5, "double"),
        "height": (6, "double"),
        "heading": (7, "double"),
    },
    "Label": {"box": (1, "Box"), "type": (3, "int32"), "id": (4, "string")},
    "Frame": {
        "context": (1, "Context"),
        "timestamp_micros": (2, "int64"),
        "pose": (3, "Transform"),
        "images": (4, "CameraImage*"),
        "lasers": (5, "Laser*"),
        "laser_labels": (6, "Label*"),
    },
    "SegmentationFrame": {
        "segmentation_labels": (1, "Laser*"),
        "context_name": (2, "string"),
        "frame_timestamp_micros": (3, "int64"),
    },
    "SegmentationFrameList": {"frames": (1, "SegmentationFrame*")},
}


@lru_cache(maxsize=1)
def messages() -> Mapping[str, Any]:
    """Message classes by name.

    Raises:
        UserError: protobuf is not installed.
    """
    descriptor = optional("google.protobuf.descriptor_pb2", extra="waymo")
    pool = optional("google.protobuf.descriptor_pool", extra="waymo").DescriptorPool()
    factory = optional("google.protobuf.message_factory", extra="waymo")
    file = descriptor.FileDescriptorProto(
        name="lima_bench/waymo.proto", package=_PACKAGE, syntax="proto2"
    )
    for name, described in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in described.items():
            _add(descriptor.FieldDescriptorProto, message, field, number, kind)
    pool.Add(file)
    return {
        name: factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
        for name in _MESSAGES
    }


def _add(kinds: Any, message: Any, field: str, number: int, kind: str) -> None:
    """Describe one field."""
    bare = kind.rstrip("*+")
    added = message.field.add(name=field, number=number)
    added.label = kinds.LABEL_OPTIONAL if bare == kind else kinds.LABEL_REPEATED
    if bare[0].isupper():
        added.type, added.type_name = kinds.TYPE_MESSAGE, f".{_PACKAGE}.{bare}"
    else:
        added.type = getattr(kinds, f"TYPE_{bare.upper()}")
    if kind.endswith("+"):
        added.options.packed = True
