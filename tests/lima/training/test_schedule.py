"""Learning rates against torch's own schedulers and the published end points."""

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR

from lima_bench.common.errors import UserError
from lima_bench.lima.recipes import Length, PretrainRecipe, Schedule
from lima_bench.lima.schedule import learning_rate, n_steps


def _optimiser(peak: float) -> torch.optim.SGD:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=peak, momentum=0.9)


def _rates(scheduler: LRScheduler, n: int) -> list[float]:
    rates = []
    for _ in range(n):
        rates.append(scheduler.get_last_lr()[0])
        scheduler.optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize("total", [10, 37, 900])
@pytest.mark.parametrize("warmup", [0.2, 0.35])
def test_onecycle_is_torchs(total: int, warmup: float) -> None:
    schedule = Schedule(kind="onecycle", warmup=warmup, div=25.0, final_div=100.0)
    ours = [
        learning_rate(schedule, 0.01, step, total_steps=total, steps_per_epoch=3)
        for step in range(total)
    ]
    theirs = OneCycleLR(
        _optimiser(0.01), 0.01, total_steps=total, pct_start=warmup, final_div_factor=100.0
    )
    assert ours[:-1] == pytest.approx(_rates(theirs, total - 1), rel=1e-9)
    assert ours[-1] == pytest.approx(0.01 / 25 / 100)


def test_onecycle_default_ends_where_the_published_run_ended() -> None:
    rates = [
        learning_rate(Schedule(), 1e-3, step, total_steps=1000, steps_per_epoch=10)
        for step in (0, 199, 999)
    ]
    assert rates == pytest.approx([4e-5, 1e-3, 4e-7], rel=1e-3)


@pytest.mark.parametrize("total", [1, 2, 3])
def test_onecycle_survives_the_shortest_runs(total: int) -> None:
    rates = [
        learning_rate(Schedule(), 1.0, step, total_steps=total, steps_per_epoch=1)
        for step in range(total)
    ]
    assert all(0 < rate <= 1 for rate in rates)


def test_cosine_epoch_is_torchs_stepped_once_an_epoch() -> None:
    epochs, per_epoch = 6, 4
    ours = [
        learning_rate(
            Schedule(kind="cosine_epoch"),
            0.05,
            s,
            total_steps=epochs * per_epoch,
            steps_per_epoch=4,
        )
        for s in range(epochs * per_epoch)
    ]
    theirs = _rates(CosineAnnealingLR(_optimiser(0.05), epochs), epochs)
    assert ours == pytest.approx([rate for rate in theirs for _ in range(per_epoch)], rel=1e-9)


def test_warmup_cosine_climbs_straight_then_is_torchs_cosine() -> None:
    schedule = Schedule(kind="warmup_cosine", warmup=0.25, final_lr=1e-5)
    ours = [learning_rate(schedule, 1e-3, s, total_steps=40, steps_per_epoch=1) for s in range(40)]
    theirs = _rates(CosineAnnealingLR(_optimiser(1e-3), 30, eta_min=1e-5), 30)
    assert ours[:10] == pytest.approx([1e-4 * s for s in range(10)])
    assert ours[10:] == pytest.approx(theirs, rel=1e-9)


def test_inverse_root_is_the_published_curve() -> None:
    """65 epochs: 1 up, then 1 / sqrt(1 + t / 0.45 epochs), and from epoch 63 straight down."""
    schedule = Schedule(kind="inverse_root", warmup=1 / 65, decay=0.45 / 65, cooldown=2 / 65)
    per_epoch = 40
    ours = [
        learning_rate(schedule, 2e-3, s, total_steps=65 * per_epoch, steps_per_epoch=per_epoch)
        for s in range(65 * per_epoch)
    ]
    assert ours[:40] == pytest.approx([2e-3 * s / 40 for s in range(40)])
    assert ours[40] == pytest.approx(2e-3) == max(ours)
    for epoch in (1.45, 10, 62.9):
        expected = 2e-3 / (1 + (epoch - 1) / 0.45) ** 0.5
        assert ours[round(epoch * per_epoch)] == pytest.approx(expected)
    last = 2e-3 / (1 + 62 / 0.45) ** 0.5
    assert ours[63 * per_epoch :] == pytest.approx([last * (1 - s / 80) for s in range(80)])
    assert 0 < ours[-1] < last / 79


@pytest.mark.parametrize("total", [1, 2, 3])
def test_inverse_root_survives_the_shortest_runs(total: int) -> None:
    schedule = Schedule(kind="inverse_root", warmup=0.0, cooldown=0.4)
    rates = [
        learning_rate(schedule, 1.0, s, total_steps=total, steps_per_epoch=1) for s in range(total)
    ]
    assert all(0 < rate <= 1 for rate in rates)


def test_constant_stays() -> None:
    assert learning_rate(Schedule(kind="constant"), 0.3, 7, total_steps=9, steps_per_epoch=1) == 0.3


def test_n_steps_counts_epochs_or_steps() -> None:
    assert n_steps(Length(epochs=3), 7) == 21
    assert n_steps(Length(steps=5), 7) == 5


def test_a_run_without_steps_is_refused() -> None:
    with pytest.raises(UserError, match="no step"):
        n_steps(Length(epochs=2), 0)


@pytest.mark.parametrize(
    "nothing",
    [
        {"length": {"steps": 0}},
        {"batch_size": 0},
        {"checkpoint_steps": 0},
        {"image_size": (0, 8)},
        {"superpixels": 0},
    ],
)
def test_recipes_of_nothing_are_refused(nothing: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        PretrainRecipe.model_validate({"length": {"steps": 1}, **nothing})
