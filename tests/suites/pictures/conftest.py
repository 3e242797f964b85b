"""Fixtures: a rendered world of a few frames in the nuScenes format."""

from __future__ import annotations

from pathlib import Path

import pytest

from lima_bench.datasets.world.build import build_world
from lima_bench.datasets.world.drives import NuScenesDrive
from lima_bench.datasets.world.spec import WorldSpec


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    drive = NuScenesDrive(
        sweeps_per_keyframe=0,
        train_scenes=1,
        train_keyframes=1,
        pretrain_scenes=1,
        pretrain_keyframes=2,
        val_scenes=2,
        val_keyframes=1,
        image_height=28,
        image_width=48,
        azimuths=120,
    )
    folder = tmp_path_factory.mktemp("world")
    return build_world(WorldSpec(nuscenes=drive), folder, processes=1, datasets=("nuscenes",))
