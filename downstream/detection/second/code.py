"""What SECOND regresses: ten numbers that say how a box differs from an anchor.

Offers `encode`, `decode` and `CODE`, the ten by branch of the head. An anchor is seven numbers: x,
y, z, length, width, height, yaw; it stands still. Shifts along x and y count in diagonals of the
anchor's base, along z in its height; sizes are logarithms of ratios; of the heading, cosine and
sine each are regressed as a difference, so that nothing is periodic and no direction classifier is
needed (OpenPCDet, pcdet/utils/box_coder_utils.py with angles by sine and cosine; detection 4).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

CODE: dict[str, int] = {"offset": 2, "height": 1, "size": 3, "angle": 2, "velocity": 2}
"""Numbers of each branch, in the order of the code."""

CODE_WIDTH = sum(CODE.values())


def encode(
    boxes: Float[Tensor, "boxes 9"], anchors: Float[Tensor, "boxes 7"]
) -> Float[Tensor, "boxes 10"]:
    """The code of each box beside its anchor.

    Args:
        boxes: `lima_bench.downstream.detection.boxes.COLUMNS`; sizes above 0. A velocity that is
            NaN stays NaN.
        anchors: Of the same type and device.
    """
    shift = (boxes[:, :3] - anchors[:, :3]) / _scale(anchors)
    ratio = (boxes[:, 3:6] / anchors[:, 3:6]).log()
    turn = _heading(boxes[:, 6]) - _heading(anchors[:, 6])
    return torch.cat((shift, ratio, turn, boxes[:, 7:9]), 1)


def decode(
    code: Float[Tensor, "boxes 10"], anchors: Float[Tensor, "boxes 7"]
) -> Float[Tensor, "boxes 9"]:
    """The boxes that codes mean; yaw in -pi..pi. Of any code: sizes may reach 0 or infinity."""
    middle = code[:, :3] * _scale(anchors) + anchors[:, :3]
    size = code[:, 3:6].exp() * anchors[:, 3:6]
    cosine, sine = (code[:, 6:8] + _heading(anchors[:, 6])).unbind(1)
    return torch.cat((middle, size, torch.atan2(sine, cosine)[:, None], code[:, 8:10]), 1)


def _scale(anchors: Float[Tensor, "boxes 7"]) -> Float[Tensor, "boxes 3"]:
    diagonal = torch.hypot(anchors[:, 3], anchors[:, 4])
    return torch.stack((diagonal, diagonal, anchors[:, 5]), 1)


def _heading(yaw: Float[Tensor, " boxes"]) -> Float[Tensor, "boxes 2"]:
    return torch.stack((yaw.cos(), yaw.sin()), 1)
