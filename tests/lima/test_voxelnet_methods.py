"""Every method that may teach a detector's encoder: the conformance kit, with a bird's-eye map.

Made-up scans reach 20 m, the grid 12.8 m: many points lie in no voxel and read the map's border.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from lima_bench.common.seeds import derive_seed
from lima_bench.lima.api import Batch, load_method
from lima_bench.lima.backbones.catalogue import BACKBONES, build_backbone
from lima_bench.lima.bounded import voxelise_bounded
from lima_bench.lima.methods.catalogue import METHODS
from lima_bench.lima.recipes import GridBounds, VoxelSettings
from lima_bench.lima.student import Student
from lima_bench.lima.synthetic import GridTeacher, SyntheticScan
from lima_bench.lima.testing import _CHECKS, _backward, _Trial

NAME = "voxelnet_tiny"
TAUGHT = (
    "pointcontrast",
    "gcc3d",
    "slidr",
    "tricc",
    "csc",
    "scalr",
    "lima",
    "seal",
    "superflow",
    "cleverdistiller",
)
"""Those of table 3, and three more."""

ASKED = {
    name: check
    for name, check in _CHECKS.items()
    if name
    in (
        "gradients reach the student",
        "the same seed gives the same loss",
        "the state survives saving and loading",
        "a batch of one scan is survived",
        "a batch without pairs is survived",
        "an empty scan is survived",
    )
}
"""What may depend on the network; the rest of the kit is about methods alone."""

HERE = GridBounds(lower=(-12.8, -12.8, -5.0), upper=(12.8, 12.8, 3.0))
ELSEWHERE = GridBounds(lower=(87.2, 87.2, -5.0), upper=(112.8, 112.8, 3.0))


class MapTrial(_Trial):
    """A method that teaches a network whose points read a map."""

    bounds = HERE

    def build(self, seed: int = 0, teacher: GridTeacher | None = None) -> Any:
        torch.manual_seed(derive_seed(seed, "build"))
        student = Student(build_backbone(NAME, 4, bn_momentum=0.1))
        return self.method(self.settings, teacher or GridTeacher(), student)

    def batch(self, scans: Sequence[SyntheticScan], step: int | None = None) -> Batch:
        batch = super().batch(scans, step)
        grid = VoxelSettings(
            kind="cartesian", size=(0.4, 0.4, 0.2), rounding="floor", bounds=self.bounds
        )
        xyz = batch.voxels.xyz.float().numpy()
        fed = np.column_stack([xyz, np.ones(len(xyz), dtype=np.float32)])
        voxels = voxelise_bounded(
            xyz,
            fed,
            batch.view.numpy(),
            grid,
            n_clouds=batch.voxels.n_clouds,
            windows=BACKBONES.get(NAME).windows,
        )
        return replace(batch, voxels=voxels)


def test_the_kit_still_asks_this() -> None:
    assert len(ASKED) == 6


def trial(name: str) -> MapTrial:
    card = METHODS.get(name)
    return MapTrial(load_method(card), card.settings(), card.order)


@pytest.mark.parametrize("name", TAUGHT)
@pytest.mark.parametrize("check", ASKED.values(), ids=ASKED)
def test_it_keeps_its_promises(name: str, check: Any) -> None:
    with torch.random.fork_rng(devices=[]):
        check(trial(name))


@pytest.mark.parametrize("name", TAUGHT)
def test_steps_lower_the_loss_and_move_every_weight(name: str) -> None:
    taught = trial(name)
    batches = taught.steps()
    assert all((batch.voxels.inverse < 0).float().mean() > 0.2 for batch in batches)
    method = taught.build()
    start = {n: p.detach().clone() for n, p in method.student.named_parameters()}
    optimiser = torch.optim.AdamW([p for p in method.parameters() if p.requires_grad], lr=0.003)
    losses = []
    for _ in range(4):
        for batch in batches:
            optimiser.zero_grad()
            losses.append(_backward(method, batch))
            optimiser.step()
    assert np.isfinite(losses).all()
    assert np.mean(losses[-3:]) < np.mean(losses[:3])
    assert all(not torch.equal(p, start[n]) for n, p in method.student.named_parameters())


@pytest.mark.parametrize("name", TAUGHT)
def test_a_batch_without_any_voxel_is_survived(name: str) -> None:
    nowhere = trial(name)
    nowhere.bounds = ELSEWHERE
    method = nowhere.build()
    for batch in nowhere.steps():
        assert len(batch.voxels.coords) == 0 and len(batch.voxels.inverse)
        _backward(method, batch)
    assert all(value.isfinite().all() for value in method.student.state_dict().values())
