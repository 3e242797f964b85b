"""The loss of heat maps: centres are rare, and cells beside one are hardly wrong.

Offers `centre_focal_loss`.
"""

from __future__ import annotations

import math

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from lima_bench.lima.losses import full_precision, widen

ALPHA, BETA = 2, 4
"""Exponents on the error of the prediction, and on 1 - target where there is no centre."""

CLIP = 1e-4
"""Predictions are taken no nearer to 0 or 1 than this, and learn nothing there."""

_FARTHEST = math.log((1 - CLIP) / CLIP)


def centre_focal_loss(
    logits: Float[Tensor, "frames classes rows columns"],
    target: Float[Tensor, "frames classes rows columns"],
) -> Float[Tensor, ""]:
    """CornerNet's focal loss: summed over all cells, divided by the number of centres or 1.

    Source: Law and Deng, ECCV 2018, equation 1; the clipping is CenterPoint's (detection 3.4).

    Args:
        logits: Before the sigmoid; computed at least in float32.
        target: 1 at centres, in 0..1 elsewhere.
    """
    with full_precision(logits.device):
        # The same as clipping probabilities, without the digits that 1 - p loses near 1.
        clipped = widen(logits).clamp(-_FARTHEST, _FARTHEST)
        centre = target == 1
        present = clipped.neg().sigmoid().pow(ALPHA) * F.logsigmoid(clipped)
        absent = clipped.sigmoid().pow(ALPHA) * F.logsigmoid(-clipped) * (1 - target).pow(BETA)
        total = present.where(centre, absent).sum()
        return -total / centre.sum().clamp(min=1)
