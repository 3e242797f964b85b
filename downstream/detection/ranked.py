"""What every head does with its candidates after decoding: drop what is no box, put best first.

Offers `real` and `best_first`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from lima_bench.downstream.detection.boxes import Detections


def real(boxes: Float[Tensor, "found 9"]) -> Bool[Tensor, " found"]:
    """Which boxes are boxes: all numbers finite, and a volume.

    A network that just began may say infinite or vanishing sizes, which no metric takes.
    """
    return boxes.isfinite().all(1) & (boxes[:, 3:6] > 0).all(1)


def best_first(parts: Sequence[Detections]) -> Detections:
    """What was found in all parts of a frame as one, sorted; equal scores in the order of parts."""
    score = torch.cat([one.score for one in parts])
    order = score.argsort(descending=True, stable=True)
    boxes, label = torch.cat([one.boxes for one in parts]), torch.cat([one.label for one in parts])
    return Detections(boxes[order], score[order], label[order])
