"""Calm passes over the data set: when, over what, and that only buffers remember them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from lima_bench.lima import ranks
from lima_bench.lima.api import Loss
from lima_bench.lima.checkpoint import load_state
from lima_bench.lima.loop import fit
from lima_bench.lima.losses import mean_or_zero
from lima_bench.lima.methods.card import MethodCard, NoSettings
from lima_bench.lima.methods.cards.csc import CscSettings
from lima_bench.lima.methods.catalogue import METHODS
from lima_bench.lima.order import Share
from lima_bench.lima.pretrain import Lesson, pretrain
from lima_bench.lima.recipes import Augmentation
from lima_bench.lima.survey import RollCall, n_due
from tests.lima.training import whole_runs
from tests.lima.training.whole_runs import STUDENT, loads_alike, resumes

RECIPE = whole_runs.RECIPE.model_copy(update={"augmentation": Augmentation(rotation_deg=180.0)})


class Watchful(nn.Module):
    """Notes what it is shown, in a survey and in a step."""

    def __init__(self, settings, teacher, student):
        super().__init__()
        self.student = student
        self.noted = []

    def forward(self, batch):
        self.noted.append(("step", self.training, torch.is_grad_enabled(), *self._shown(batch)))
        return Loss(size=mean_or_zero(self.student(batch.voxels).square().mean(1)))

    @staticmethod
    def survey_every(settings):
        return 0.5

    def survey(self, batches):
        before = {name: value.clone() for name, value in self.state_dict().items()}
        for batch in batches:
            self.student(batch.voxels)
            self.noted.append(("look", self.training, torch.is_grad_enabled(), *self._shown(batch)))
        assert all(torch.equal(before[name], v) for name, v in self.state_dict().items())

    @staticmethod
    def _shown(batch):
        eye = torch.eye(4, dtype=torch.float64).expand_as(batch.motion)
        return [scan.id for scan in batch.scans], bool(torch.equal(batch.motion.double(), eye))


CARD = MethodCard(name="watchful", title="Watchful", implementation=Watchful, needs=())


@pytest.fixture(scope="module")
def source(make_source):
    return make_source((4, 3), n_points=150)


@pytest.fixture
def watched(monkeypatch):
    """The method of the run, as `fit` was given it."""
    seen = []

    def spy(method, *args, **options):
        seen.append(method)
        return fit(method, *args, **options)

    monkeypatch.setattr("lima_bench.lima.pretrain.fit", spy)
    return seen


def _lesson(source, card=CARD, **changes):
    settings = changes.pop("settings", NoSettings())
    recipe = RECIPE.model_copy(update=changes.pop("recipe", {}))
    return Lesson(card, settings, STUDENT, recipe, source, **changes)


@pytest.mark.parametrize("total", [7, 10, 30, 50, 90, 100, 900, 12345])
def test_surveys_come_after_equal_shares_and_never_first_or_last(total):
    due = [s for s in range(1, total) if n_due(s, total, 0.1) > n_due(s - 1, total, 0.1)]
    expected = {-(-number * total // 10) for number in range(1, 10)}
    assert due == sorted(expected - {total})
    assert n_due(0, total, 0.1) == 0


def test_roll_call_names_every_frame_once_over_all_ranks():
    found = []
    for rank in range(3):
        order = RollCall(20, Share(batch_size=2, rank=rank, world_size=3))
        found += [n for step in range(order.steps_per_epoch) for n in order.frames_of(step)]
    assert sorted(found) == list(range(20))
    few = RollCall(100, Share(batch_size=4), limit=5)
    assert [few.frames_of(step).tolist() for step in range(2)] == [[0, 20, 40, 60], [80]]
    assert RollCall(3, Share(batch_size=4), limit=9).frames_of(0).tolist() == [0, 1, 2]


def test_the_loop_lets_the_method_look_before_the_step_that_is_due(source, watched, tmp_path):
    pretrain(_lesson(source), seed=0, folder=tmp_path, checkpoint=tmp_path / "c.safetensors")
    (method,) = watched
    kinds = [kind for kind, *_ in method.noted]
    assert kinds == ["step"] * 3 + ["look"] * 4 + ["step"] * 3  # 7 frames by twos, then half time
    for kind, training, grad, _, still in method.noted:
        expected = (True, True, False) if kind == "step" else (False, False, True)
        assert (training, grad, still) == expected
    looked = [name for kind, _, _, names, _ in method.noted if kind == "look" for name in names]
    assert looked == [frame.id for frame in source.frames]


def test_the_recipe_limits_how_many_frames_are_looked_at(source, watched, tmp_path):
    lesson = _lesson(source, recipe={"survey_frames": 3})
    pretrain(lesson, seed=0, folder=tmp_path, checkpoint=tmp_path / "c.safetensors")
    looked = [note[3] for note in watched[0].noted if note[0] == "look"]
    assert looked == [["0/0", "0/2"], ["1/0"]]


@pytest.fixture(scope="module")
def csc(source, cached):
    """A lesson of CSC in which superpixels stand for classes."""
    folder = cached(source)
    settings = CscSettings(width=8, classes=20, hidden=8, refresh_every=0.34)
    return _lesson(
        source,
        METHODS.get("csc"),
        settings=settings,
        grids=folder / "grids",
        superpixels=folder / "superpixels",
    )


@pytest.mark.parametrize("stop", [2, 3, 5])
def test_killed_and_resumed_gives_the_same_bits(csc, tmp_path, stop):
    """Surveys are held before steps 3 and 5; the state is written after steps 2, 4 and 6."""
    assert resumes(csc, tmp_path, stop)["final_cluster"] > 0


def test_loading_processes_change_nothing(csc, tmp_path):
    loads_alike(csc, tmp_path, workers=(0, 1))


@pytest.mark.filterwarnings("ignore:BatchNorm is not synchronised")
def test_processes_agree_on_prototypes(csc, tmp_path):
    """Each looks at its own frames; the means of both are averaged without counts."""
    recipe = csc.recipe.model_copy(update={"batch_size": 1})
    lesson = replace(csc, recipe=recipe)
    path = tmp_path / "c.safetensors"
    scores = pretrain(lesson, seed=0, folder=tmp_path, checkpoint=path, devices=2)
    assert scores["final_cluster"] > 0
    assert load_state(tmp_path / "state.pt")["weights"]["point_prototypes"].any()


def test_the_mean_over_processes_is_plain():
    def work(report):
        return ranks.mean_over_ranks(torch.tensor([1.0, 5.0]) * (ranks.rank() + 1))

    def joined(report):
        torch.distributed.init_process_group("gloo")
        return work(report)

    alone = work(None)
    assert alone.tolist() == [1.0, 5.0]
    both = ranks.run_on(2, joined, lambda *_: None)
    assert np.allclose(both, [1.5, 7.5])
