"""What a training step changes: groups of parameters, each with its own largest learning rate.

Offers `Group`, `one_group`, `build_optimiser`, `set_learning_rates`, `set_momentum` and
`clip_gradients`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn
from torch.amp.grad_scaler import GradScaler
from torch.nn.utils import clip_grad_norm_
from torch.optim import SGD, Optimizer

from lima_bench.lima.adamw import LeanAdamW
from lima_bench.lima.recipes import Optimiser, Schedule
from lima_bench.lima.schedule import learning_rate, momentum


@dataclass(frozen=True)
class Group:
    """Parameters that share a learning rate.

    Attributes:
        name: For reports: ``backbone``, ``head``.
        parameters: The ones to train; frozen ones must be left out.
        lr: The schedule's largest rate for them.
    """

    name: str
    parameters: tuple[nn.Parameter, ...]
    lr: float


def one_group(module: nn.Module, lr: float) -> tuple[Group, ...]:
    """Every trainable parameter of `module` in a single group."""
    trainable = (parameter for parameter in module.parameters() if parameter.requires_grad)
    return (Group("all", tuple(trainable), lr),)


def build_optimiser(settings: Optimiser, groups: Sequence[Group]) -> Optimizer:
    """AdamW or SGD over `groups`; weight decay falls on every parameter, as published.

    Fused kernels: a small student's hundred tensors would cost milliseconds one by one.
    """
    entries = [{"params": list(group.parameters), "lr": group.lr} for group in groups]
    if settings.kind == "sgd":
        return SGD(
            entries,
            lr=settings.lr,
            momentum=settings.momentum,
            dampening=settings.dampening,
            weight_decay=settings.weight_decay,
            fused=True,
        )
    return LeanAdamW(
        entries,
        lr=settings.lr,
        betas=settings.betas,
        eps=settings.eps,
        weight_decay=settings.weight_decay,
        fused=True,
    )


def set_learning_rates(
    optimiser: Optimizer,
    groups: Sequence[Group],
    schedule: Schedule,
    step: int,
    *,
    total_steps: int,
    steps_per_epoch: int,
) -> dict[str, float]:
    """Give every group its rate for `step`; returns them by ``lr_<group>``."""
    rates = {}
    for entry, group in zip(optimiser.param_groups, groups, strict=True):
        entry["lr"] = learning_rate(
            schedule, group.lr, step, total_steps=total_steps, steps_per_epoch=steps_per_epoch
        )
        rates[f"lr_{group.name}"] = entry["lr"]
    return rates


def set_momentum(
    optimiser: Optimizer, schedule: Schedule, step: int, *, total_steps: int
) -> float | None:
    """Give every group its momentum, or first beta, for `step`; None where none is scheduled."""
    value = momentum(schedule, step, total_steps=total_steps)
    if value is not None:
        for entry in optimiser.param_groups:
            if "betas" in entry:
                entry["betas"] = (value, entry["betas"][1])
            else:
                entry["momentum"] = value
    return value


def clip_gradients(optimiser: Optimizer, most: float, scaler: GradScaler | None) -> None:
    """Scale all gradients of `optimiser` down to the joint length `most`, if they are longer.

    Not by ``Fabric.clip_gradients``: in half precision it refuses fused optimisers, because they
    can unscale by themselves, though torch's scaler knows when that was done before. Gradients that
    overflow are no error: the scaler leaves out the step.

    Args:
        optimiser: After the backward pass; with gradients averaged over ranks.
        most: The length.
        scaler: That multiplied the loss, where one did.
    """
    if scaler is not None:
        scaler.unscale_(optimiser)
    parameters = [p for entry in optimiser.param_groups for p in entry["params"]]
    clip_grad_norm_(parameters, most)
