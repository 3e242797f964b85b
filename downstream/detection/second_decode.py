"""From SECOND's maps to boxes: scores above a threshold, thinned out class by class.

Offers `found_in_frame`. Every anchor of a group is asked for every class of the group, whichever
class it was made for (OpenPCDet's ``MULTI_CLASSES_NMS`` with separate heads; detection 4).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lima_bench.downstream.detection.anchors import AnchorGrid
from lima_bench.downstream.detection.box_code import decode
from lima_bench.downstream.detection.boxes import Detections
from lima_bench.downstream.detection.second_maps import Group, Read
from lima_bench.downstream.detection.settings import SecondSettings
from lima_bench.lima.losses import widen

SEEN_FROM_ABOVE = [0, 1, 3, 4, 6]
"""x, y, length, width and yaw among the columns of a box."""


def found_in_frame(
    groups: Sequence[tuple[Group, Read]],
    frame: int,
    anchors: AnchorGrid,
    settings: SecondSettings,
    most: int,
) -> Detections:
    """The boxes of one frame, best first.

    Args:
        groups: Each with its maps.
        frame: Of the maps.
        anchors: On the maps' device.
        settings: Thresholds.
        most: Boxes that are kept of all classes together.
    """
    found = [
        _class_found(group, read, number, frame, anchors, settings)
        for group, read in groups
        for number in range(len(group.labels))
    ]
    boxes, score, label = (torch.cat(parts) for parts in zip(*found, strict=True))
    best = score.sort(descending=True, stable=True).indices[:most]
    return Detections(boxes[best], score[best], label[best])


def _class_found(
    group: Group,
    read: Read,
    number: int,
    frame: int,
    anchors: AnchorGrid,
    settings: SecondSettings,
) -> tuple[Float[Tensor, "found 9"], Float[Tensor, " found"], Int[Tensor, " found"]]:
    """Boxes, scores and labels of one class of a group."""
    from lima_bench.downstream.detection.rotated import rotated_nms

    score = widen(read.logits[frame, :, number]).sigmoid().flatten()
    at = (score >= settings.score).nonzero()[:, 0]
    at = at[score[at].sort(descending=True, stable=True).indices[: settings.nms.before]]
    boxes = _boxes(group, read, frame, at, anchors)
    # A network that just began may say infinite or vanishing sizes; the metric takes neither.
    sound = boxes.isfinite().all(1) & (boxes[:, 3:6] > 0).all(1)
    boxes, score = boxes[sound], score[at[sound]]
    above = boxes[:, SEEN_FROM_ABOVE]
    kept = rotated_nms(above, score, settings.nms.iou, settings.nms.after)
    return boxes[kept], score[kept], torch.full_like(kept, group.labels[number])


def _boxes(
    group: Group, read: Read, frame: int, at: Int[Tensor, " chosen"], anchors: AnchorGrid
) -> Float[Tensor, "chosen 9"]:
    """What chosen anchors of a group say, each in float32."""
    place = at + group.first_slot * len(anchors.y) * len(anchors.x)
    _, slot, row, column = anchors.places(place)
    code = read.codes[frame, slot - group.first_slot, :, row, column]
    return decode(code.double(), anchors.boxes(place)).float()
