"""TriCC and HVDistill, killed and taken up by the training loop: the same bits as uninterrupted."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import Dataset

from lima_bench.lima.api import METHODS, load_method
from lima_bench.lima.batch import Batch, Moment
from lima_bench.lima.checkpoint import load_state, weights_digest
from lima_bench.lima.company import company_of
from lima_bench.lima.loop import fit
from lima_bench.lima.optimise import one_group
from lima_bench.lima.recipes import Length, Optimiser, Settings, TrainSettings
from lima_bench.lima.synthetic import GridTeacher, TinyStudent, accompanied, random_drive
from lima_bench.lima.synthetic_batch import collate
from lima_bench.lima.views import plan_views

STEPS = 5
CHANGES: dict[str, dict[str, Any]] = {
    "tricc": {"width": 6, "momentum": 0.9, "walks": 9},
    "hvdistill": {"width": 6, "inner": 8},
}


class Batches(Dataset[Batch]):
    """Frames of two recordings, with the company that a method wants."""

    def __init__(self, method: type[nn.Module], settings: Settings) -> None:
        self.method, self.settings = method, settings
        self.drives = [random_drive(name, frames=3, points=30) for name in ("a", "b")]

    def __getitem__(self, step: int) -> Batch:
        scans = [drive[step % 3] for drive in self.drives]
        placed = accompanied(scans, self.drives, company_of(self.method, self.settings))
        inputs = [one.input for one in placed]
        plan = plan_views(self.method, self.settings, inputs, np.random.default_rng(step))
        return collate(placed, plan, augment_seed=step, moment=Moment(step, 2, STEPS))


def _train(name: str, folder: Path, kill_at: int = -1) -> nn.Module:
    card = METHODS.get(name)
    cls, settings = load_method(card), card.settings(**CHANGES[name])
    torch.manual_seed(0)
    method: nn.Module = cls(settings, GridTeacher(), TinyStudent())
    recipe = TrainSettings(
        length=Length(steps=STEPS), checkpoint_steps=2, optimiser=Optimiser(lr=0.02)
    )

    def observe(done: int) -> None:
        if done == kill_at:
            raise KeyboardInterrupt

    fit(
        method,
        Batches(cls, settings),
        recipe,
        groups=one_group(method, 0.02),
        total_steps=STEPS,
        steps_per_epoch=2,
        folder=folder,
        seed=3,
        observe=observe,
    )
    return method


@pytest.mark.parametrize("name", list(CHANGES))
def test_killed_and_resumed_gives_the_same_bits(tmp_path: Path, name: str) -> None:
    whole = _train(name, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        _train(name, tmp_path / "cut", kill_at=3)
    resumed = _train(name, tmp_path / "cut")
    assert weights_digest(resumed.state_dict()) == weights_digest(whole.state_dict())


def test_the_slow_copy_is_in_the_state_and_has_moved(tmp_path: Path) -> None:
    method = _train("tricc", tmp_path)
    state = load_state(tmp_path / "state.pt")
    slow = {k: v for k, v in state["weights"].items() if k.startswith("heads.slow.")}
    assert len(slow) == len(list(method.heads.slow.buffers()))  # type: ignore[union-attr]
    weight = "heads.slow.student/net/0/weight"
    assert not torch.equal(slow[weight], method.student.net[0].weight)  # type: ignore[union-attr]
