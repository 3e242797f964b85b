"""Pretraining batches: pairs on the un-augmented points, pure in the step, the same for all."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from lima_bench.common.errors import UserError
from lima_bench.datasets.sample import Source
from lima_bench.lima.backbones.catalogue import BACKBONES
from lima_bench.lima.batch import Batch
from lima_bench.lima.batching import ImageInputs, Planner, PretrainBatches
from lima_bench.lima.loading import batches_from
from lima_bench.lima.methods.cards.scalr import ScalrSettings
from lima_bench.lima.methods.scalr import Scalr
from lima_bench.lima.order import Share, make_order
from lima_bench.lima.recipes import (
    Augmentation,
    InputSettings,
    Length,
    PretrainRecipe,
    Settings,
    StudentSettings,
    VoxelSettings,
)
from lima_bench.lima.resize import squeeze
from lima_bench.lima.tree import map_tensors, to_device
from lima_bench.lima.views import ScanInput, View, ViewPlan, plain_plan

SIZE = (16, 24)
STUDENT = StudentSettings(
    backbone="minkunet_tiny",
    voxels=VoxelSettings(kind="cartesian", size=(0.5, 0.5, 0.5)),
    inputs=InputSettings(max_range_m=10.0),
)
RECIPE = PretrainRecipe(length=Length(steps=4), batch_size=2, image_size=SIZE)


class Plain:
    """A method that shows every scan whole."""


class Mixed:
    """A method that adds one view: the first ten points of scan 1, then every other of scan 0."""

    @staticmethod
    def plan_views(
        settings: Settings, scans: list[ScanInput], rng: np.random.Generator
    ) -> ViewPlan:
        plan = plain_plan(scans)
        parts = ((1, np.arange(10)), (0, np.arange(0, len(scans[0].xyz), 2)))
        return replace(plan, views=(*plan.views, View(parts)))


def _batches(source: Source, method: type = Plain, **changes) -> PretrainBatches:
    options = {
        "settings": ScalrSettings(),
        "images": ImageInputs(),
        "recipe": RECIPE,
        "seed": 0,
        "rank": 0,
        "world": 1,
        "with_maps": False,
        **changes,
    }
    share = Share(options["recipe"].batch_size, options["rank"], options["world"])
    return PretrainBatches(
        source,
        STUDENT,
        options["recipe"],
        Planner(method, options["settings"]),
        options["images"],
        make_order("shuffled", source.frames, share, options["seed"]),
        seed=options["seed"],
        rank=options["rank"],
        with_maps=options["with_maps"],
    )


def _flat(batch: Batch) -> list[torch.Tensor]:
    tensors: list[torch.Tensor] = []
    map_tensors(lambda tensor: tensors.append(tensor) or tensor, batch)
    return tensors


def _same(one: Batch, other: Batch) -> bool:
    pairs = zip(_flat(one), _flat(other), strict=True)
    return all(a.shape == b.shape and torch.equal(a, b) for a, b in pairs)


def test_a_step_is_pure(make_source) -> None:
    source = make_source()
    batches = _batches(source, Mixed)
    expected = [batches[step] for step in range(4)]
    fresh = pickle.loads(pickle.dumps(_batches(source, Mixed)))
    assert all(_same(fresh[step], expected[step]) for step in (3, 0, 2, 1))
    assert not _same(_batches(source, Mixed, seed=1)[0], expected[0])


@pytest.mark.parametrize("workers", [0, 1])
def test_maps_are_built_by_whoever_loads(make_source, workers) -> None:
    batches = _batches(make_source(), with_maps=True)
    loaded = list(batches_from(batches, range(3), workers))
    assert all(_same(batch, batches[step]) for step, batch in enumerate(loaded))
    for batch in loaded:
        level = batch.voxels.level
        assert torch.equal(level.coords, batch.voxels.coords)
        for _ in range(BACKBONES.get(STUDENT.backbone).n_levels - 1):
            level = level.coarser
        assert level.below is None
    assert _batches(make_source())[0].voxels.level is None


def test_the_cpu_takes_a_batch_as_it_is(make_source) -> None:
    batch = _batches(make_source(), with_maps=True)[0]
    moved = _flat(to_device(batch, "cpu"))
    assert [t.data_ptr() for t in moved] == [t.data_ptr() for t in _flat(batch)]
    assert len(moved) > 40


def test_ranks_see_different_frames_and_motions(make_source) -> None:
    recipe = RECIPE.model_copy(update={"batch_size": 1})
    source = make_source()
    one, two = (_batches(source, recipe=recipe, rank=r, world=2)[0] for r in range(2))
    assert one.scans[0].id != two.scans[0].id


def test_scans_lie_one_after_the_other(make_source) -> None:
    source = make_source()
    batch = _batches(source)[0]
    assert [(scan.start, scan.stop) for scan in batch.scans] == [(0, 200), (200, 400)]
    by_id = {frame.id: frame for frame in source.frames}
    for scan in batch.scans:
        sample = source.load(by_id[scan.id])
        assert np.array_equal(batch.xyz[scan.start : scan.stop], sample.points)
        assert np.array_equal(scan.lidar_to_global, sample.lidar_to_global)
        assert scan.sequence == sample.frame.sequence and scan.index == sample.frame.index


def test_rows_are_moved_copies_of_their_points(make_source) -> None:
    batch = _batches(make_source(), Mixed)[0]
    assert batch.n_scan_views == 2 and int(batch.view.max()) == 2
    assert len(batch.source) == len(batch.view) == len(batch.voxels.inverse)
    near = batch.xyz[:, :2].norm(dim=1) <= STUDENT.inputs.max_range_m
    for number, scan in enumerate(batch.scans):
        expected = torch.arange(scan.start, scan.stop)[near[scan.start : scan.stop]]
        assert torch.equal(batch.source[batch.view == number], expected)
    mixed = torch.cat([torch.arange(200, 210), torch.arange(0, 200, 2)])
    assert torch.equal(batch.source[batch.view == 2], mixed[near[mixed]])
    seen = batch.voxels.features[:, :3]
    original = batch.xyz[batch.source[batch.voxels.first]]
    ratio = seen.norm(dim=1) / original.norm(dim=1)
    for view in range(3):
        scale = ratio[batch.voxels.coords[:, 0] == view]
        assert 0.95 <= scale.mean() <= 1.05 and scale.std() < 1e-5
    assert not torch.allclose(seen, original, atol=0.1)


def test_pairs_are_those_of_the_unmoved_points(make_source) -> None:
    source = make_source()
    batch = _batches(source)[1]
    still = Augmentation(rotation_deg=0, flip_probability=0, scale=(1, 1))
    unmoved = _batches(source, recipe=RECIPE.model_copy(update={"augmentation": still}))[1]
    assert torch.equal(
        unmoved.voxels.features[:, :3], unmoved.xyz[unmoved.source][unmoved.voxels.first]
    )
    for name in ("point", "image", "row", "col"):
        assert torch.equal(getattr(batch.pairs, name), getattr(unmoved.pairs, name))
    xyz = batch.xyz[batch.pairs.point].numpy()
    ahead = np.where(batch.pairs.image.numpy() % 2 == 0, xyz[:, 0], -xyz[:, 0])
    left = np.where(batch.pairs.image.numpy() % 2 == 0, xyz[:, 1], -xyz[:, 1])
    col = (23.5 - 20 * left / ahead) / 2
    row = (15.5 - 20 * xyz[:, 2] / ahead) / 2
    assert len(xyz) > 20 and (ahead > 1).all()
    assert np.abs(batch.pairs.col.numpy() - col).max() <= 1.0
    assert np.abs(batch.pairs.row.numpy() - row).max() <= 1.0
    scan_of_image = batch.pairs.image // 2
    assert torch.equal(scan_of_image, (batch.pairs.point >= 200).long())


def test_every_method_gets_the_same_motions(make_source) -> None:
    source = make_source()
    plain, mixed = _batches(source)[0], _batches(source, Mixed)[0]
    n_voxels = int((mixed.voxels.coords[:, 0] < 2).sum())
    assert torch.equal(plain.voxels.features, mixed.voxels.features[:n_voxels])


class _Store:
    """Stands for a cache of images: one number per camera."""

    slots = 9

    def lookup(self, cameras):
        codes = [int.from_bytes(camera.id.encode()) for camera in cameras]
        return torch.tensor(codes).reshape(-1, 1, 1, 1)


@pytest.mark.parametrize("cameras", ["all", "one"])
def test_images_and_pairs_count_the_kept_cameras_alike(make_source, cameras) -> None:
    source = make_source()
    images = ImageInputs(grids=_Store(), pixels=True, superpixels=_Store())
    settings = ScalrSettings(cameras=cameras)
    batch = _batches(source, Scalr, settings=settings, images=images)[0]
    assert batch.images.n_images == len(batch.images.pixels) == (4 if cameras == "all" else 2)
    frames = {frame.id: source.load(frame) for frame in source.frames}
    rig = [camera for scan in batch.scans for camera in frames[scan.id].cameras]
    codes = {int.from_bytes(camera.id.encode()): camera for camera in rig}
    shown = [codes[int(code)] for code in batch.images.grids.flatten()]
    for image, camera in enumerate(shown):
        xyz = batch.xyz[batch.pairs.point[batch.pairs.image == image], 0]
        assert len(xyz) and bool(((xyz > 0) == camera.name.endswith("0")).all())
        pixels = batch.images.pixels[image]
        assert pixels.shape == (3, *SIZE) and 0 <= pixels.min() < pixels.max() <= 1
    assert torch.equal(batch.images.superpixels, batch.images.grids)


def test_pixels_are_the_squeezed_picture(make_source) -> None:
    from lima_bench.datasets.images import read_image

    source = make_source()
    batch = _batches(source, images=ImageInputs(pixels=True))[0]
    first = next(f for f in source.frames if f.id == batch.scans[0].id)
    camera = source.load(first).cameras[1]
    assert torch.equal(batch.images.pixels[1], squeeze(read_image(camera), SIZE))


def test_scans_are_read_once_while_they_fit(make_source) -> None:
    source = make_source()
    drives = source.load.__self__
    batches = _batches(source)
    for step in range(9):
        batches[step]
    assert set(drives.loads.values()) == {1}
    batches = PretrainBatches(
        source,
        STUDENT,
        RECIPE,
        batches.planner,
        batches.images,
        batches.order,
        seed=0,
        cache_bytes=0,
    )
    batches[0], batches[0]
    assert max(drives.loads.values()) == 3


def test_labels_cannot_reach_a_method(make_source) -> None:
    batches = _batches(make_source())
    batches[0]
    sample = batches._load(0).sample
    assert sample.labels is None and sample.moving is None


def test_a_frame_without_pose_is_named(make_source) -> None:
    source = make_source()
    lost = replace(source, load=lambda frame: replace(source.load(frame), lidar_to_global=None))
    with pytest.raises(UserError, match=r"frame \d/\d\n.*no pose"):
        _batches(lost)[0]
