"""A short stretch of the built-in world on disk, and what a pretraining run makes of it.

Offers `spec`, `street`, `samples` and `lesson_inputs`. Rendered once a process, in a folder that
goes when the process does; scans and images have the size of the embedded profile.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from benchmarks.children import ROOT
from lima_bench.datasets.nuscenes.reader import NuScenes
from lima_bench.datasets.sample import Sample, Source
from lima_bench.datasets.world.build import build_world
from lima_bench.datasets.world.drives import NuScenesDrive
from lima_bench.datasets.world.spec import WorldSpec
from lima_bench.lima.features import build_grids
from lima_bench.lima.recipes import PretrainRecipe, StudentSettings
from lima_bench.lima.teachers.load import load_teacher

TEACHER = "tiny"


@dataclass(frozen=True)
class Inputs:
    """What pretraining starts from.

    Attributes:
        source: The frames of a few longer scenes.
        student: The embedded profile's student.
        recipe: The embedded profile's recipe.
        grids: Folder of the teacher's cached features.
    """

    source: Source
    student: StudentSettings
    recipe: PretrainRecipe
    grids: Path


def spec(quick: bool) -> WorldSpec:
    """Few scenes of the embedded profile's length."""
    scenes = 2 if quick else 6
    drive = NuScenesDrive(train_scenes=scenes, pretrain_scenes=scenes, val_scenes=1)
    if quick:
        drive = drive.model_copy(update={"pretrain_keyframes": 2, "azimuths": 120})
    return WorldSpec(nuscenes=drive)


@cache
def street(quick: bool) -> Path:
    """Root of the nuScenes-like data set."""
    folder = build_world(spec(quick), _scratch() / f"world-{quick}", datasets=("nuscenes",))
    return folder / "nuscenes"


@cache
def samples(quick: bool, count: int) -> tuple[Sample, ...]:
    """The first `count` keyframes, loaded."""
    reader = NuScenes()
    frames = reader.frames(street(quick), "train")[:count]
    return tuple(reader.load(frame) for frame in frames)


@cache
def lesson_inputs(quick: bool) -> Inputs:
    """Everything that the embedded profile's pretraining needs, teacher features included."""
    reader = NuScenes()
    source = Source(reader.card, reader.frames(street(quick), "train"), reader.load)
    recipe = PretrainRecipe.model_validate(_settings("embedded-pretrain"))
    folder = _scratch() / f"grids-{quick}"
    build_grids(load_teacher(TEACHER), source, recipe.image_size, recipe.antialias, folder)
    student = StudentSettings.model_validate(_settings("embedded-student"))
    return Inputs(source, student, recipe, folder)


def _settings(recipe: str) -> dict[str, Any]:
    """The settings of a recipe that the suites ship."""
    path = ROOT / "suites" / "recipes" / f"{recipe}.yaml"
    settings: dict[str, Any] = yaml.safe_load(path.read_text())["settings"]
    return settings


@cache
def _kept() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="lima-bench-benchmarks-")


def _scratch() -> Path:
    return Path(_kept().name)
