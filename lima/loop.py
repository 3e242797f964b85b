"""The one training loop, upstream and downstream.  Batch -> module -> `Loss` -> weights.

Offers `fit`. What a run does is fixed by (seed, step, rank) alone: batches are indexed by step and
every step seeds torch anew, so a run that is stopped anywhere and taken up from its last state
ends with the same bits, with any number of loading workers. On the CPU the caller sets
``torch.set_num_threads(1)``: sums over threads would depend on their number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.wrappers import _FabricOptimizer
from torch import Tensor, nn
from torch.utils.data import Dataset

from lima_bench.common.errors import UserError
from lima_bench.common.progress import Report, silent
from lima_bench.common.seeds import derive_seed
from lima_bench.lima.device import deterministic, seed_torch, start_fabric, synchronised
from lima_bench.lima.loading import batches_from
from lima_bench.lima.optimise import (
    Group,
    build_optimiser,
    clip_gradients,
    set_learning_rates,
    set_momentum,
)
from lima_bench.lima.recipes import TrainSettings
from lima_bench.lima.resume import History, Run
from lima_bench.lima.tree import to_device


def fit(
    module: nn.Module,
    batches: Dataset[Any],
    settings: TrainSettings,
    *,
    groups: Sequence[Group],
    total_steps: int,
    steps_per_epoch: int,
    folder: Path,
    seed: int,
    report: Report = silent,
    observe: Callable[[int], None] | None = None,
    device: str = "cpu",
    workers: int = 0,
) -> History:
    """Train `module` in place for `total_steps`, going on from the state in `folder` if any.

    Args:
        module: ``module(batch) -> Loss``. State outside parameters and buffers belongs in its
            extra state (``get_extra_state``), as tensors and plain containers.
        batches: ``batches[step]`` is this rank's batch: a pure function of seed, step and rank.
        settings: Optimiser, schedule, precision and how often the state is written.
        groups: What to train and how fast.
        total_steps: Steps of the whole run.
        steps_per_epoch: For schedules that move once an epoch.
        folder: Where ``state.pt`` is kept until the caller, its result safe, calls `forget`.
        seed: Of everything random inside the module.
        report: Called after every step, on rank 0.
        observe: Called after every step, before its state is written, with the number of steps
            done; must leave the module as it found it, buffers aside.
        device: ``cpu``, ``cuda`` or ``cuda:N``. How many train together is this process's
            environment's affair: `ranks.run_on` and ``torchrun`` start one process per device.
        workers: Loading processes per rank; 0 loads in this one.

    Raises:
        UserError: A loss term is not finite, or the state belongs to another run.
    """
    fabric = start_fabric(settings.precision, device)
    if fabric.world_size > 1:
        module = synchronised(module, fabric.device)
    optimiser = build_optimiser(settings.optimiser, groups)
    model, stepper = fabric.setup(_Terms(module), optimiser)
    run = Run(fabric, module, optimiser, folder, seed, total_steps)
    start = run.resume()
    module.train()
    steps = range(start, total_steps)
    with deterministic(fabric.device):
        for step, batch in zip(steps, batches_from(batches, steps, workers), strict=True):
            seed_torch(derive_seed(seed, "step", step, fabric.global_rank), fabric.device)
            rates = set_learning_rates(
                optimiser,
                groups,
                settings.schedule,
                step,
                total_steps=total_steps,
                steps_per_epoch=steps_per_epoch,
            )
            set_momentum(optimiser, settings.schedule, step, total_steps=total_steps)
            box = _Box(to_device(batch, fabric.device))
            values = _step(fabric, model, stepper, box, step, settings.optimiser.clip_norm)
            run.history.add(values)
            done = step + 1
            if observe is not None:
                observe(done)
            if done % settings.checkpoint_steps == 0 or done == total_steps:
                run.save(done)
            if fabric.is_global_zero:
                report(done, total_steps, {**values, **rates})
    return run.history


class _Box:
    """Carries a batch through Fabric, which may not copy frozen dataclasses."""

    def __init__(self, batch: Any) -> None:
        self.batch = batch


class _Terms(nn.Module):
    """Gives Fabric a module whose output is a plain dict of tensors."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, box: _Box) -> dict[str, Tensor]:
        """The loss terms of one batch."""
        return dict(self.module(box.batch))


def _step(
    fabric: Fabric,
    model: nn.Module,
    optimiser: _FabricOptimizer,
    box: _Box,
    step: int,
    clip_norm: float | None,
) -> dict[str, float]:
    """One forward, backward and update; the terms' values, averaged over ranks."""
    terms: dict[str, Tensor] = model(box)
    total = torch.stack(list(terms.values())).sum()
    stacked = torch.stack([*terms.values(), total]).detach().double()
    values = dict(zip([*terms, "loss"], stacked.tolist(), strict=True))
    _must_be_finite(values, step)
    fabric.backward(total)
    if clip_norm is not None:
        scaler = getattr(fabric.strategy.precision, "scaler", None)
        clip_gradients(optimiser.optimizer, clip_norm, scaler)
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    if fabric.world_size == 1:
        return values
    mean: Any = fabric.all_reduce(stacked, reduce_op="mean")
    return dict(zip(values, mean.tolist(), strict=True))


def _must_be_finite(values: Mapping[str, float], step: int) -> None:
    for name, value in values.items():
        if not math.isfinite(value):
            raise UserError(
                f"training step {step}",
                f'The loss term "{name}" is {value}.',
                "Lower the recipe's learning rate, or train in precision 32-true.",
            )
