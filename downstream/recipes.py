"""How a checkpoint is asked: settings of linear probing and fine-tuning. Light: no torch."""

from __future__ import annotations

from typing import Literal

from lima_bench.lima.optimiser_settings import Rate
from lima_bench.lima.recipes import TrainSettings


class ScoredSettings(TrainSettings):
    """What every training run has that ends in a score.

    Attributes:
        head_lr: Learning rate of what was not pretrained; None uses the backbone's.
        report: Score of the ``last`` step, or the ``best`` seen on validation (test-set selection).
        evaluations: How often the validation set is scored during training, the end included.
    """

    head_lr: Rate | None = None
    report: Literal["last", "best"] = "last"
    evaluations: int = 1


class DownstreamRecipe(ScoredSettings):
    """Settings of a segmentation run.

    Attributes:
        ce_weight: Of the cross-entropy.
        lovasz_weight: Of the Lovasz-softmax term.
        lp_bn: BatchNorm of the frozen backbone in linear probing; published code of one family
            lets it drift (``train``).
        loss_on: ``voxels`` take the label of their first point; ``points`` use every label.
    """

    ce_weight: float = 1.0
    lovasz_weight: float = 1.0
    lp_bn: Literal["eval", "train"] = "eval"
    loss_on: Literal["voxels", "points"] = "voxels"
