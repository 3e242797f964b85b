"""LiMA's axes that need other scans or cameras, on batches that the loader made."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from lima_bench.lima.backbones.catalogue import build_backbone
from lima_bench.lima.batching import ImageInputs, Planner, PretrainBatches
from lima_bench.lima.methods.cards.lima import LimaSettings
from lima_bench.lima.methods.lima import Lima
from lima_bench.lima.order import Share, make_order, order_of
from lima_bench.lima.recipes import (
    InputSettings,
    Length,
    PretrainRecipe,
    StudentSettings,
    VoxelSettings,
)
from lima_bench.lima.reproject import Gaze
from lima_bench.lima.student import Student
from lima_bench.lima.synthetic import GridTeacher

STUDENT = StudentSettings(
    backbone="minkunet_tiny",
    voxels=VoxelSettings(kind="cartesian", size=(0.5, 0.5, 0.5)),
    inputs=InputSettings(),
)


class _Grids:
    """Stands for a cache of features: each image has one of its own, the same in all its cells."""

    def lookup(self, cameras) -> torch.Tensor:
        values = [float(sum(camera.id.encode()) % 7 + 1) for camera in cameras]
        return torch.tensor(values)[:, None, None, None].expand(-1, 4, 6, 5).half()


def _batches(source, settings: LimaSettings) -> PretrainBatches:
    return PretrainBatches(
        source,
        STUDENT,
        PretrainRecipe(length=Length(steps=4), batch_size=2, image_size=(16, 24)),
        Planner(Lima, settings),
        ImageInputs(grids=_Grids()),
        make_order(order_of(Lima, settings, "streams"), source.frames, Share(2), 0),
        seed=0,
        with_maps=True,
    )


def _lima(settings: LimaSettings) -> Lima:
    torch.manual_seed(0)
    return Lima(
        settings, GridTeacher(), Student(build_backbone("minkunet_tiny", 4, bn_momentum=0.1))
    )


@pytest.mark.parametrize(
    "settings",
    [
        {"window": "centred", "frames": 4, "align": "voxel"},
        {"partner": "same", "mix_only": True, "frames": 2},
        {"mix_only": True, "targets": "voxel", "head": "mlp", "frames": 2},
        {"align": "reproject", "occlusion": "zbuffer", "stride": 2, "frames": 3},
        {"align": "reproject", "window": "centred", "partner": "same", "frames": 3},
        {"access": "random", "frames": 3, "partner": "same"},
    ],
    ids=str,
)
def test_a_real_network_learns_on_loaded_batches(make_source, settings) -> None:
    made = LimaSettings(**settings)
    batches, lima = _batches(make_source((4, 4)), made), _lima(made)
    for step in range(3):
        lima.zero_grad()
        total = lima(batches[step]).total
        total.backward()
        assert torch.isfinite(total) and total > 0
        assert all(
            p.grad is not None and p.grad.isfinite().all() for p in lima.student.parameters()
        )
        assert all(weight.grad.any() for weight in lima.head.parameters())


def _targets(batches, lima) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """What every frame that was drawn in an epoch is taught."""
    found = {}
    for step in range(batches.order.steps_per_epoch):
        batch = batches[step]
        made = lima.targets(batch)
        for scan in batch.scans[: batch.n_anchors]:
            own = (made.point >= scan.start) & (made.point < scan.stop)
            found[scan.id] = (made.point[own] - scan.start, made.features[own])
    return found


def test_loaded_in_any_order_frames_have_the_targets_of_a_stream(make_source) -> None:
    """Also where recordings begin: nothing is borrowed from another, nothing counts twice."""
    walking, drawing = (
        LimaSettings(access=access, radius_m=1.5, mix="none", frames=4)
        for access in ("streams", "random")
    )
    source = make_source((5, 5))
    expected = _targets(_batches(source, walking), _lima(walking))
    found = _targets(_batches(source, drawing), _lima(drawing))
    assert found.keys() == expected.keys() == {frame.id for frame in source.frames}
    for name, (point, features) in expected.items():
        assert torch.equal(found[name][0], point)
        assert torch.equal(found[name][1], features)


def test_drawn_frames_come_in_no_order_of_time(make_source) -> None:
    source = make_source((8, 8))
    batches = _batches(source, LimaSettings(access="random", frames=2))
    walked = [batches.order.frames_of(step).tolist() for step in range(8)]
    assert any(after != before + 1 for before, after in pairwise(lane[0] for lane in walked))


def test_reprojecting_into_ones_own_images_finds_what_the_loader_paired(make_source) -> None:
    """Of the pairs, none is further than the loader's second rounding; only the border is lost."""
    settings = LimaSettings(align="reproject", frames=2)
    batch = _batches(make_source((4, 4)), settings)[0]
    scan = batch.scans[0]
    found = Gaze.of(batch.images, 0, (4, 6)).pairs(
        batch.xyz[: scan.stop], torch.eye(4, dtype=torch.float64)
    )
    pixels = {
        (point, image): torch.tensor([row, col])
        for point, image, row, col in zip(
            *(column.tolist() for column in vars(batch.pairs).values()), strict=True
        )
        if image < 2
    }
    assert len(found.point) > 0.8 * len(pixels)
    for point, image, row, col in zip(
        *(column.tolist() for column in vars(found).values()), strict=True
    ):
        assert (pixels[point, image] - torch.tensor([row, col])).abs().max() <= 1
