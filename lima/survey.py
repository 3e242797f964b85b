"""Calm passes over the data set in the middle of training: source -> batches -> method.

A method may have a static ``survey_every(settings) -> float | None`` (share of the run) and
``survey(batches)``. Before each step at which a survey is due, it is handed batches that are not
augmented, in eval mode and without gradients. What it finds belongs into buffers, so that a run
which is taken up again knows it. Offers `n_due`, `Survey`, `RollCall` (every frame once) and `calm`
(a recipe without chance).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

from lima_bench.datasets.sample import Int64
from lima_bench.lima.loading import batches_from
from lima_bench.lima.order import Share
from lima_bench.lima.recipes import Augmentation, ImageAugmentation, PretrainRecipe
from lima_bench.lima.tree import to_device

_SLACK = 1e-9
"""Shares such as 0.1 are no exact numbers: 0.3 / 0.1 must count as 3."""


def n_due(step: int, total_steps: int, every: float) -> int:
    """How many surveys belong before `step`, counted from 0, of a run of `total_steps`.

    The first is due after the share `every` of the run, never at its beginning.
    """
    return int(step / total_steps / every + _SLACK)


@dataclass(frozen=True)
class RollCall:
    """Every frame once: the order of a survey's batches; the last one may be smaller.

    Attributes:
        n_frames: Frames to choose from.
        share: How they are dealt out.
        limit: Look at so many at most, evenly spread; None: at all.
    """

    n_frames: int
    share: Share
    limit: int | None = None
    _ours: Int64 = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Choose this rank's frames."""
        n_seen = min(self.limit or self.n_frames, self.n_frames)
        chosen = np.arange(n_seen) * self.n_frames // n_seen
        object.__setattr__(self, "_ours", chosen[self.share.rank :: self.share.world_size])

    @property
    def steps_per_epoch(self) -> int:
        """Batches of this rank."""
        return -(-len(self._ours) // self.share.batch_size)

    def frames_of(self, step: int) -> Int64:
        """Numbers of the frames of this rank's batch."""
        first = step * self.share.batch_size
        frames: Int64 = self._ours[first : first + self.share.batch_size]
        return frames


def calm(recipe: PretrainRecipe) -> PretrainRecipe:
    """The recipe without augmentation; a teacher that runs in the step sees whole images."""
    still = Augmentation(rotation_deg=0.0, flip_probability=0.0, scale=(1.0, 1.0))
    images = None if recipe.images is None else ImageAugmentation()
    return recipe.model_copy(update={"augmentation": still, "images": images})


@dataclass(frozen=True)
class Survey:
    """When a method looks over the data set, and at what.

    Attributes:
        method: Who looks.
        every: Share of the run between two surveys.
        total_steps: Of the run.
        batches: This rank's batches, each frame once.
        n_batches: How many.
        workers: Loading processes.
    """

    method: nn.Module
    every: float
    total_steps: int
    batches: Dataset[Any]
    n_batches: int
    workers: int = 0

    def __call__(self, done: int) -> None:
        """Hold the survey that belongs between step ``done - 1`` and step `done`, if one does."""
        due, earlier = (n_due(n, self.total_steps, self.every) for n in (done, done - 1))
        if earlier < due and done < self.total_steps:
            self.hold()

    def hold(self) -> None:
        """Let the method look at every batch; nothing but its buffers changes."""
        was_training = self.method.training
        self.method.eval()
        try:
            with torch.no_grad():
                look: Any = self.method.survey
                look(self._shown())
        finally:
            self.method.train(was_training)

    def _shown(self) -> Iterator[Any]:
        device = next(self.method.parameters()).device
        for batch in batches_from(self.batches, range(self.n_batches), self.workers):
            yield to_device(batch, device)
