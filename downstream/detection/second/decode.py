"""From SECOND's maps to boxes: scores above a threshold, thinned out class by class.

Offers `found_in_frame`. Every anchor of a group is asked for every class of the group, whichever
class it was made for (OpenPCDet's ``MULTI_CLASSES_NMS`` with separate heads; detection 4).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lima_bench.downstream.detection.boxes import FOOTPRINT, Detections
from lima_bench.downstream.detection.ranked import best_first, real
from lima_bench.downstream.detection.rotated import rotated_nms
from lima_bench.downstream.detection.second.anchors import AnchorGrid
from lima_bench.downstream.detection.second.code import decode
from lima_bench.downstream.detection.second.maps import Group, Read
from lima_bench.downstream.detection.second.settings import SecondSettings
from lima_bench.lima.losses import widen


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
    found = best_first(
        [
            _of_class(group, read, number, frame, anchors, settings)
            for group, read in groups
            for number in range(len(group.labels))
        ]
    )
    return Detections(found.boxes[:most], found.score[:most], found.label[:most])


def _of_class(
    group: Group,
    read: Read,
    number: int,
    frame: int,
    anchors: AnchorGrid,
    settings: SecondSettings,
) -> Detections:
    """What is found of one class of a group, best first."""
    score = widen(read.logits[frame, :, number]).sigmoid().flatten().float()
    at = (score >= settings.score).nonzero()[:, 0]
    at = at[score[at].argsort(descending=True, stable=True)[: settings.nms.before]]
    boxes = _boxes(group, read, frame, at, anchors)
    kept = real(boxes)
    boxes, score = boxes[kept], score[at[kept]]
    stay = rotated_nms(boxes[:, FOOTPRINT], score, settings.nms.iou, settings.nms.after)
    return Detections(boxes[stay], score[stay], torch.full_like(stay, group.labels[number]))


def _boxes(
    group: Group, read: Read, frame: int, at: Int[Tensor, " chosen"], anchors: AnchorGrid
) -> Float[Tensor, "chosen 9"]:
    """What chosen anchors of a group say, each in float32."""
    place = at + group.first_slot * len(anchors.y) * len(anchors.x)
    _, slot, row, column = anchors.places(place)
    code = read.codes[frame, slot - group.first_slot, :, row, column]
    return decode(code.double(), anchors.boxes(place)).float()
