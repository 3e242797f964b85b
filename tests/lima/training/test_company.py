"""Neighbours and dense clouds come with the frames of a step: own points, own pairs, own motion."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from lima_bench.common.errors import UserError
from lima_bench.datasets.sample import Frame, Sweep
from lima_bench.lima.batching import ImageInputs, Planner, PretrainBatches
from lima_bench.lima.company import Cast, Company, Member
from lima_bench.lima.methods.cards.scalr import ScalrSettings
from lima_bench.lima.order import Share, make_order
from lima_bench.lima.recipes import (
    InputSettings,
    Length,
    PretrainRecipe,
    StudentSettings,
    VoxelSettings,
)
from lima_bench.lima.views import plain_plan

STUDENT = StudentSettings(
    backbone="minkunet_tiny",
    voxels=VoxelSettings(kind="cartesian", size=(0.5, 0.5, 0.5)),
    inputs=InputSettings(max_range_m=10.0),
)
RECIPE = PretrainRecipe(length=Length(steps=7), batch_size=2, image_size=(16, 24))


def _frames(*lengths: int) -> list[Frame]:
    return [
        Frame(f"{name}/{index}", str(name), index, 0.5 * index)
        for name, length in enumerate(lengths)
        for index in range(length)
    ]


def _method(company: Company, *, blind: bool = False) -> type:
    class Asking:
        @staticmethod
        def company(settings):
            return company

        @staticmethod
        def plan_views(settings, scans, rng):
            plan = plain_plan(scans)
            anchors = sum(scan.anchor == number for number, scan in enumerate(scans))
            cameras = (None,) * anchors + ((),) * (len(scans) - anchors)
            return replace(plan, cameras=cameras) if blind else plan

    return Asking


def _batch(source, method, step=0, recipe=RECIPE):
    order = make_order("shuffled", source.frames, Share(recipe.batch_size), 0)
    return PretrainBatches(
        source, STUDENT, recipe, Planner(method, ScalrSettings()), ImageInputs(), order, seed=0
    )[step]


@pytest.mark.parametrize(
    ("at_the_end", "expected"),
    [
        ("itself", [Member(2, 0), Member(0, 1), Member(2, 0), Member(1, 1, 1)]),
        ("other_side", [Member(2, 0), Member(0, 1), Member(1, 0, -1), Member(1, 1, 1)]),
    ],
)
def test_a_missing_neighbour_is_replaced_as_asked(at_the_end, expected):
    cast = Cast(Company(offsets=(1,), at_the_end=at_the_end), _frames(3, 1))
    assert cast.members([2, 0]) == expected


def test_neighbours_never_cross_recordings():
    frames = _frames(2, 2)
    cast = Cast(Company(offsets=(-1, 1)), frames)
    for anchor in range(4):
        for member in cast.members([anchor]):
            assert frames[member.frame].sequence == frames[anchor].sequence


def test_a_recording_of_one_keyframe_keeps_itself_company():
    cast = Cast(Company(offsets=(1,), at_the_end="other_side"), _frames(1))
    assert cast.members([0]) == [Member(0, 0), Member(0, 0)]


def test_scans_stand_offset_by_offset_behind_the_anchors(make_source):
    source = make_source((4, 4))
    batch = _batch(source, _method(Company(offsets=(-1, 1))))
    assert batch.n_anchors == 2
    assert [scan.anchor for scan in batch.scans] == [0, 1, 0, 1, 0, 1]
    numbers = {frame.id: frame.index for frame in source.frames}
    for scan in batch.scans:
        anchor = batch.scans[scan.anchor]
        assert scan.sequence == anchor.sequence
        assert numbers[scan.id] == anchor.index + scan.offset
    loaded = {frame.id: source.load(frame) for frame in source.frames}
    for scan in batch.scans:
        assert np.array_equal(batch.xyz[scan.start : scan.stop], loaded[scan.id].points)
    assert batch.n_scan_views == len(batch.motion) == 6


def test_every_scan_moves_by_its_own_motion(make_source):
    batch = _batch(make_source((4, 4)), _method(Company(offsets=(1,))))
    for view, motion in enumerate(batch.motion):
        rows = batch.view == view
        moved = batch.xyz[batch.source[rows]].double() @ motion[:3, :3].T + motion[:3, 3]
        torch.testing.assert_close(batch.voxels.xyz[rows].double(), moved, rtol=0, atol=1e-5)
    assert len({tuple(motion.flatten().tolist()) for motion in batch.motion}) == 4


def test_company_changes_nothing_about_the_anchors(make_source):
    source = make_source((4, 4))
    alone = _batch(source, _method(Company()))
    among = _batch(source, _method(Company(offsets=(1,)), blind=True))
    n_points, n_rows = len(alone.xyz), len(alone.source)
    assert torch.equal(among.xyz[:n_points], alone.xyz)
    assert torch.equal(among.voxels.xyz[:n_rows], alone.voxels.xyz)
    for field in ("point", "image", "row", "col"):
        assert torch.equal(getattr(among.pairs, field), getattr(alone.pairs, field))
    assert among.images.n_images == alone.images.n_images


def test_a_dense_cloud_adds_sweeps_in_the_frame_of_its_anchor(make_source):
    source = make_source((3,), n_points=50)

    def sweeps(frame: Frame, n: int) -> tuple[Sweep, ...]:
        pose = np.eye(4)
        pose[:3, 3] = (2.0 * frame.index - 1.0, 0, 0)
        points = np.full((5, 3), 4.0, dtype=np.float32)
        return (Sweep(points, np.zeros(5, dtype=np.float32), pose, 0.0),) * n

    batch = _batch(replace(source, sweeps=sweeps), _method(Company(sweeps=2)))
    assert [scan.dense for scan in batch.scans] == [False, False, True, True]
    for number in (0, 1):
        scan, dense = batch.scans[number], batch.scans[number + 2]
        assert dense.anchor == number
        own = batch.xyz[scan.start : scan.stop]
        added = batch.xyz[dense.start + len(own) : dense.stop]
        assert torch.equal(batch.xyz[dense.start : dense.start + len(own)], own)
        assert added.tolist() == [[3.0, 4.0, 4.0]] * 10
    images = {int(i) for i in batch.pairs.image}
    assert batch.images.n_images == 4  # the dense clouds look through their anchors' images
    assert images <= set(range(4))


def test_a_dense_cloud_without_sweeps_is_refused(make_source):
    with pytest.raises(UserError, match="no sweeps"):
        _batch(make_source((3,)), _method(Company(sweeps=1)))


def test_lenses_project_points_onto_their_pixels(make_source):
    batch = _batch(make_source((4, 4)), _method(Company(offsets=(1,))))
    pairs, lenses = batch.pairs, batch.images.lenses
    scan = torch.tensor([n for n, s in enumerate(batch.scans) for _ in range(s.stop - s.start)])
    assert torch.equal(scan[pairs.point], lenses.scan[pairs.image])
    points = torch.cat([batch.xyz[pairs.point].double(), torch.ones(len(pairs.point), 1)], 1)
    seen = torch.linalg.solve(lenses.camera_to_lidar[pairs.image], points[:, :, None])
    pixel = (lenses.intrinsic[pairs.image] @ seen[:, :3]).squeeze(2)
    u, v = pixel[:, 0] / pixel[:, 2], pixel[:, 1] / pixel[:, 2]
    assert (pixel[:, 2] > 1).all()
    # Rounded at full size and once more at the teacher's: each up to half a pixel.
    assert (u - pairs.col).abs().max() < 0.76
    assert (v - pairs.row).abs().max() < 0.76


def test_the_moment_tells_step_epoch_and_share(make_source):
    batch = _batch(make_source((4, 4)), _method(Company()), step=5)
    moment = batch.moment
    assert (moment.step, moment.epoch, moment.steps_per_epoch, moment.total_steps) == (5, 1, 4, 7)
    assert moment.done == 5 / 7
