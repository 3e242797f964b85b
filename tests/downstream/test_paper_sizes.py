"""The paper's sizes on real recordings: DINOv2's layout, MinkUNet-34, 0.1 m cylinders, one step."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lima_bench.datasets.nuscenes.reader import NuScenes
from lima_bench.datasets.sample import Source
from lima_bench.lima.features import Grids, build_grids
from lima_bench.lima.methods.catalogue import METHODS
from lima_bench.lima.pretrain import Lesson, pretrain
from lima_bench.lima.recipes import Length, PretrainRecipe, StudentSettings
from lima_bench.lima.teachers.load import load_teacher
from lima_bench.lima.teachers.vit import vit_small


@pytest.mark.slow
def test_lima_takes_a_step_with_the_papers_networks(samples: Path, tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        state = vit_small().state_dict()
    generator = torch.Generator().manual_seed(0)
    drawn = {
        name: torch.randn(t.shape, generator=generator) * 0.02 + (name.endswith("gamma") * 1.0)
        for name, t in state.items()
    }
    save_file(drawn, weights / "dinov2_vits14_pretrain.safetensors")
    dataset = NuScenes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frames = dataset.frames(samples / "nuscenes" / "frame_ca9a282c", "mini_train")
    source = Source(dataset.card, frames, dataset.load)
    recipe = PretrainRecipe(length=Length(steps=1), batch_size=1)
    build_grids(
        load_teacher("vit_s", weights), source, recipe.image_size, False, tmp_path / "grids"
    )
    grids = Grids.open(tmp_path / "grids").lookup(source.load(source.frames[0]).cameras)
    assert grids.shape == (6, 16, 32, 384)
    card = METHODS.get("lima")
    lesson = Lesson(
        method_card=card,
        method_settings=card.settings(),
        student=StudentSettings(),
        recipe=recipe,
        source=source,
        grids=tmp_path / "grids",
    )
    taught = pretrain(
        lesson, seed=0, folder=tmp_path / "state", checkpoint=tmp_path / "student.safetensors"
    )
    assert taught["parameters"] == 37_873_280
    assert 0.5 < taught["final_distill"] < 2.0
