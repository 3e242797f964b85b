"""The objects of all frames of a batch as one table: truth -> `Stacked` -> targets of a head.

Offers `Stacked` and `stacked`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lima_bench.common.errors import UserError
from lima_bench.downstream.detection.boxes import Truth
from lima_bench.lima.losses import widen


@dataclass(frozen=True)
class Stacked:
    """Objects, frame after frame.

    Attributes:
        boxes: `lima_bench.downstream.detection.boxes.COLUMNS`, at least in float32.
        label: Class by the card's `detection`.
        frame: Number of its frame in the batch.
    """

    boxes: Float[Tensor, "objects 9"]
    label: Int[Tensor, " objects"]
    frame: Int[Tensor, " objects"]


def stacked(truth: Sequence[Truth]) -> Stacked:
    """The objects of at least one frame.

    Raises:
        UserError: A box has a number that is none; velocities may be NaN.
    """
    boxes = torch.cat([widen(one.boxes) for one in truth])
    label = torch.cat([one.label for one in truth])
    sizes = label.new_tensor([len(one.label) for one in truth])
    frames = torch.arange(len(truth), device=label.device)
    frame = frames.repeat_interleave(sizes, output_size=len(label))
    broken = ~boxes[:, :7].isfinite().all(1) | boxes[:, 7:].isinf().any(1)
    if bool(broken.any()):
        row = int(broken.nonzero()[0, 0])
        numbers = ", ".join(f"{number:g}" for number in boxes[row].tolist())
        raise UserError(
            f"truth: frame {int(frame[row])} of a batch",
            f"A box has a number that is none: {numbers}.",
            "Mend the annotation, or remove it; velocities may be NaN where they are unknown.",
        )
    return Stacked(boxes, label, frame)
