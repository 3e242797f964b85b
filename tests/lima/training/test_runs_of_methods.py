"""Whole runs of methods that ask for more: neighbours and sweeps, or numbers at the end."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lima_bench.common.errors import UserError
from lima_bench.datasets.sample import Frame, Source, Sweep
from lima_bench.lima.methods.cards.cleverdistiller import CleverdistillerSettings
from lima_bench.lima.methods.cards.superflow import SuperflowSettings
from lima_bench.lima.methods.catalogue import METHODS
from lima_bench.lima.pretrain import Lesson, pretrain
from lima_bench.lima.recipes import Length, Settings
from tests.lima.training import whole_runs
from tests.lima.training.whole_runs import STUDENT, loads_alike, resumes

RECIPE = whole_runs.RECIPE.model_copy(update={"length": Length(steps=4)})
SMALL = {"head_width": 16, "latent": 8, "queries": 60, "radius_m": 3.0}
METHODS_HERE: dict[str, Settings] = {
    "superflow": SuperflowSettings(cameras=1, width=8),
    "cleverdistiller": CleverdistillerSettings(**SMALL),
}


class _Sweeps:
    """Scans before a frame, drawn from its name; fewer at the beginning of a recording."""

    def __call__(self, frame: Frame, n: int) -> tuple[Sweep, ...]:
        rng = np.random.default_rng([*frame.id.encode()])
        pose = np.eye(4)
        pose[:3, 3] = (2.0 * frame.index - 0.2, 0, 0)
        points = rng.uniform((-12, -12, -2), (12, 12, 2), (50, 3)).astype(np.float32)
        sweep = Sweep(points, np.zeros(50, dtype=np.float32), pose, frame.timestamp_s - 0.1)
        return (sweep,) * min(n, frame.index)


@pytest.fixture(scope="module")
def lesson_of(make_source, cached):
    source: Source = replace(make_source((3, 2), n_points=150), sweeps=_Sweeps())
    folder = cached(source)

    def make(name: str, **changes) -> Lesson:
        lesson = Lesson(
            METHODS.get(name),
            METHODS_HERE[name],
            STUDENT,
            RECIPE,
            source,
            grids=folder / "grids",
            superpixels=folder / "superpixels",
        )
        return replace(lesson, **changes)

    return make


@pytest.mark.parametrize("name", METHODS_HERE)
def test_saved_and_resumed_in_the_middle_gives_the_same_bits(lesson_of, tmp_path, name):
    resumes(lesson_of(name), tmp_path, stop=3)


@pytest.mark.parametrize("name", METHODS_HERE)
def test_loading_processes_change_nothing(lesson_of, tmp_path, name):
    loads_alike(lesson_of(name), tmp_path)


def test_ranks_of_the_finished_network_are_told(lesson_of, tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    scores = pretrain(lesson_of("cleverdistiller"), seed=0, folder=tmp_path / "a", checkpoint=path)
    assert scores["rankme_points"] == 2 * 2 * 150  # two steps of two scans are an epoch
    assert scores["rankme_student"] > 1 and scores["rankme_head"] > 1
    told = pretrain(lesson_of("superflow"), seed=0, folder=tmp_path / "b", checkpoint=path)
    assert not any("rankme" in score for score in told)


def test_a_dense_cloud_without_sweeps_is_refused(lesson_of, tmp_path):
    lesson = lesson_of("superflow")
    still = replace(lesson, source=replace(lesson.source, sweeps=None))
    with pytest.raises(UserError, match=r"sweeps to 0"):
        pretrain(still, seed=0, folder=tmp_path, checkpoint=tmp_path / "x.safetensors")
    settings = SuperflowSettings(cameras=1, width=8, sweeps=0)
    pretrain(
        replace(still, method_settings=settings),
        seed=0,
        folder=tmp_path,
        checkpoint=tmp_path / "x.safetensors",
    )
