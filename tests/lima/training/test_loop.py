"""The training loop: resumable bit for bit, the same for any number of workers and ranks."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset

from lima_bench.common.errors import UserError
from lima_bench.common.progress import Report
from lima_bench.common.seeds import derive_seed
from lima_bench.lima import ranks
from lima_bench.lima.checkpoint import weights_digest
from lima_bench.lima.loop import fit
from lima_bench.lima.loss import Loss
from lima_bench.lima.optimise import Group, one_group
from lima_bench.lima.recipes import Length, Optimiser, Schedule, TrainSettings
from lima_bench.lima.resume import History, forget
from tests.lima.training.whole_runs import Killed, kill_at

STEPS = 12


@dataclass(frozen=True)
class Pairs:
    x: Tensor
    y: Tensor


class Steps(Dataset[Pairs]):
    """A batch per step, drawn from (step, rank) alone."""

    def __init__(self, rank: int = 0) -> None:
        self.rank = rank

    def __getitem__(self, step: int) -> Pairs:
        if step == 100:
            raise UserError("frame 100", "It is broken.", "Mend it.")
        generator = torch.Generator().manual_seed(derive_seed("data", step, self.rank))
        x = torch.randn(16, 3, generator=generator)
        return Pairs(x, x.sum(dim=1, keepdim=True))


class Net(nn.Module):
    """Has what makes resuming hard: BatchNorm, dropout, and a bank outside the parameters."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(7)
        self.body = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3))
        self.head = nn.Linear(8, 1)
        self.frozen = nn.Linear(2, 2).requires_grad_(False)
        self.bank: list[Tensor] = []
        self.poison = -1
        self.seen = 0

    def forward(self, batch: Pairs) -> Loss:
        features = self.body(batch.x)
        pull = torch.stack([*self.bank, features.detach().mean(0)]).mean(0)
        self.bank = [*self.bank, features.detach().mean(0)][-3:]
        fit_term = functional.mse_loss(self.head(features), batch.y)
        self.seen += 1
        poison = torch.nan if self.seen == self.poison else 0.1
        return Loss(fit=fit_term, pull=poison * (features.mean(0) - pull).pow(2).sum())

    def get_extra_state(self) -> dict[str, Any]:
        return {"bank": self.bank}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.bank = list(state["bank"])


def _settings(**changes: Any) -> TrainSettings:
    return TrainSettings(
        length=Length(steps=STEPS),
        checkpoint_steps=5,
        **{"optimiser": Optimiser(lr=0.02), **changes},
    )


def _train(net: Net, folder: Path, report: Any = None, **changes: Any) -> History:
    options = {"workers": 0, "settings": _settings(), "total_steps": STEPS, **changes}
    settings = options.pop("settings")
    batches = options.pop("batches", Steps())
    return fit(
        net,
        batches,
        settings,
        groups=options.pop("groups", one_group(net, settings.optimiser.lr)),
        steps_per_epoch=4,
        folder=folder,
        seed=options.pop("seed", 1),
        report=report or (lambda *_: None),
        **options,
    )


def test_it_learns_and_reports_every_step(tmp_path: Path) -> None:
    seen: list[tuple[int, int, dict[str, float]]] = []
    history = _train(Net(), tmp_path, lambda *args: seen.append(args))
    assert [done for done, _, _ in seen] == list(range(1, STEPS + 1))
    assert set(seen[0][2]) == {"fit", "pull", "loss", "lr_all"}
    assert seen[0][2]["loss"] == pytest.approx(seen[0][2]["fit"] + seen[0][2]["pull"])
    assert history.terms["fit"][-1] < history.terms["fit"][0]
    assert history.tail(0.25)["fit"] == pytest.approx(sum(history.terms["fit"][-3:]) / 3)


@pytest.mark.parametrize("kind", ["adamw", "sgd"])
@pytest.mark.parametrize("stop", [1, 5, 7, 11])
def test_killed_and_resumed_gives_the_same_bits(tmp_path: Path, kind: Any, stop: int) -> None:
    settings = _settings(optimiser=Optimiser(kind=kind, lr=0.02))
    whole = Net()
    expected = _train(whole, tmp_path / "whole", settings=settings)
    with pytest.raises(Killed):
        _train(Net(), tmp_path / "cut", kill_at(stop), settings=settings)
    resumed = Net()
    history = _train(resumed, tmp_path / "cut", settings=settings)
    assert weights_digest(_tensors(resumed)) == weights_digest(_tensors(whole))
    assert all(torch.equal(a, b) for a, b in zip(resumed.bank, whole.bank, strict=True))
    assert history.terms == expected.terms


def _tensors(net: Net) -> dict[str, Tensor]:
    return {name: value for name, value in net.state_dict().items() if isinstance(value, Tensor)}


def test_resuming_really_skips_the_steps_done(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        _train(Net(), tmp_path, kill_at(7))
    net = Net()
    _train(net, tmp_path)
    assert net.seen == STEPS - 5


def test_a_finished_run_does_nothing_more_until_forgotten(tmp_path: Path) -> None:
    first = _train(Net(), tmp_path)
    again = Net()
    assert _train(again, tmp_path).terms == first.terms and again.seen == 0
    forget(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_workers_and_global_generator_change_nothing(tmp_path: Path) -> None:
    alone, helped = Net(), Net()
    _train(alone, tmp_path / "a")
    torch.manual_seed(99)
    _train(helped, tmp_path / "b", workers=2)
    assert weights_digest(_tensors(alone)) == weights_digest(_tensors(helped))


def test_the_seed_matters(tmp_path: Path) -> None:
    one, two = Net(), Net()
    _train(one, tmp_path / "a", seed=1)
    _train(two, tmp_path / "b", seed=2)
    assert weights_digest(_tensors(one)) != weights_digest(_tensors(two))


def test_every_group_keeps_its_own_rate(tmp_path: Path) -> None:
    net, rates = Net(), []
    groups = (
        Group("backbone", tuple(net.body.parameters()), 0.01),
        Group("head", tuple(net.head.parameters()), 0.1),
    )
    _train(net, tmp_path, lambda done, total, m: rates.append(m), groups=groups)
    assert all(m["lr_head"] == pytest.approx(10 * m["lr_backbone"]) for m in rates)
    assert len({m["lr_head"] for m in rates}) > STEPS // 2


def test_frozen_parameters_stay_and_are_not_stored(tmp_path: Path) -> None:
    net = Net()
    before = net.frozen.weight.clone()
    _train(net, tmp_path)
    assert torch.equal(net.frozen.weight, before)
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert "frozen.weight" not in state["weights"] and "head.weight" in state["weights"]


def test_sgd_with_a_constant_rate_is_plain_descent(tmp_path: Path) -> None:
    settings = _settings(
        optimiser=Optimiser(kind="sgd", lr=0.1, momentum=0.0, dampening=0.0, weight_decay=0.0),
        schedule=Schedule(kind="constant"),
    )
    net = Net().requires_grad_(False)
    net.body, net.head = nn.Identity(), nn.Linear(3, 1)
    expected = {name: p.detach().clone() for name, p in net.head.named_parameters()}
    _train(net, tmp_path, settings=settings, total_steps=1)
    batch = Steps()[0]
    error = batch.x @ expected["weight"].T + expected["bias"] - batch.y
    slope = 2 * (error * batch.x).mean(0, keepdim=True)
    assert torch.allclose(net.head.weight, expected["weight"] - 0.1 * slope, atol=1e-6)


def test_non_finite_loss_names_step_and_term(tmp_path: Path) -> None:
    net = Net()
    net.poison = 4
    with pytest.raises(UserError, match=r'step 3\n.*"pull" is nan') as caught:
        _train(net, tmp_path)
    assert "learning rate" in caught.value.how


@pytest.mark.parametrize("workers", [0, 1])
def test_a_users_error_arrives_whole_from_any_process(tmp_path: Path, workers: int) -> None:
    class Broken(Steps):
        def __getitem__(self, step: int) -> Pairs:
            return super().__getitem__(step + 98)

    with pytest.raises(UserError) as caught:
        _train(Net(), tmp_path, workers=workers, batches=Broken())
    assert caught.value.where == "frame 100" and caught.value.how == "Mend it."


def test_a_state_of_another_run_is_refused(tmp_path: Path) -> None:
    _train(Net(), tmp_path)
    with pytest.raises(UserError, match="had seed 1, now it is 2"):
        _train(Net(), tmp_path, seed=2)


def test_half_precision_needs_a_gpu(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="needs a GPU"):
        _train(Net(), tmp_path, settings=_settings(precision="16-mixed"))


def test_bfloat16_trains_with_whole_precision_weights(tmp_path: Path) -> None:
    net = Net()
    history = _train(net, tmp_path, settings=_settings(precision="bf16-mixed"))
    assert net.head.weight.dtype == torch.float32
    assert history.terms["fit"][-1] < history.terms["fit"][0]


def test_the_callers_torch_settings_come_back(tmp_path: Path) -> None:
    _train(Net(), tmp_path)
    assert not torch.are_deterministic_algorithms_enabled()


def _on_two(folder: Path, stop: int | None) -> tuple[str, list[float]]:
    def work(report: Report) -> tuple[str, list[float]]:
        torch.set_num_threads(1)
        net = Net()
        watch = kill_at(stop) if stop else report
        history = _train(net, folder, watch, batches=Steps(ranks.rank()))
        return weights_digest(_tensors(net)), history.terms["loss"]

    return ranks.run_on(2, work, lambda *_: None)


@pytest.mark.filterwarnings("ignore:BatchNorm is not synchronised")
def test_two_ranks_share_gradients_and_resume(tmp_path: Path) -> None:
    digest, losses = _on_two(tmp_path / "whole", None)
    with pytest.raises(Killed):
        _on_two(tmp_path / "cut", 7)
    assert (tmp_path / "cut" / "state.5.rank1.pt").is_file()
    assert _on_two(tmp_path / "cut", None) == (digest, losses)
    alone = _train(Net(), tmp_path / "alone")
    assert losses != alone.terms["loss"]


def test_an_error_on_any_rank_ends_all(tmp_path: Path) -> None:
    def work(report: Report) -> int:
        if ranks.rank() == 1:
            raise UserError("rank 1", "It failed.", "Try again.")
        return len(_train(Net(), tmp_path, report).terms)

    with pytest.raises(UserError, match="It failed"):
        ranks.run_on(2, work, lambda *_: None)
