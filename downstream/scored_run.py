"""Training that ends in a score, whatever is asked: fit -> evaluate -> `Scores` with its history.

Offers `fit_and_score` and `Asked`, what it has to know of a run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from torch import nn
from torch.utils.data import Dataset

from lima_bench.common.hashing import digest
from lima_bench.common.progress import Report
from lima_bench.datasets.sample import Source
from lima_bench.downstream.evaluations import Evaluations
from lima_bench.downstream.recipes import ScoredSettings
from lima_bench.downstream.scores.result import Scores
from lima_bench.lima.checkpoint import read_meta, weights_digest
from lima_bench.lima.loop import fit
from lima_bench.lima.optimise import Group
from lima_bench.lima.order import Order
from lima_bench.lima.schedule import n_steps


class Asked(Protocol):
    """A run: `lima_bench.downstream.training.Trial`, `lima_bench.downstream.detect.Trial`."""

    @property
    def checkpoint(self) -> Path:
        """The pretrained student."""

    @property
    def recipe(self) -> ScoredSettings:
        """How it is trained, and how often scored."""

    @property
    def train(self) -> Source:
        """The label share."""

    @property
    def val(self) -> Source:
        """The validation frames."""

    @property
    def seed(self) -> int:
        """Of everything random."""

    @property
    def folder(self) -> Path:
        """State of an interrupted run."""

    @property
    def device(self) -> str:
        """``cpu``, ``cuda`` or ``cuda:N``."""

    @property
    def workers(self) -> int:
        """Loading processes per device."""


def fit_and_score(
    asked: Asked,
    network: nn.Module,
    module: nn.Module,
    batches: Dataset[Any],
    order: Order,
    groups: Sequence[Group],
    *,
    metric: str,
    score: Callable[[int, bool], Scores],
    report: Report,
) -> Scores:
    """Train, score when it is time, and return the score that counts with how it came about.

    Args:
        asked: The run.
        network: Whose weights the result is about.
        module: ``module(batch) -> Loss``; holds the network.
        batches: What it learns from.
        order: Of those batches.
        groups: What is trained, and how fast.
        metric: By which scores are compared where the best counts.
        score: See `Evaluations`.
        report: Hears of every step.

    Raises:
        UserError: A loss term is not finite, or the state belongs to another run.
    """
    recipe = asked.recipe
    steps = n_steps(recipe.length, order.steps_per_epoch)
    evaluations = Evaluations(recipe, steps=steps, metric=metric, folder=asked.folder, score=score)
    history = fit(
        module,
        batches,
        recipe,
        groups=groups,
        total_steps=steps,
        steps_per_epoch=order.steps_per_epoch,
        folder=asked.folder,
        seed=asked.seed,
        report=report,
        observe=evaluations.observe,
        device=asked.device,
        workers=asked.workers,
    )
    step, scores = evaluations.reported()
    details = {
        **scores.details,
        "reported_step": step,
        "steps": steps,
        "evaluations": evaluations.course(),
        "final_terms": history.tail(),
        "train_frames": len(asked.train.frames),
        "val_frames": len(asked.val.frames),
        "label_share_digest": digest([frame.id for frame in asked.train.frames]),
        "checkpoint_digest": read_meta(asked.checkpoint)["digest"],
        "weights_digest": weights_digest(network.state_dict()),
    }
    return Scores(scores.scores, details)
