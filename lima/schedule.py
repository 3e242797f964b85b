"""Learning rate and momentum of every step, as pure functions: no state to save, none to lose.

Offers `learning_rate`, `momentum` and `n_steps`. Each parameter group keeps its own peak; published
one-cycle runs overwrote the head's by the backbone's, ours do not.
"""

from __future__ import annotations

import math

from lima_bench.common.errors import UserError
from lima_bench.lima.recipes import Length, Schedule


def n_steps(length: Length, steps_per_epoch: int) -> int:
    """Steps of a whole run.

    Raises:
        UserError: The run would have no step.
    """
    steps = length.steps if length.steps is not None else (length.epochs or 0) * steps_per_epoch
    if steps < 1:
        raise UserError(
            "recipe: length", "The run has no step.", "Give more steps, epochs or frames."
        )
    return steps


def learning_rate(
    schedule: Schedule, peak: float, step: int, *, total_steps: int, steps_per_epoch: int
) -> float:
    """The rate that step `step` (from 0) is taken with, for a group whose largest is `peak`."""
    if schedule.kind == "onecycle":
        return _onecycle(schedule, peak, step, total_steps)
    if schedule.kind == "cosine_epoch":
        epochs = math.ceil(total_steps / steps_per_epoch)
        return _cosine(peak, 0.0, (step // steps_per_epoch) / epochs)
    if schedule.kind == "warmup_cosine":
        return _warmup_cosine(schedule, peak, step, total_steps)
    if schedule.kind == "inverse_root":
        return _inverse_root(schedule, peak, step, total_steps)
    return peak


def momentum(schedule: Schedule, step: int, *, total_steps: int) -> float | None:
    """The momentum that step `step` (from 0) is taken with; None where it does not move."""
    if schedule.momentum is None:
        return None
    high, low = schedule.momentum
    return _up_and_down((high, low, high), schedule.warmup, step, total_steps)


def _cosine(first: float, last: float, progress: float) -> float:
    return last + (first - last) * (1 + math.cos(math.pi * progress)) / 2


def _onecycle(schedule: Schedule, peak: float, step: int, total_steps: int) -> float:
    """Cosine up from peak / div, then down to peak / (div * final_div) at the last step."""
    first = peak / schedule.div
    return _up_and_down(
        (first, peak, first / schedule.final_div), schedule.warmup, step, total_steps
    )


def _up_and_down(
    stations: tuple[float, float, float], warmup: float, step: int, total_steps: int
) -> float:
    """By cosines from the first of three values to the second, and on to the third.

    The turn lies at ``warmup * total - 1``, as in torch's OneCycleLR.
    """
    first, peak, last = stations
    turn, end = warmup * total_steps - 1, total_steps - 1
    if step <= turn and turn > 0:
        return _cosine(first, peak, step / turn)
    turn = max(turn, 0.0)
    return _cosine(peak, last, (step - turn) / (end - turn)) if end > turn else last


def _warmup_cosine(schedule: Schedule, peak: float, step: int, total_steps: int) -> float:
    """Straight up from 0, then cosine down to `final_lr`, which is reached after the last step."""
    turn = schedule.warmup * total_steps
    if step < turn:
        return peak * step / turn
    return _cosine(peak, schedule.final_lr, (step - turn) / (total_steps - turn))


def _inverse_root(schedule: Schedule, peak: float, step: int, total_steps: int) -> float:
    """Straight up from 0, down by ``1 / sqrt(1 + s / tau)``, straight down to 0 at the end.

    s counts steps since the peak, tau is `decay` of the run. The last stretch begins with what the
    root gives there and reaches 0 after the last step. As in ScaLR's branch ``scalr_plus``.
    """
    turn, fall = schedule.warmup * total_steps, (1 - schedule.cooldown) * total_steps
    if step < turn:
        return peak * step / turn
    rate = peak / math.sqrt(1 + (min(step, fall) - turn) / (schedule.decay * total_steps))
    return rate if step < fall else rate * (total_steps - step) / (total_steps - fall)
