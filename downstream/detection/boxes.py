"""The boxes of detection as they travel: from annotations to a head, and from a head to the metric.

Offers `Objects` (truth of a frame, numpy), `Truth` (the same for a head), `Detections` (what a head
found), `GlobalBoxes` (what the metric reads), `DetectionBatch`, `COLUMNS` and `FOOTPRINT`.

A box is nine numbers, `COLUMNS`: the middle of the box in metres; length (along the heading), width
and height in metres; yaw in radians, 0 along x and counter-clockwise; velocity in metres per second
along x and y, NaN where unknown. All in the LiDAR frame at the keyframe's time.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from lima_bench.datasets.global_boxes import GlobalBoxes as GlobalBoxes
from lima_bench.datasets.sample import Bool, Float32, Int64
from lima_bench.lima.voxels import Voxels

COLUMNS = ("x", "y", "z", "length", "width", "height", "yaw", "vx", "vy")

FOOTPRINT = (0, 1, 3, 4, 6)
"""Columns of a box seen from above, as `overlap_matrix` takes them: x, y, length, width, yaw."""


@dataclass(frozen=True)
class Objects:
    """Annotated objects of one frame that detectors learn.

    Attributes:
        boxes: (B, 9) float32, `COLUMNS`.
        label: (B,) class by the card's `detection`.
    """

    boxes: Float32
    label: Int64

    def only(self, rows: Int64 | Bool) -> Objects:
        """Some of them, by number or by mark."""
        return Objects(self.boxes[rows], self.label[rows])


@dataclass(frozen=True)
class Truth:
    """Objects of one frame, after augmentation, on the head's device.

    Attributes:
        boxes: `COLUMNS`.
        label: Class by the card's `detection`.
    """

    boxes: Float[Tensor, "objects 9"]
    label: Int[Tensor, " objects"]


@dataclass(frozen=True)
class Detections:
    """What a head found in one frame, best first.

    Attributes:
        boxes: `COLUMNS`; velocity is always a number.
        score: In 0..1.
        label: Class by the card's `detection`.
    """

    boxes: Float[Tensor, "found 9"]
    score: Float[Tensor, " found"]
    label: Int[Tensor, " found"]


@dataclass(frozen=True)
class DetectionBatch:
    """A few frames.

    Attributes:
        voxels: The encoder's input; one cloud per frame.
        truth: Of each frame; empty where boxes are only looked for.
    """

    voxels: Voxels
    truth: tuple[Truth, ...] = ()
