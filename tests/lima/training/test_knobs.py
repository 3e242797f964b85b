"""Clipped gradients and moving momentum: torch's own, resumable, and silent while they are None."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision.amp import MixedPrecision
from pydantic import ValidationError
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import Dataset

from lima_bench.common.hashing import digest
from lima_bench.lima.checkpoint import weights_digest
from lima_bench.lima.loop import _Box, _step, _Terms, fit
from lima_bench.lima.loss import Loss
from lima_bench.lima.optimise import build_optimiser, clip_gradients, one_group, set_momentum
from lima_bench.lima.recipes import Length, Optimiser, Schedule, TrainSettings
from lima_bench.lima.schedule import learning_rate, momentum
from tests.lima.training.whole_runs import Killed, kill_at

STEPS = 10
CYCLE = Schedule(warmup=0.4, div=10.0, final_div=1e4, momentum=(0.95, 0.85))


class Steps(Dataset[Tensor]):
    """A batch per step."""

    def __getitem__(self, step: int) -> Tensor:
        return torch.randn(8, 3, generator=torch.Generator().manual_seed(step))


class Net(nn.Module):
    """A loss whose gradients are long at the start."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.net = nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Linear(6, 1))

    def forward(self, x: Tensor) -> Loss:
        return Loss(fit=30 * (self.net(x) - x.sum(1, keepdim=True)).square().mean())


def _fit(folder: Path, report: Any = None, **settings: Any) -> str:
    net = Net()
    train = TrainSettings(
        length=Length(steps=STEPS),
        checkpoint_steps=4,
        **{"optimiser": Optimiser(lr=0.02), "schedule": Schedule(), **settings},
    )
    fit(
        net,
        Steps(),
        train,
        groups=one_group(net, train.optimiser.lr),
        total_steps=STEPS,
        steps_per_epoch=5,
        folder=folder,
        seed=1,
        report=report or (lambda *_: None),
    )
    return weights_digest(net.state_dict())


def test_none_is_what_stored_keys_were_made_of() -> None:
    """Of settings as they were before these two existed."""
    assert digest(Optimiser().model_dump(mode="json")) == (
        "25ebf86a9ecbaf27ad12e4f77297a5a4b37c2e9e832ba47c6a202f51e325710d"
    )
    assert digest(Schedule().model_dump(mode="json")) == (
        "2a81e337082129edbefa94ecbc2868683b21ac6f3d4c1bde9dbf0f74a22df8e7"
    )
    told = TrainSettings(
        length=Length(steps=1), optimiser=Optimiser(clip_norm=35.0), schedule=CYCLE
    ).model_dump(mode="json")
    assert told["optimiser"]["clip_norm"] == 35.0 and told["schedule"]["momentum"] == [0.95, 0.85]
    assert TrainSettings.model_validate(told).schedule == CYCLE


@pytest.mark.parametrize("kind", ["adamw", "sgd"])
def test_a_length_that_is_never_reached_and_a_momentum_that_stays_change_no_bit(
    tmp_path: Path, kind: Any
) -> None:
    plain = Optimiser(kind=kind, lr=0.002, betas=(0.9, 0.999), momentum=0.9)
    still = Schedule(momentum=(0.9, 0.9))
    expected = _fit(tmp_path / "a", optimiser=plain)
    loose = plain.model_copy(update={"clip_norm": 1e6})
    assert _fit(tmp_path / "b", optimiser=loose, schedule=still) == expected
    tight = plain.model_copy(update={"clip_norm": 0.5})
    assert _fit(tmp_path / "c", optimiser=tight) != expected
    assert _fit(tmp_path / "d", optimiser=plain, schedule=CYCLE) != _fit(
        tmp_path / "e", optimiser=plain, schedule=CYCLE.model_copy(update={"momentum": None})
    )


@pytest.mark.parametrize("kind", ["adamw", "sgd"])
@pytest.mark.parametrize("stop", [3, 5, 9])
def test_killed_and_resumed_gives_the_same_bits(tmp_path: Path, kind: Any, stop: int) -> None:
    knobs = {"optimiser": Optimiser(kind=kind, lr=0.002, clip_norm=2.0), "schedule": CYCLE}
    expected = _fit(tmp_path / "whole", **knobs)

    with pytest.raises(Killed):
        _fit(tmp_path / "cut", kill_at(stop), **knobs)
    assert _fit(tmp_path / "cut", **knobs) == expected


def _with_gradients(lengths: tuple[float, ...], **settings: Any) -> tuple[nn.Module, Any]:
    net = nn.ParameterList(nn.Parameter(torch.ones(4)) for _ in lengths)
    for parameter, length in zip(net, lengths, strict=True):
        parameter.grad = torch.full((4,), length / 2)
    optimiser = build_optimiser(Optimiser(**settings), one_group(net, 0.1))
    return net, optimiser


def test_all_gradients_together_are_shortened() -> None:
    net, optimiser = _with_gradients((3.0, 4.0))
    clip_gradients(optimiser, 1.0, None)
    assert [p.grad.norm().item() for p in net] == pytest.approx([0.6, 0.8], rel=1e-5)
    net, optimiser = _with_gradients((3.0, 4.0))
    clip_gradients(optimiser, 5.1, None)
    assert [p.grad.norm().item() for p in net] == [3.0, 4.0]


def test_a_parameter_without_a_gradient_does_not_matter() -> None:
    net, optimiser = _with_gradients((3.0, 4.0))
    net[0].grad = None
    clip_gradients(optimiser, 1.0, None)
    assert net[0].grad is None and net[1].grad.norm().item() == pytest.approx(1.0, rel=1e-5)


def _half(net: nn.Module, scale: float, **settings: Any) -> tuple[Fabric, Any, Any]:
    """Half precision with a scaled loss, as on a GPU, on the CPU."""
    scaler = torch.amp.GradScaler("cpu", init_scale=scale)
    precision = MixedPrecision("16-mixed", "cpu", scaler)
    fabric = Fabric(accelerator="cpu", devices=1, plugins=[precision])
    optimiser = build_optimiser(Optimiser(**settings), one_group(net, settings["lr"]))
    return fabric, *fabric.setup(_Terms(net), optimiser)


def _all(net: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in net.parameters()])


def test_a_scaled_loss_is_clipped_at_its_true_length() -> None:
    """The scale must be taken out before gradients are measured, and only once."""
    ends = []
    for scale in (1.0, 64.0):
        net = Net()
        plain = {"momentum": 0.0, "dampening": 0.0, "weight_decay": 0.0}
        fabric, model, stepper = _half(net, scale, kind="sgd", lr=0.1, **plain)
        for step in range(2):
            before = _all(net)
            _step(fabric, model, stepper, _Box(Steps()[step]), step, clip_norm=0.5)
            assert (_all(net) - before).norm().item() == pytest.approx(0.05, rel=1e-4)
        ends.append(_all(net))
    assert torch.allclose(*ends, atol=1e-4)


def test_an_overflow_leaves_out_the_step_and_lowers_the_scale() -> None:
    net = Net()
    before = weights_digest(net.state_dict())
    fabric, model, stepper = _half(net, 2.0**40, kind="sgd", lr=0.1, weight_decay=0.0)
    _step(fabric, model, stepper, _Box(Steps()[0]), 0, clip_norm=0.5)
    assert weights_digest(net.state_dict()) == before
    assert fabric.strategy.precision.state_dict()["scale"] == 2.0**39


@pytest.mark.parametrize("total", [10, 37, 400])
@pytest.mark.parametrize("kind", ["adamw", "sgd"])
def test_momentum_is_torchs_one_cycle(total: int, kind: Any) -> None:
    parameter = nn.Parameter(torch.zeros(1))
    theirs: Any
    if kind == "sgd":
        theirs = torch.optim.SGD([parameter], lr=1.0, momentum=0.9)
    else:
        theirs = torch.optim.AdamW([parameter], lr=1.0, betas=(0.9, 0.99))
    scheduler = OneCycleLR(
        theirs, 1.0, total_steps=total, pct_start=0.4, base_momentum=0.85, max_momentum=0.95
    )
    ours = build_optimiser(Optimiser(kind=kind, betas=(0.9, 0.99)), one_group(nn.Linear(1, 1), 1))
    for step in range(total - 1):
        told = set_momentum(ours, CYCLE, step, total_steps=total)
        (mine,), (entry,) = ours.param_groups, theirs.param_groups
        if kind == "sgd":
            assert mine["momentum"] == told == pytest.approx(entry["momentum"], rel=1e-9)
        else:
            assert mine["betas"] == (told, 0.99) == pytest.approx(entry["betas"], rel=1e-9)
        theirs.step()
        scheduler.step()
    assert set_momentum(ours, CYCLE, total - 1, total_steps=total) == pytest.approx(0.95)


def test_momentum_falls_while_the_rate_climbs_and_comes_back() -> None:
    rates = [learning_rate(CYCLE, 1, s, total_steps=100, steps_per_epoch=1) for s in range(100)]
    momenta = [momentum(CYCLE, s, total_steps=100) for s in range(100)]
    assert momenta[0] == momenta[-1] == 0.95
    assert momenta.index(min(momenta)) == rates.index(max(rates)) == 39  # type: ignore[type-var]
    assert min(momenta) == 0.85  # type: ignore[type-var]
    assert momentum(Schedule(), 3, total_steps=100) is None


@pytest.mark.parametrize(
    ("lr", "stations"), [(1e-3, (1e-4, 1e-3, 1e-8)), (3e-3, (3e-4, 3e-3, 3e-8))]
)
def test_the_published_schedules_of_detectors(lr: float, stations: tuple[float, ...]) -> None:
    """cyclic-20e: 8 epochs up and 12 down; adam_onecycle: 40 % up."""
    per_epoch = 50
    total = 20 * per_epoch
    rates = [
        learning_rate(CYCLE, lr, s, total_steps=total, steps_per_epoch=per_epoch)
        for s in range(total)
    ]
    assert (rates[0], max(rates), rates[-1]) == pytest.approx(stations, rel=1e-9)
    assert rates.index(max(rates)) == 8 * per_epoch - 1
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(
        torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=stations[0]), 8 * per_epoch, stations[1]
    )
    theirs = []
    for _ in range(8 * per_epoch):
        theirs.append(scheduler.get_last_lr()[0])
        scheduler.optimizer.step()
        scheduler.step()
    assert rates[: 8 * per_epoch] == pytest.approx(theirs, abs=0.005 * lr)


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"schedule": {"kind": "constant", "momentum": (0.9, 0.8)}}, "onecycle alone"),
        ({"schedule": {"momentum": (1.0, 0.8)}}, "less than 1"),
        ({"optimiser": {"clip_norm": 0.0}}, "greater than 0"),
        ({"optimiser": {"lr": -1.0}}, "greater than or equal to 0"),
        ({"optimiser": {"weight_decay": float("nan")}}, "finite"),
    ],
)
def test_what_means_nothing_is_refused(wrong: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValidationError, match=expected):
        TrainSettings.model_validate({"length": {"steps": 1}, **wrong})
