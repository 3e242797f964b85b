"""Whole pretrainings of a small student, and what every one of them must keep.

Offers `STUDENT`, `RECIPE` and `SIZE`; `Killed` and `kill_at`, which cut a run; `resumes` and
`loads_alike`, which hold two runs against each other bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from lima_bench.common.progress import Report
from lima_bench.lima.checkpoint import read_meta
from lima_bench.lima.pretrain import Lesson, pretrain
from lima_bench.lima.recipes import (
    Length,
    Optimiser,
    PretrainRecipe,
    StudentSettings,
    VoxelSettings,
)

SIZE = (32, 48)
STUDENT = StudentSettings(
    backbone="minkunet_tiny", voxels=VoxelSettings(kind="cartesian", size=(1.0, 1.0, 1.0))
)
RECIPE = PretrainRecipe(
    length=Length(steps=6),
    batch_size=2,
    image_size=SIZE,
    optimiser=Optimiser(lr=0.01),
    checkpoint_steps=2,
    superpixels=8,
)


class Killed(Exception):
    """What `kill_at` raises."""


def kill_at(step: int) -> Report:
    """A report that ends the run when `step` is done."""

    def report(done: int, total: int, metrics: Mapping[str, float] | None = None) -> None:
        if done == step:
            raise Killed

    return report


def weights(path: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(path)


def equal(one: Path, other: Path) -> bool:
    a, b = weights(one), weights(other)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def resumes(lesson: Lesson, folder: Path, stop: int, **options: Any) -> dict[str, float]:
    """Run whole, and again killed after `stop` and taken up: the same bits. The scores."""
    whole, cut = folder / "whole.safetensors", folder / "cut.safetensors"
    scores = pretrain(lesson, seed=0, folder=folder / "a", checkpoint=whole, **options)
    run = {"seed": 0, "folder": folder / "b", "checkpoint": cut, **options}
    with pytest.raises(Killed):
        pretrain(lesson, report=kill_at(stop), **run)
    assert not cut.exists()
    assert pretrain(lesson, **run) == scores
    assert equal(whole, cut) and read_meta(whole) == read_meta(cut)
    return scores


def loads_alike(lesson: Lesson, folder: Path, workers: tuple[int, ...] = (0, 2)) -> dict[str, Any]:
    """Run with so many loading processes each: the same bits. The scores of the last."""
    paths = [folder / f"{n}.safetensors" for n in workers]
    for n, path in zip(workers, paths, strict=True):
        scores = pretrain(lesson, seed=0, folder=folder / path.stem, checkpoint=path, workers=n)
    assert all(equal(paths[0], path) for path in paths[1:])
    return scores
