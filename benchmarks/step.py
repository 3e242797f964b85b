"""One pretraining step of the small student: how much of it is neither convolution nor loss.

Offers `rows`. The real loop (`lima.loop.fit`) runs at the embedded profile's sizes over batches
that are loaded beforehand, kernel maps included, as loading processes do in a table. Convolutions
are timed inside the engine, those of kernel 1 beside it, and losses in `lima.projection`, which
computes head and distance in one, both forward and backward (`benchmarks.stopwatch`); everything
else counts as outside: features of pixels, the memory, normalisation, gradients' bookkeeping,
optimiser.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from benchmarks.contenders import our_engine
from benchmarks.rows import Row, Sample
from benchmarks.stopwatch import Stopwatch, TimedEngine
from benchmarks.streets import Inputs, lesson_inputs
from lima_bench.lima.api import load_method
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
from lima_bench.lima.projection import _Projected

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
    ticks = _watched(module, loaded, inputs)
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


class _Loaded(Dataset[Batch]):
    """Batches that lie in memory."""

    def __init__(self, batches: Sequence[Batch]) -> None:
        self.batches = batches

    def __getitem__(self, step: int) -> Batch:
        """The batch of `step`."""
        return self.batches[step]


def _watched(module: Any, loaded: Sequence[Batch], inputs: Inputs) -> list[_Clock]:
    """The clocks after every step but the first few."""
    convolutions, losses = Stopwatch(), Stopwatch()
    ticks: list[_Clock] = []

    def tick(_: int) -> None:
        now = time.process_time()
        ticks.append(_Clock(now, convolutions.seconds, losses.seconds))

    engine = TimedEngine(ENGINES.get(our_engine()), convolutions)
    _time_kernels_of_one(module.student, convolutions)
    with (
        tempfile.TemporaryDirectory() as folder,
        losses.inside(_Projected),
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
        raise RuntimeError("the method went past the timed convolutions or the timed loss")
    return ticks[WARM_UP - 1 :]


def _time_kernels_of_one(student: nn.Module, stopwatch: Stopwatch) -> None:
    """A convolution whose kernel is one cell runs outside the engine, as a matrix product."""
    for layer in student.modules():
        if isinstance(layer, nn.Linear):
            layer.forward = partial(_product, stopwatch, layer)  # type: ignore[method-assign]


def _product(stopwatch: Stopwatch, layer: nn.Linear, features: Tensor) -> Tensor:
    return stopwatch.call(F.linear, features, layer.weight)
