"""What segmentation learns from: cross-entropy and Lovasz-softmax over the points with a label.

Offers `segmentation_loss`.
"""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from lima_bench.datasets.sample import IGNORE
from lima_bench.downstream.lovasz import lovasz_softmax
from lima_bench.lima.loss import Loss


def segmentation_loss(
    logits: Float[Tensor, "points classes"],
    labels: Int[Tensor, " points"],
    *,
    ce_weight: float,
    lovasz_weight: float,
) -> Loss:
    """Both terms over the points that are not ignored; 0 with a zero gradient if all are.

    Computed in float32 at least, whatever the precision of the network.

    Args:
        logits: Scores.
        labels: Train ids, `IGNORE` where there is nothing to learn.
        ce_weight: Of the cross-entropy, a mean over points.
        lovasz_weight: Of the Lovasz-softmax, a mean over the classes present.
    """
    kept = labels != IGNORE
    scores, truth = logits[kept], labels[kept]
    scores = scores if scores.element_size() > 4 else scores.float()
    if len(truth) == 0:
        nothing = scores.sum() * 0
        return Loss(ce=nothing, lovasz=nothing)
    log_probabilities = functional.log_softmax(scores, dim=1)
    return Loss(
        ce=ce_weight * functional.nll_loss(log_probabilities, truth),
        lovasz=lovasz_weight * lovasz_softmax(log_probabilities.exp(), truth),
    )
