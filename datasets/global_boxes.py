"""Boxes of many frames in the global frame, between a data set's tables and the official metric.

Offers `GlobalBoxes`, predictions or truth, and `DetectionTruth`, all that the metric reads of a
data set. Plain arrays: no torch, no reader.
"""

from __future__ import annotations

from dataclasses import dataclass

from lima_bench.datasets.sample import Float64, Int64


@dataclass(frozen=True)
class GlobalBoxes:
    """Boxes of many frames as the metric compares them: predictions or truth, global frame.

    Attributes:
        frame: (B,) number of the frame in the scored list, never falling.
        centre: (B, 3) metres.
        size: (B, 3) width, length, height in metres: the devkit's order.
        rotation: (B, 4) quaternion w, x, y, z; as annotated, or of unit length.
        velocity: (B, 2) metres per second; NaN where unknown.
        label: (B,) class by the card's `detection`.
        score: (B,) in 0..1; of truth, NaN.
        attribute: B attribute names; empty where a box has none.
        n_points: (B,) LiDAR and RADAR points inside; of predictions, -1.
    """

    frame: Int64
    centre: Float64
    size: Float64
    rotation: Float64
    velocity: Float64
    label: Int64
    score: Float64
    attribute: tuple[str, ...]
    n_points: Int64

    def only(self, rows: Int64) -> GlobalBoxes:
        """The boxes in `rows`, in their order there."""
        columns = {name: value for name, value in vars(self).items() if name != "attribute"}
        taken = {name: value[rows] for name, value in columns.items()}
        return GlobalBoxes(**taken, attribute=tuple(self.attribute[i] for i in rows.tolist()))


@dataclass(frozen=True)
class DetectionTruth:
    """What is true of the scored frames, before any filter of the metric.

    Attributes:
        samples: (F) sample token of each frame.
        turn: (F,) row of each frame's sample in its table. The official metric takes frames in
            that order, which decides between predictions of equal score.
        ego_xy: (F, 2) metres, the ego vehicle when the LiDAR scanned.
        boxes: Objects of the classes, inside a frame in the order of their table.
        racks: Objects around which some classes do not count; their label is -1.
    """

    samples: tuple[str, ...]
    turn: Int64
    ego_xy: Float64
    boxes: GlobalBoxes
    racks: GlobalBoxes
