"""What heads found, put into the global frame in the form that the metric reads.

Offers `place`. A box keeps its tilt against the ground: the LiDAR's whole pose turns it, as the
official kit turns boxes. The range of classes is the metric's own rule and not applied here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lima_bench.common.errors import UserError
from lima_bench.datasets.detection_facts import DetectionFacts
from lima_bench.datasets.global_boxes import GlobalBoxes
from lima_bench.datasets.rigid import apply, quaternion
from lima_bench.datasets.sample import Float64, Int64
from lima_bench.downstream.detection.boxes import Detections


def place(
    found: Sequence[Detections], lidar_to_global: Sequence[Float64], facts: DetectionFacts
) -> GlobalBoxes:
    """Predictions of many frames in the global frame, best first inside each frame.

    Of each frame the best `facts.most_boxes` stay. The attribute follows from the speed, as in
    mmdetection3d and OpenPCDet.

    Args:
        found: By frame of the scored list, in the LiDAR frame.
        lidar_to_global: 4x4 by frame, at the scan's time.
        facts: Attributes of the classes, and how many boxes the metric takes.

    Raises:
        UserError: A head found boxes that are no numbers or have no volume.
    """
    parts = [
        _placed(number, one, pose, facts.most_boxes)
        for number, (one, pose) in enumerate(zip(found, lidar_to_global, strict=True))
    ]
    nothing = (np.zeros((0, 12)), np.zeros(0), np.zeros(0, np.int64))
    values, score, label = (np.concatenate(column) for column in zip(nothing, *parts, strict=True))
    per_frame = np.array([len(part[1]) for part in parts], dtype=np.int64)
    frame = np.repeat(np.arange(len(parts)), per_frame)
    velocity = values[:, 10:]
    return GlobalBoxes(
        frame=frame,
        centre=values[:, :3],
        size=values[:, 3:6],
        rotation=values[:, 6:10],
        velocity=velocity,
        label=label,
        score=score,
        attribute=_attributes(label, velocity, facts),
        n_points=np.full(len(frame), -1, dtype=np.int64),
    )


def _placed(
    number: int, found: Detections, lidar_to_global: Float64, most: int
) -> tuple[Float64, Float64, Int64]:
    """One frame: centre, size (w, l, h), rotation and velocity (B, 12); score; label."""
    score = found.score.detach().cpu().numpy().astype(np.float64)
    boxes = found.boxes.detach().cpu().numpy().astype(np.float64)
    _refuse_broken(number, boxes, score)
    best = np.argsort(-score, kind="stable")[:most]
    boxes = boxes[best]
    flat = np.concatenate([boxes[:, 7:9], np.zeros((len(boxes), 1))], axis=1)
    values = np.concatenate(
        [
            apply(lidar_to_global, boxes[:, :3]),
            boxes[:, [4, 3, 5]],
            _turned(lidar_to_global, boxes[:, 6]),
            (flat @ lidar_to_global[:3, :3].T)[:, :2],
        ],
        axis=1,
    )
    return values, score[best], found.label.detach().cpu().numpy().astype(np.int64)[best]


def _turned(lidar_to_global: Float64, yaw: Float64) -> Float64:
    """Unit quaternions (B, 4) of headings (B,) about z of the LiDAR frame, in the global frame."""
    w, x, y, z = quaternion(lidar_to_global[:3, :3])
    cos, sin = np.cos(yaw / 2), np.sin(yaw / 2)
    turned = [w * cos - z * sin, x * cos + y * sin, y * cos - x * sin, z * cos + w * sin]
    return np.stack(turned, axis=1)


def _attributes(label: Int64, velocity: Float64, facts: DetectionFacts) -> tuple[str, ...]:
    """The attribute of each box by its class and whether it moves."""
    names = [(one.still, one.moving) for one in facts.classes]
    moving = np.hypot(velocity[:, 0], velocity[:, 1]) > facts.moving_mps
    return tuple(names[i][moves] for i, moves in zip(label.tolist(), moving.tolist(), strict=True))


def _refuse_broken(number: int, boxes: Float64, score: Float64) -> None:
    """Refuse boxes (B, 9) that no metric can take."""
    whole = np.isfinite(boxes).all(axis=1) & np.isfinite(score) & (boxes[:, 3:6] > 0).all(axis=1)
    if not whole.all():
        raise UserError(
            f"frame {number} of the scored list",
            f"{np.count_nonzero(~whole)} of {len(boxes)} boxes found are no numbers or have no "
            "volume: training diverged.",
            "Lower the recipe's learning rate, or clip gradients harder.",
        )
