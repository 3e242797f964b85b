"""Recipes of detectors: published numbers one by one, and what the built-in world makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from math import pi
from typing import Any

import pytest

from lima_bench.lima.backbones.catalogue import BACKBONES
from lima_bench.lima.recipes import PretrainRecipe, StudentSettings
from lima_bench.lima.schedule import learning_rate, momentum
from lima_bench.suites.known import DETECTORS, gather
from lima_bench.suites.load import load
from lima_bench.suites.profile_schema import RecipeSet
from lima_bench.suites.recipe import RECIPE_MODELS, Recipe

TABLE3 = ("pointcontrast", "gcc3d", "slidr", "tricc", "csc", "scalr", "lima")


@cache
def recipes(suite: str, profile: str) -> Mapping[str, Recipe]:
    return load(suite, profile, gather()).recipes


def resolved(recipe: Recipe, **given: str) -> Any:
    """Settings of its own class."""
    return RECIPE_MODELS[recipe.kind].model_validate(recipe.resolved(**given))


def test_profiles_have_a_place_for_every_kind_of_recipe() -> None:
    assert set(RecipeSet.model_fields) == set(RECIPE_MODELS) >= set(DETECTORS)


@pytest.mark.parametrize(
    ("detector", "peak", "beta2", "clip", "cells"),
    [
        ("centerpoint", 1e-3, 0.999, 35.0, (90_000, 120_000)),
        ("second", 3e-3, 0.99, 10.0, (60_000, 60_000)),
    ],
)
def test_detectors_train_as_published(
    detector: str,
    peak: float,
    beta2: float,
    clip: float,
    cells: tuple[int, int],
) -> None:
    found = resolved(recipes("table3", "paper")[detector])
    steps = 1000
    course = [
        learning_rate(found.schedule, found.optimiser.lr, s, total_steps=steps, steps_per_epoch=50)
        for s in range(steps)
    ]
    assert (course[0], max(course)) == pytest.approx((peak / 10, peak))
    assert course[-1] == pytest.approx(peak * 1e-5) and course.index(max(course)) == 399
    betas = [momentum(found.schedule, s, total_steps=steps) for s in (0, 399, 999)]
    assert betas == pytest.approx([0.95, 0.85, 0.95])
    optimiser = found.optimiser
    assert (optimiser.kind, optimiser.weight_decay, optimiser.clip_norm) == ("adamw", 0.01, clip)
    assert (optimiser.betas[1], optimiser.eps) == (beta2, 1e-8)
    assert (found.length.epochs, 8 * found.batch_size) == (20, 32)
    moved = found.augmentation
    assert moved.rotation_deg * pi / 180 == pytest.approx(0.3925, abs=1e-6)
    assert (moved.flip_probability, moved.scale, moved.cuboid) == (0.5, (0.95, 1.05), 0.0)
    assert moved.translation_m == 0 and found.balanced and found.max_cells == cells
    assert sorted(found.sampling.counts.values()) == [2, 2, 2, 2, 3, 4, 6, 6, 6, 7]
    assert (found.sweeps, found.time_lag, found.spare_layers) == (9, True, 1)


def test_what_no_text_says_of_detectors_is_marked() -> None:
    for name in ("centerpoint", "second"):
        assumed = recipes("table3", "paper")[name].assumed
        assert {"length", "sweeps", "time_lag", "balanced", "sampling", "spare_layers"} <= assumed
    assert "backbone" in recipes("table3", "paper")["voxelnet-student"].assumed


def test_the_published_student() -> None:
    found: StudentSettings = resolved(recipes("table3", "paper")["voxelnet-student"], on="nuscenes")
    assert found.backbone == "voxelnet" and found.voxels.extent == (1024, 1024, 40)
    assert found.voxels.bounds is not None and found.voxels.bounds.max_cells == 60_000
    assert found.inputs.channels == ("x", "y", "z", "intensity")
    assert (found.inputs.intensity, found.inputs.max_range_m) == ("raw", 51.2)
    other = recipes("table1", "paper")["slidr-student"]
    same = StudentSettings.model_validate(
        other.resolved(changes={"backbone": "voxelnet"}, on="nuscenes")
    )
    assert same.inputs == found.inputs
    grids = [one.voxels.model_copy(update={"shift": "minimum"}) for one in (same, found)]
    assert grids[0] == grids[1]  # a grid with bounds knows no shift


@pytest.mark.parametrize(
    ("method", "scans", "kind", "lr", "epochs"),
    [
        ("slidr", 1 * 6, "sgd", 0.01, 50),
        ("csc", 2 * 8, "sgd", 0.01, 50),
        ("tricc", 8 * 2, "sgd", 0.01, 20),
        ("pointcontrast", 4 * 4, "sgd", 0.01, 50),
        ("gcc3d", 8 * 4, "adamw", 1e-3, 40),
        ("scalr", 8 * 4, "adamw", 0.01, 50),
        ("lima", 8 * 4, "adamw", 0.01, 50),
    ],
)
def test_pretraining_by_method(
    method: str,
    scans: int,
    kind: str,
    lr: float,
    epochs: int,
) -> None:
    recipe = recipes("table3", "paper")["voxelnet-pretrain"]
    found: PretrainRecipe = resolved(recipe, method=method, on="nuscenes", student="voxelnet")
    devices = {"slidr": 1, "csc": 2, "pointcontrast": 4}.get(method, 8)
    optimiser = found.optimiser
    assert (devices * found.batch_size, optimiser.kind, optimiser.lr) == (scans, kind, lr)
    assert found.length.epochs == epochs and found.superpixels == 30
    if kind == "sgd":
        assert (optimiser.momentum, optimiser.dampening) == (0.9, 0.1)
        assert (optimiser.weight_decay, found.schedule.kind) == (1e-4, "cosine_epoch")
    else:
        assert (optimiser.weight_decay, found.schedule.kind) == (0.01, "onecycle")
    assert (found.images is None) == (method in ("pointcontrast", "gcc3d", "scalr", "lima"))
    assert found.semantic is not None
    ids = found.semantic.settings["n_ids"]
    assert ids == (150 if method == "csc" else 17)


@pytest.mark.parametrize("method", TABLE3)
def test_it_agrees_with_the_family_that_published_it(method: str) -> None:
    """What SLidR's and LiMA's own recipes say of a VoxelNet."""
    family = "paper-pretrain" if method in ("scalr", "lima") else "slidr-pretrain"
    theirs = recipes("table1", "paper")[family]
    given = {"method": method, "student": "voxelnet", "on": "nuscenes"}
    ours: PretrainRecipe = resolved(recipes("table3", "paper")["voxelnet-pretrain"], **given)
    published: PretrainRecipe = resolved(theirs, **given)
    for field in PretrainRecipe.model_fields:
        mine, other = getattr(ours, field), getattr(published, field)
        if field == "instances":  # of Seal alone
            continue
        if field == "optimiser" and mine.kind == "adamw":
            unused = {"momentum": 0.0, "dampening": 0.0}
            mine, other = mine.model_copy(update=unused), other.model_copy(update=unused)
        if field == "augmentation" and not mine.cuboid:
            mine, other = (one.model_copy(update={"cuboid_pairs": 1}) for one in (mine, other))
        assert mine == other, field


@pytest.mark.parametrize(
    ("profile", "reach_m", "cell_m"), [("embedded", 38.4, 1.6), ("smoke", 51.2, 3.2)]
)
def test_the_map_of_the_built_in_world(profile: str, reach_m: float, cell_m: float) -> None:
    found: StudentSettings = resolved(recipes("table3", profile)[f"{profile}-voxelnet-student"])
    assert found.backbone == "voxelnet_tiny" and found.voxels.extent is not None
    extent = found.voxels.extent
    for window in BACKBONES.get(found.backbone).windows:
        extent = window.outputs(extent)
    side = round(2 * reach_m / cell_m)
    assert extent == (side, side, 1)


def test_the_built_in_world_shares_its_caches_with_table1() -> None:
    for profile in ("embedded", "smoke"):
        plain = recipes("table1", profile)[f"{profile}-pretrain"]
        for method in TABLE3:
            theirs: PretrainRecipe = resolved(plain, method=method)
            ours: PretrainRecipe = resolved(
                recipes("table3", profile)[f"{profile}-voxelnet-pretrain"], method=method
            )
            assert ours.model_copy(update={"length": theirs.length}) == theirs
