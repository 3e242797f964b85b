"""What linear probing and fine-tuning share: train on a label share, score on validation.

Offers `Trial` and `train_and_score`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from lima_bench.common.errors import UserError
from lima_bench.common.progress import Report
from lima_bench.common.seeds import derive_seed
from lima_bench.datasets.sample import Source
from lima_bench.downstream.corrupted import with_corrupted
from lima_bench.downstream.data import LabelledBatch, TrainBatches
from lima_bench.downstream.evaluate import evaluate
from lima_bench.downstream.losses import segmentation_loss
from lima_bench.downstream.recipes import DownstreamRecipe
from lima_bench.downstream.scored_run import fit_and_score
from lima_bench.downstream.scores.result import Scores
from lima_bench.downstream.segment import Backing, Segmenter, load_segmenter
from lima_bench.lima import ranks
from lima_bench.lima.loss import Loss
from lima_bench.lima.optimise import Group
from lima_bench.lima.order import Share, Shuffled
from lima_bench.lima.recipes import StudentSettings


@dataclass(frozen=True)
class Trial:
    """One downstream run.

    Attributes:
        checkpoint: What `lima_bench.lima.checkpoint.save_student` wrote.
        student: The network in it, and its input.
        recipe: How training is done.
        train: The label share.
        val: The validation frames.
        seed: Of everything random.
        folder: State of an interrupted run.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        workers: Loading processes per device.
        corrupted: Corrupted copies of the validation frames, scored beside them.
    """

    checkpoint: Path
    student: StudentSettings
    recipe: DownstreamRecipe
    train: Source
    val: Source
    seed: int
    folder: Path
    device: str = "cpu"
    workers: int = 0
    corrupted: Source | None = None


class Task(nn.Module):
    """A segmenter with the loss it learns from."""

    def __init__(self, segmenter: Segmenter, recipe: DownstreamRecipe) -> None:
        super().__init__()
        self.segmenter, self.recipe = segmenter, recipe

    def forward(self, batch: LabelledBatch) -> Loss:
        """Loss over voxels, which take the label of their first point, or over points."""
        voxels, labels = batch.voxels, batch.labels
        scores, readout = self.segmenter(voxels), self.segmenter.backbone.readout(voxels)
        if self.recipe.loss_on == "points":
            scores = readout.read(scores, torch.arange(len(labels), device=labels.device))
        else:
            labels = labels[voxels.first]
            # Scores of voxels stand in their order already, those of a map do not.
            if readout.one_cell(voxels.first) is None:
                scores = readout.read(scores, voxels.first)
        return segmentation_loss(
            scores,
            labels,
            ce_weight=self.recipe.ce_weight,
            lovasz_weight=self.recipe.lovasz_weight,
        )


def segmenter_of(trial: Trial, backing: Backing) -> Segmenter:
    """The trial's backbone under a fresh head.

    Raises:
        UserError: The checkpoint does not fit, or train and val have other classes.
    """
    classes = trial.train.card.class_names
    for scored in filter(None, (trial.val, trial.corrupted)):
        if classes != scored.card.class_names:
            raise UserError(
                f"{trial.train.card.name} and {scored.card.name}",
                "They have other classes, so what is learnt on one cannot be scored on the other.",
                "Train and validate on the same data set.",
            )
    return load_segmenter(
        trial.checkpoint,
        trial.student,
        len(classes),
        bn_momentum=trial.recipe.bn_momentum,
        backing=backing,
        seed=trial.seed,
    )


def train_and_score(
    trial: Trial, segmenter: Segmenter, groups: Sequence[Group], report: Report
) -> Scores:
    """Train `groups` of `segmenter` and score it, on each rank; all return the same.

    Raises:
        UserError: A frame cannot be learnt from or scored, or the loss is not finite.
    """
    recipe = trial.recipe
    share = Share(recipe.batch_size, ranks.rank(), ranks.world_size())
    order = Shuffled(len(trial.train.frames), share, derive_seed(trial.seed, "order"))
    batches = TrainBatches(
        trial.train,
        trial.student,
        recipe.augmentation,
        order,
        seed=trial.seed,
        rank=share.rank,
        with_maps=torch.device(trial.device).type == "cpu",
    )
    return fit_and_score(
        trial,
        segmenter,
        Task(segmenter, recipe),
        batches,
        order,
        groups,
        metric="miou",
        score=lambda _, counts: _score(trial, segmenter, counts=counts),
        report=report,
    )


def _score(trial: Trial, segmenter: Segmenter, *, counts: bool) -> Scores:
    """Validation, and its corrupted copies where this may be the score that counts."""

    def on(source: Source) -> Scores:
        return evaluate(
            segmenter,
            source,
            trial.student,
            batch_size=trial.recipe.batch_size,
            workers=trial.workers,
        )

    clean = on(trial.val)
    if trial.corrupted is None or not counts:
        return clean
    return with_corrupted(clean, on(trial.corrupted))
