"""How much a backbone helps when few labels are there: backbone and head are trained together.

Offers `run`. Backbone and head each keep their own learning rate all along.
"""

from __future__ import annotations

from pathlib import Path

from lima_bench.common.progress import Report, silent
from lima_bench.datasets.sample import Source
from lima_bench.downstream.recipes import DownstreamRecipe
from lima_bench.downstream.scores.result import Scores
from lima_bench.downstream.training import Trial, segmenter_of, train_and_score
from lima_bench.lima import ranks
from lima_bench.lima.optimise import Group
from lima_bench.lima.recipes import StudentSettings


def run(
    checkpoint: Path,
    student: StudentSettings,
    recipe: DownstreamRecipe,
    train: Source,
    val: Source,
    *,
    seed: int,
    folder: Path,
    report: Report = silent,
    device: str = "cpu",
    workers: int = 0,
    devices: int = 1,
    corrupted: Source | None = None,
) -> Scores:
    """Train backbone and head on a label share and score them.

    Args:
        checkpoint: The pretrained student; that of ``random`` makes the baseline.
        student: The network in it, and its input.
        recipe: How training is done; without ``head_lr`` the head learns as fast as the backbone.
        train: The label share.
        val: The validation frames.
        seed: Of the head's initial weights, the order and the augmentation.
        folder: State of an interrupted run, taken up if there; the caller removes it when the
            result is safe.
        report: Hears of every step.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        workers: Loading processes per device.
        devices: Devices of this machine that train together.
        corrupted: Corrupted copies of the validation frames: how robust the network is.

    Raises:
        UserError: An input is missing or broken, or the loss is not finite.
    """
    trial = Trial(checkpoint, student, recipe, train, val, seed, folder, device, workers, corrupted)

    def work(report: Report) -> Scores:
        segmenter = segmenter_of(trial, "learns")
        lr = recipe.optimiser.lr
        head_lr = lr if recipe.head_lr is None else recipe.head_lr
        groups = (
            Group("backbone", tuple(segmenter.backbone.parameters()), lr),
            Group("head", tuple(segmenter.head.parameters()), head_lr),
        )
        return train_and_score(trial, segmenter, groups, report)

    return ranks.run_on(devices, work, report)
