"""A real nuScenes keyframe is learnt from, a real SemanticKITTI scan is scored."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch

from lima_bench.datasets.nuscenes.reader import NuScenes
from lima_bench.datasets.sample import Source
from lima_bench.datasets.semantickitti.reader import SemanticKitti
from lima_bench.downstream import finetune
from lima_bench.downstream.recipes import DownstreamRecipe
from lima_bench.lima.features import build_grids
from lima_bench.lima.methods.catalogue import METHODS
from lima_bench.lima.pretrain import Lesson, pretrain
from lima_bench.lima.recipes import (
    InputSettings,
    Length,
    PretrainRecipe,
    StudentSettings,
    VoxelSettings,
)
from lima_bench.lima.teachers.catalogue import TEACHERS
from lima_bench.lima.teachers.load import Teacher
from lima_bench.lima.teachers.tiny import tiny

SIZE = (112, 192)
STUDENT = StudentSettings(
    backbone="minkunet_tiny",
    voxels=VoxelSettings(kind="cylindrical", size=(0.5, 1.5, 0.5)),
    inputs=InputSettings(intensity="unit"),
)


@pytest.fixture(scope="module")
def nuscenes(samples: Path) -> Source:
    dataset = NuScenes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frames = dataset.frames(samples / "nuscenes" / "frame_ca9a282c", "mini_train")
    return Source(NuScenes.card, frames, dataset.load)


@pytest.fixture
def kitti(samples: Path, tmp_path: Path) -> Source:
    folder = tmp_path / "kitti" / "sequences" / "08"
    folder.mkdir(parents=True)
    for part in ("velodyne", "labels"):
        (folder / part).symlink_to(samples / "semantickitti" / "spvnas_scan" / part)
    dataset = SemanticKitti()
    return Source(SemanticKitti.card, dataset.frames(tmp_path / "kitti", "val"), dataset.load)


def test_from_a_real_keyframe_to_the_score_of_a_real_scan(nuscenes, kitti, tmp_path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        build_grids(
            Teacher(TEACHERS.get("tiny"), tiny()), nuscenes, SIZE, False, tmp_path / "grids"
        )
    checkpoint, card = tmp_path / "checkpoint.safetensors", METHODS.get("scalr")
    lesson = Lesson(
        method_card=card,
        method_settings=card.settings(),
        student=STUDENT,
        recipe=PretrainRecipe(length=Length(steps=1), batch_size=1, image_size=SIZE),
        source=nuscenes,
        grids=tmp_path / "grids",
    )
    taught = pretrain(lesson, seed=0, folder=tmp_path / "state", checkpoint=checkpoint)
    assert 1.0 < taught["final_distill"] < 2.0  # distance of unit vectors that know nothing
    recipe = DownstreamRecipe(length=Length(steps=1), batch_size=1)
    result = finetune.run(
        checkpoint, STUDENT, recipe, kitti, kitti, seed=0, folder=tmp_path / "finetune"
    )
    assert result.details["n_points"]["all"] == 123389 - 6924
    assert result.details["n_points"]["moving"] == 990 + 138
    assert result.scores["classes_present"] >= 13
    assert 0 < result.scores["accuracy"] < 100
    assert "seen" not in result.details["n_points"]
