"""What CenterPoint's maps say: maps of a group -> peaks -> boxes -> those that NMS leaves.

Offers `found_in`. Without picking local maxima: what the neighbours of a peak say is left to NMS
(detection 3.5).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lima_bench.downstream.detection.boxes import FOOTPRINT, Detections
from lima_bench.downstream.detection.centerpoint.code import BRANCHES, decode
from lima_bench.downstream.detection.centerpoint.settings import CenterPointSettings
from lima_bench.downstream.detection.head import MapGrid
from lima_bench.downstream.detection.ranked import real
from lima_bench.downstream.detection.rotated import circle_nms, rotated_nms
from lima_bench.lima.losses import widen


def found_in(
    maps: dict[str, Float[Tensor, "channels rows columns"]],
    group: int,
    labels: Sequence[int],
    grid: MapGrid,
    settings: CenterPointSettings,
) -> Detections:
    """Boxes of one group of classes in one frame, best first, equal ones in the order of cells.

    Boxes that are no boxes are dropped with those outside `settings.centre_m`: where a logarithm
    that the network gave for a size is beyond what float32 can hold.

    Args:
        maps: ``heatmap`` and `BRANCHES`, raw.
        group: Number of the group: which of the thresholds of circle NMS it has.
        labels: Of its classes.
        grid: Where the maps lie.
        settings: Of the head.
    """
    score, channel, row, column = _peaks(maps["heatmap"], settings)
    code = torch.cat([widen(maps[name])[:, row, column].T for name in BRANCHES], 1)
    boxes = decode(code, row, column, grid)
    kept = real(boxes) & (boxes[:, :3].abs() <= boxes.new_tensor(settings.centre_m)).all(1)
    label = channel.new_tensor(labels)[channel]
    boxes, score, label = (one[kept] for one in (boxes, score, label))
    stay = _thinned(boxes, score, group, settings)
    return Detections(boxes[stay], score[stay], label[stay])


def _peaks(
    logits: Float[Tensor, "classes rows columns"], settings: CenterPointSettings
) -> tuple[
    Float[Tensor, " peaks"], Int[Tensor, " peaks"], Int[Tensor, " peaks"], Int[Tensor, " peaks"]
]:
    """Score, class, row and column of the best cells.

    The best of each class and then of these, as published, are the best of all.
    """
    score = widen(logits).sigmoid().flatten()
    cell = (score > settings.score).nonzero()[:, 0]
    order = score[cell].argsort(descending=True, stable=True)
    cell = cell[order[: settings.best]]
    _, n_rows, n_columns = logits.shape
    channel, rest = cell // (n_rows * n_columns), cell % (n_rows * n_columns)
    return score[cell], channel, rest // n_columns, rest % n_columns


def _thinned(
    boxes: Float[Tensor, "found 9"],
    score: Float[Tensor, " found"],
    group: int,
    settings: CenterPointSettings,
) -> Int[Tensor, " kept"]:
    """Rows that NMS leaves, best first."""
    nms = settings.nms
    boxes, score = boxes[: nms.before], score[: nms.before]
    if nms.kind == "circle":
        return circle_nms(boxes[:, :2], score, nms.squared_m[group], nms.after)
    return rotated_nms(boxes[:, FOOTPRINT], score, nms.iou, nms.after)
