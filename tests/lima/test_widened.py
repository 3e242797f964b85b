"""A detector feeds its encoder one channel more than pretraining did; what it learnt must stay."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from lima_bench.common.errors import UserError
from lima_bench.lima.backbones.catalogue import build_backbone
from lima_bench.lima.backbones.voxelnet import STEM
from lima_bench.lima.bounded import voxelise_bounded
from lima_bench.lima.checkpoint import load_student, save_student, weights_digest
from lima_bench.lima.recipes import GridBounds, VoxelSettings
from lima_bench.lima.student import Student

BOUNDS = GridBounds(lower=(-6.4, -4.8, -5.0), upper=(6.4, 4.8, 3.0))
GRID = VoxelSettings(kind="cartesian", size=(0.4, 0.4, 0.2), rounding="floor", bounds=BOUNDS)
FLAVOURS = ("voxelnet", "voxelnet_residual", "voxelnet_tiny")


def student(name: str, channels: int, seed: int = 0) -> Student:
    torch.manual_seed(seed)
    return Student(build_backbone(name, channels, bn_momentum=0.1))


def saved(folder: Path, name: str, channels: int = 4) -> Path:
    path = folder / f"{name}.safetensors"
    save_student(path, student(name, channels), {"backbone": name})
    return path


@pytest.mark.parametrize("name", FLAVOURS)
def test_whatever_the_fifth_channel_says_the_network_says_the_same(
    name: str, tmp_path: Path
) -> None:
    wide = student(name, 5, seed=1)
    load_student(saved(tmp_path, name), wide, name, widened=STEM)
    rng = np.random.default_rng(0)
    xyz = (rng.normal(0, 1, (200, 3)) * [2.5, 2, 0.8]).astype(np.float32)
    narrow = voxelise_bounded(
        xyz, np.hstack((xyz, xyz[:, :1])), np.zeros(200, int), GRID, n_clouds=1
    )
    with torch.no_grad():
        expected = student(name, 4)(narrow)
        for age in (0.0, 0.45, -1e4):
            fifth = age * torch.rand(len(narrow.features), 1)
            fed = replace(narrow, features=torch.hstack((narrow.features, fifth)))
            torch.testing.assert_close(wide(fed), expected, rtol=1e-6, atol=1e-6)
    assert expected.abs().max() > 0.1


def test_the_new_inputs_can_learn(tmp_path: Path) -> None:
    wide = student("voxelnet_tiny", 5, seed=1)
    load_student(saved(tmp_path, "voxelnet_tiny"), wide, widened=STEM)
    weights = wide.get_parameter(f"backbone.{STEM}.0.weight")
    assert not weights[:, 4].any() and weights[:, :4].any() and weights.requires_grad
    xyz = np.float32(np.random.default_rng(0).normal(0, 1, (200, 3)))
    fed = np.hstack((xyz, xyz[:, :2]))
    wide(voxelise_bounded(xyz, fed, np.zeros(200, int), GRID, n_clouds=1)).square().sum().backward()
    assert weights.grad is not None and weights.grad[:, 4].any()


def test_equal_inputs_are_taken_as_they_are(tmp_path: Path) -> None:
    other = student("voxelnet_tiny", 4, seed=1)
    load_student(saved(tmp_path, "voxelnet_tiny"), other, "voxelnet_tiny", widened=STEM)
    assert weights_digest(other.state_dict()) == weights_digest(
        student("voxelnet_tiny", 4).state_dict()
    )


@pytest.mark.parametrize(
    ("channels", "wanted", "widened"),
    [(4, 5, ""), (5, 4, STEM), (4, 5, "conv1")],
)
def test_nothing_is_widened_unasked_or_narrowed(
    channels: int, wanted: int, widened: str, tmp_path: Path
) -> None:
    path, other = saved(tmp_path, "voxelnet_tiny", channels), student("voxelnet_tiny", wanted)
    shapes = (
        rf"conv_input\.0\.weight: \(27, {channels}, 16\) in the file, \(27, {wanted}, 16\) wanted"
    )
    with pytest.raises(UserError, match=shapes):
        load_student(path, other, "voxelnet_tiny", widened=widened)


@pytest.mark.parametrize(("file", "wanted"), [FLAVOURS[:2], FLAVOURS[1::-1], FLAVOURS[1:]])
def test_flavours_do_not_fit_each_other(file: str, wanted: str, tmp_path: Path) -> None:
    path, other = saved(tmp_path, file), student(wanted, 5)
    before = weights_digest(other.state_dict())
    with pytest.raises(UserError, match=f"holds a {file}, but a {wanted} is to be filled"):
        load_student(path, other, wanted, widened=STEM)
    with pytest.raises(UserError, match="tensors do not fit"):
        load_student(path, other, widened=STEM)
    assert weights_digest(other.state_dict()) == before


def test_a_network_without_that_layer_is_compared_as_ever(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="tensors do not fit"):
        load_student(saved(tmp_path, "voxelnet_tiny"), nn.Linear(2, 3), widened=STEM)
