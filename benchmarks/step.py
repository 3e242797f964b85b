"""One pretraining step of the small student: how much of it is neither convolution nor loss.

Offers `rows`. The real loop (`lima.loop.fit`) runs at the embedded profile's sizes over batches
that are loaded beforehand, kernel maps included, as loading processes do in a table. Convolutions
are timed inside the engine, the loss in `lima.projection.projected_distances`, which computes the
head together with it, both forward and backward (`benchmarks.stopwatch`). The shortcuts' kernels of
1 are convolutions like all others, although a matrix product computes them. Everything else counts
as outside: features of pixels, targets, normalisation, bookkeeping of gradients, optimiser.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

from torch import Tensor, nn
from torch.utils.data import Dataset

from benchmarks.contenders import our_engine
from benchmarks.rows import Row, Sample
from benchmarks.stopwatch import Stopwatch, TimedEngine
from benchmarks.streets import Inputs, lesson_inputs
from lima_bench.lima.api import load_method
from lima_bench.lima.backbones.minkunet import Pointwise
from lima_bench.lima.backbones.sparse import layers
from lima_bench.lima.backbones.sparse.engine import ENGINES
from lima_bench.lima.batch import Batch
from lima_bench.lima.batching import ImageInputs, Planner, PretrainBatches
from lima_bench.lima.features import CachedTeacher, Grids
from lima_bench.lima.loop import fit
from lima_bench.lima.methods.catalogue import METHODS
from lima_bench.lima.optimise import one_group
from lima_bench.lima.order import Share, make_order
from lima_bench.lima.pretrain import new_student
from lima_bench.lima.projection import projected_distances

TARGET = 0.25
WARM_UP = 3
METHODS_MEASURED = ("scalr", "lima")


def rows(quick: bool) -> list[Row]:
    """Per method the share outside, and what a batch costs to load beside it."""
    inputs = lesson_inputs(quick)
    return [
        row for method in METHODS_MEASURED for row in _rows_of(method, inputs, 4 if quick else 30)
    ]


@dataclass(frozen=True)
class _Clock:
    """CPU seconds at the end of a step: of the process, inside convolutions, inside losses."""

    whole: float
    convolutions: float
    losses: float


def _rows_of(method: str, inputs: Inputs, n_steps: int) -> list[Row]:
    module, planned = _taught(method, inputs)
    started = time.process_time()
    loaded = [planned[step] for step in range(n_steps)]
    load_ms = (time.process_time() - started) / n_steps * 1e3
    ticks = _watched(method, module, loaded, inputs)
    spans = [
        (b.whole - a.whole, b.convolutions - a.convolutions, b.losses - a.losses)
        for a, b in pairwise(ticks)
    ]
    outside = Sample(tuple(1 - (conv + loss) / whole for whole, conv, loss in spans))
    whole, conv, loss = (Sample(part).median * 1e3 for part in zip(*spans, strict=True))
    note = (
        f"step {whole:.1f} ms of CPU, convolutions {conv:.1f}, losses {loss:.1f}, {our_engine()}; "
        f"timed inside the real loop, batch of {inputs.recipe.batch_size}, loaded before"
    )
    loading = f"{load_ms:.1f} ms of CPU a batch, first reading of its files included"
    return [
        Row.of(f"step/{method}/share outside", outside, "of step", at_most=TARGET, note=note),
        Row.of(f"step/{method}/loading", load_ms / whole, "of step", note=loading),
    ]


def _taught(method: str, inputs: Inputs) -> tuple[nn.Module, PretrainBatches]:
    """The method around a new student, and its batches."""
    card, recipe = METHODS.get(method), inputs.recipe
    made, settings = load_method(card), card.settings()
    grids = Grids.open(inputs.grids)
    standardised = recipe.teacher_features == "standardised"
    student = new_student(inputs.student, bn_momentum=recipe.bn_momentum, seed=0)
    module = made(settings, CachedTeacher.of(grids, standardised=standardised), student)
    order = make_order(card.order, inputs.source.frames, Share(recipe.batch_size), 0)
    images = ImageInputs(grids=grids)
    planner = Planner(made, settings)
    batches = PretrainBatches(
        inputs.source, inputs.student, recipe, planner, images, order, seed=0, with_maps=True
    )
    return module, batches


@dataclass(frozen=True)
class _Head:
    """What a loss wants of a linear layer."""

    weight: Tensor
    bias: Tensor


def _timed_distances(stopwatch: Stopwatch, features: Tensor, *others: Any) -> Tensor:
    """`projected_distances`: differentiable in the features and in the head among `others`."""
    at = next(place for place, one in enumerate(others) if isinstance(one, nn.Linear))
    before, head, after = others[:at], others[at], others[at + 1 :]
    loss: Callable[..., Tensor] = projected_distances

    def distances(features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return loss(features, *before, _Head(weight, bias), *after)

    return stopwatch.call(distances, features, head.weight, head.bias)


class _TimedKernelOfOne(nn.Module):
    """A shortcut's convolution, timed."""

    def __init__(self, linear: nn.Linear, stopwatch: Stopwatch) -> None:
        super().__init__()
        self.linear, self.stopwatch = linear, stopwatch

    def forward(self, features: Tensor) -> Tensor:
        """As the convolution inside, which has no bias."""
        return self.stopwatch.call(nn.functional.linear, features, self.linear.weight)


class _Loaded(Dataset[Batch]):
    """Batches that lie in memory."""

    def __init__(self, batches: Sequence[Batch]) -> None:
        self.batches = batches

    def __getitem__(self, step: int) -> Batch:
        """The batch of `step`."""
        return self.batches[step]


def _watched(
    method: str, module: nn.Module, loaded: Sequence[Batch], inputs: Inputs
) -> list[_Clock]:
    """The clocks after every step but the first few."""
    convolutions, losses = Stopwatch(), Stopwatch()
    ticks: list[_Clock] = []

    def tick(_: int) -> None:
        now = time.process_time()
        ticks.append(_Clock(now, convolutions.seconds, losses.seconds))

    for part in module.modules():
        if isinstance(part, Pointwise):
            part.linear = _TimedKernelOfOne(part.linear, convolutions)
    engine = TimedEngine(ENGINES.get(our_engine()), convolutions)
    loss = f"lima_bench.lima.methods.{method}.projected_distances"
    with (
        tempfile.TemporaryDirectory() as folder,
        patch(loss, partial(_timed_distances, losses)),
        patch(f"{layers.__name__}.engine_on", lambda _: engine),
    ):
        fit(
            module,
            _Loaded(loaded),
            inputs.recipe,
            groups=one_group(module, inputs.recipe.optimiser.lr),
            total_steps=len(loaded),
            steps_per_epoch=len(loaded),
            folder=Path(folder),
            seed=0,
            observe=tick,
        )
    if not (convolutions.seconds and losses.seconds):
        raise RuntimeError(f"{method} went past the timed convolutions or the timed loss")
    return ticks[WARM_UP - 1 :]
