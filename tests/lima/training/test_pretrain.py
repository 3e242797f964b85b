"""Pretraining end to end on made-up drives: same start for all, resumable, student only."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lima_bench.common.errors import UserError
from lima_bench.common.progress import silent
from lima_bench.lima.backbones import minkunet
from lima_bench.lima.checkpoint import load_student
from lima_bench.lima.methods.card import MethodCard
from lima_bench.lima.methods.catalogue import METHODS
from lima_bench.lima.pretrain import Lesson, new_student, pretrain
from lima_bench.lima.recipes import (
    GridBounds,
    InputSettings,
    Length,
    Settings,
    StudentSettings,
    VoxelSettings,
)
from tests.lima.training import whole_runs
from tests.lima.training.whole_runs import STUDENT, equal, loads_alike, resumes, weights

RECIPE = whole_runs.RECIPE.model_copy(update={"length": Length(steps=5)})


@pytest.fixture(scope="module")
def source(make_source):
    return make_source((4, 3), n_points=150)


@pytest.fixture(scope="module")
def caches(source, cached):
    folder = cached(source)
    return {name: folder / name for name in ("grids", "superpixels")}


def _lesson(source, method: str, **changes) -> Lesson:
    card = METHODS.get(method)
    options = {
        "method_card": card,
        "method_settings": card.settings(),
        "student": STUDENT,
        "recipe": RECIPE,
        "source": source,
        **changes,
    }
    return Lesson(**options)


def test_random_hands_out_the_weights_that_all_start_from(source, tmp_path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    scores = pretrain(_lesson(source, "random"), seed=3, folder=tmp_path, checkpoint=path)
    torch.manual_seed(99)
    start = new_student(STUDENT, bn_momentum=0.05, seed=3)
    assert scores["steps"] == 0 and scores["parameters"] == sum(
        p.numel() for p in start.parameters()
    )
    found = weights(path)
    assert all(torch.equal(found[name], value) for name, value in start.state_dict().items())
    other = new_student(STUDENT, bn_momentum=0.05, seed=4)
    assert not torch.equal(*(next(s.parameters()) for s in (start, other)))


def test_on_a_cpu_the_student_finds_its_maps_in_the_batch(
    source, caches, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(minkunet, "Level", None)  # it would build them with this
    path = tmp_path / "checkpoint.safetensors"
    lesson = _lesson(source, "scalr", **caches)
    assert pretrain(lesson, seed=0, folder=tmp_path, checkpoint=path)["steps"] == 5


@pytest.mark.parametrize("method", ["slidr", "scalr", "lima"])
def test_the_student_is_taught_and_alone_in_the_checkpoint(
    source, caches, tmp_path, method
) -> None:
    path = tmp_path / "out" / "checkpoint.safetensors"
    lesson = _lesson(source, method, **caches)
    scores = pretrain(lesson, seed=0, folder=tmp_path / "state", checkpoint=path)
    start = new_student(STUDENT, bn_momentum=0.05, seed=0)
    found = weights(path)
    assert found.keys() == start.state_dict().keys()
    moved = [n for n, p in start.named_parameters() if not torch.equal(found[n], p)]
    assert len(moved) == len(list(start.named_parameters()))
    assert scores["steps"] == 5 and scores["epochs"] == pytest.approx(5 / 3)
    assert scores["final_loss"] > 0
    meta = load_student(path, start, "minkunet_tiny")
    assert (meta["method"], meta["seed"], meta["steps"]) == (method, 0, 5)


VOXELNET = StudentSettings(
    backbone="voxelnet",
    voxels=VoxelSettings(
        kind="cartesian",
        size=(1.0, 1.0, 0.25),
        rounding="floor",
        bounds=GridBounds(lower=(-8.0, -8.0, -5.0), upper=(8.0, 8.0, 3.0)),
    ),
    inputs=InputSettings(box_m=((-11.0, -11.0, -5.0), (11.0, 11.0, 3.0))),
)
"""A map of 2 x 2 cells, with points beyond its border."""


@pytest.mark.parametrize("method", ["slidr", "scalr", "lima"])
def test_a_network_with_a_birds_eye_map_is_taught(source, caches, tmp_path, method) -> None:
    lesson = _lesson(source, method, student=VOXELNET, **caches)
    scores = loads_alike(lesson, tmp_path, workers=(0, 1))
    assert scores["parameters"] == 711_872 and scores["final_loss"] > 0
    start = new_student(VOXELNET, bn_momentum=0.05, seed=0)
    found = weights(tmp_path / "0.safetensors")
    still = [n for n, p in start.named_parameters() if torch.equal(found[n], p)]
    assert still == []


@pytest.mark.parametrize("method", ["slidr", "lima"])
def test_killed_and_resumed_gives_the_same_bits(source, caches, tmp_path, method) -> None:
    resumes(_lesson(source, method, **caches), tmp_path, stop=3)


def test_loading_processes_change_nothing(source, caches, tmp_path) -> None:
    loads_alike(_lesson(source, "scalr", **caches), tmp_path)


@pytest.mark.parametrize("features", ["raw", "standardised"])
def test_a_live_teacher_teaches_what_its_cache_does(
    source, caches, teacher, tmp_path, features
) -> None:
    recipe = RECIPE.model_copy(update={"teacher_features": features, "length": Length(steps=1)})
    losses = []
    for name, extra in (("cached", {}), ("live", {"teacher": teacher})):
        lesson = _lesson(source, "scalr", recipe=recipe, grids=caches["grids"], **extra)
        path = tmp_path / f"{name}.safetensors"
        scores = pretrain(lesson, seed=0, folder=tmp_path / name, checkpoint=path)
        losses.append(scores["final_loss"])
    assert losses[0] == pytest.approx(losses[1], abs=2e-3)


@pytest.mark.filterwarnings("ignore:BatchNorm is not synchronised")
def test_two_processes_teach_one_student(source, caches, tmp_path) -> None:
    recipe = RECIPE.model_copy(update={"batch_size": 1})
    lesson = _lesson(source, "scalr", recipe=recipe, **caches)
    heard: list[int] = []
    paths = [tmp_path / f"{n}.safetensors" for n in range(2)]
    for path in paths:
        scores = pretrain(
            lesson,
            seed=0,
            folder=tmp_path / path.stem,
            checkpoint=path,
            devices=2,
            report=lambda done, total, metrics=None: heard.append(done),
        )
    assert equal(*paths) and scores["epochs"] == pytest.approx(5 / 3)
    assert heard == [1, 2, 3, 4, 5] * 2


class _OtherSettings(Settings):
    pass


@pytest.mark.parametrize(
    ("method", "changes", "message"),
    [
        ("scalr", {}, "needs a teacher's features"),
        ("slidr", {"grids": Path("somewhere")}, "needs superpixels"),
        ("scalr", {"grids": Path("x"), "method_settings": _OtherSettings()}, "_OtherSettings"),
    ],
)
def test_missing_inputs_are_told_before_anything_is_loaded(
    source, tmp_path, method, changes, message
) -> None:
    with pytest.raises(UserError, match=message):
        pretrain(
            _lesson(source, method, **changes),
            seed=0,
            folder=tmp_path,
            checkpoint=tmp_path / "c",
            report=silent,
        )


def test_standardising_a_live_teacher_needs_its_moments(source, teacher, tmp_path) -> None:
    recipe = RECIPE.model_copy(update={"teacher_features": "standardised"})
    lesson = _lesson(source, "scalr", recipe=recipe, teacher=teacher)
    with pytest.raises(UserError, match="mean and deviation"):
        pretrain(lesson, seed=0, folder=tmp_path, checkpoint=tmp_path / "c")


def test_a_method_without_code_is_refused(source, tmp_path) -> None:
    card = MethodCard(name="promised", title="Promised", needs=())
    lesson = _lesson(source, "scalr", method_card=card, method_settings=card.settings())
    with pytest.raises(UserError, match="not built yet"):
        pretrain(lesson, seed=0, folder=tmp_path, checkpoint=tmp_path / "c")


def test_without_its_parts_and_drawing_at_random_lima_is_scalr(source, caches, tmp_path) -> None:
    """The whole run: the settings' order, not the card's, decides what a step shows."""
    plain = {"frames": 1, "cva": "off", "mix": "none"}
    lima, taught = METHODS.get("lima").settings, {}
    lessons = {
        "scalr": _lesson(source, "scalr", grids=caches["grids"]),
        **{
            access: _lesson(
                source,
                "lima",
                method_settings=lima(**plain, access=access),
                grids=caches["grids"],
            )
            for access in ("random", "streams")
        },
    }
    for name, lesson in lessons.items():
        path = tmp_path / f"{name}.safetensors"
        pretrain(lesson, seed=0, folder=tmp_path / name, checkpoint=path)
        taught[name] = weights(path)
    for name, value in taught["scalr"].items():
        torch.testing.assert_close(taught["random"][name], value, rtol=1e-4, atol=1e-5)
    assert any(
        not torch.allclose(taught["streams"][name], value, rtol=1e-2, atol=1e-3)
        for name, value in taught["scalr"].items()
    )
