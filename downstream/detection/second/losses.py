"""The two losses of SECOND: maps and what each anchor learns -> one number each.

Offers `classification_loss` and `box_loss`, and what they sum: `sigmoid_focal` and `code_distance`.
Half precision is widened to float32. Every map gets a gradient, though it may be 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from lima_bench.downstream.detection.second.anchors import AnchorGrid
from lima_bench.downstream.detection.second.assign import Assignment
from lima_bench.downstream.detection.second.code import encode
from lima_bench.downstream.detection.second.maps import Group, Read
from lima_bench.downstream.detection.second.settings import SecondSettings
from lima_bench.lima.losses import widen


def classification_loss(
    read: Sequence[tuple[Group, Read]],
    lesson: Assignment,
    share: Float[Tensor, " frames"],
    anchors: AnchorGrid,
    settings: SecondSettings,
) -> Float[Tensor, ""]:
    """The focal loss of every score of every anchor that is not ignored.

    An anchor that learns an object is to say yes to its own class and no to the others of its
    group; the rest is to say no to all, with the weight of the background.

    Args:
        read: Groups with their maps.
        lesson: What the anchors learn.
        share: By what each frame's sum is multiplied.
        anchors: Of a frame.
        settings: Weights.
    """
    n_anchors = len(share) * anchors.n_anchors
    positive = torch.zeros(n_anchors, dtype=torch.bool, device=share.device)
    positive[lesson.positive] = True
    weight = share.new_full((n_anchors,), settings.background_weight)
    weight[lesson.positive], weight[lesson.ignored] = 1.0, 0.0
    positive = positive.view(-1, *anchors.shape)
    weight = weight.view(-1, *anchors.shape) * share[:, None, None, None]
    terms = []
    for group, maps in read:
        own = group.own(share.device)[None, :, :, None, None]
        target = positive[:, group.slots, None] & own
        each = sigmoid_focal(maps.logits, target, settings.alpha, settings.gamma)
        terms.append((each * weight[:, group.slots, None].to(each.dtype)).sum())
    return torch.stack(terms).sum()


def box_loss(
    read: Sequence[tuple[Group, Read]],
    lesson: Assignment,
    share: Float[Tensor, " frames"],
    anchors: AnchorGrid,
    boxes: Float[Tensor, "objects 9"],
    settings: SecondSettings,
) -> Float[Tensor, ""]:
    """The L1 distance of the codes of anchors that learn an object.

    Args:
        read: Groups with their maps.
        lesson: What the anchors learn.
        share: By what each frame's sum is multiplied.
        anchors: Of a frame.
        boxes: The objects.
        settings: Weights.
    """
    target = encode(boxes[lesson.object].double(), anchors.boxes(lesson.positive))
    frame, slot, row, column = anchors.places(lesson.positive)
    terms = []
    for group, maps in read:
        at = group.rows(slot)
        code = maps.codes[frame[at], slot[at] - group.first_slot, :, row[at], column[at]]
        each = code_distance(code, target[at], settings.velocity_weight)
        terms.append((each * share[frame[at]].to(each.dtype)).sum())
    return settings.box_weight * torch.stack(terms).sum()


def sigmoid_focal(
    logits: Float[Tensor, "*shape"], target: Bool[Tensor, "*shape"], alpha: float, gamma: float
) -> Float[Tensor, "*shape"]:
    """The focal loss of every yes-or-no question (Lin et al., ICCV 2017, equation 5).

    ``-alpha (1 - p)^gamma log p`` where the answer is yes, ``-(1 - alpha) p^gamma log(1 - p)``
    where it is no, with p the sigmoid of the logit.
    """
    logits = widen(logits)
    wrong = torch.where(target, -logits, logits)  # the logit of the false answer
    weight = torch.where(target, alpha, 1 - alpha)
    return weight * wrong.sigmoid().pow(gamma) * functional.softplus(wrong)


def code_distance(
    predicted: Float[Tensor, "boxes 10"],
    target: Float[Tensor, "boxes 10"],
    velocity_weight: float,
) -> Float[Tensor, " boxes"]:
    """The sum of absolute errors of a code; where the target is NaN, nothing is asked."""
    predicted = widen(predicted)
    known = ~target.isnan()
    weight = known.to(predicted.dtype)
    weight[:, 8:] *= velocity_weight
    error = predicted - target.nan_to_num().to(predicted.dtype)
    return (weight * error.abs()).sum(1)
