"""How a checkpoint is asked: settings of linear probing and fine-tuning. Light: no torch."""

from __future__ import annotations

from typing import Literal

from lima_bench.lima.recipes import TrainSettings


class DownstreamRecipe(TrainSettings):
    """Settings of a downstream run.

    Attributes:
        head_lr: Learning rate of the new head; None uses the backbone's.
        ce_weight: Of the cross-entropy.
        lovasz_weight: Of the Lovasz-softmax term.
        lp_bn: BatchNorm of the frozen backbone in linear probing; published code of one family
            lets it drift (``train``).
        report: Score of the ``last`` step, or the ``best`` seen on validation (test-set selection).
        evaluations: How often the validation set is scored during training, the end included.
        loss_on: ``voxels`` take the label of their first point; ``points`` use every label.
    """

    head_lr: float | None = None
    ce_weight: float = 1.0
    lovasz_weight: float = 1.0
    lp_bn: Literal["eval", "train"] = "eval"
    report: Literal["last", "best"] = "last"
    evaluations: int = 1
    loss_on: Literal["voxels", "points"] = "voxels"
