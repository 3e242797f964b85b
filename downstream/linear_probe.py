"""How much a frozen backbone knows: only a linear head is trained on it.

Offers `run`. The backbone's weights never change, and by default neither do the statistics of its
BatchNorm layers; ``lp_bn: train`` lets those drift, as one family of published code does.
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
    """Train a head on a frozen backbone and score it.

    Args:
        checkpoint: The pretrained student.
        student: The network in it, and its input.
        recipe: How training is done; the head learns at ``head_lr``, or at the optimiser's rate.
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
        segmenter = segmenter_of(trial, "frozen" if recipe.lp_bn == "eval" else "drifts")
        lr = recipe.optimiser.lr if recipe.head_lr is None else recipe.head_lr
        head = Group("head", tuple(segmenter.head.parameters()), lr)
        return train_and_score(trial, segmenter, (head,), report)

    return ranks.run_on(devices, work, report)
