"""Batches whose images are cropped and mirrored, and whose clouds lose a cuboid."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lima_bench.common.errors import UserError
from lima_bench.datasets.images import read_image
from lima_bench.lima.api import load_method
from lima_bench.lima.batching import ImageInputs, Planner, PretrainBatches
from lima_bench.lima.company import Company
from lima_bench.lima.lenses import lenses_of
from lima_bench.lima.methods.catalogue import METHODS
from lima_bench.lima.order import Share, make_order
from lima_bench.lima.pretrain import Lesson, pretrain
from lima_bench.lima.recipes import (
    Augmentation,
    ImageAugmentation,
    Length,
    PretrainRecipe,
    Settings,
    StudentSettings,
    VoxelSettings,
)
from lima_bench.lima.rows import paired_rows
from lima_bench.lima.second_looks import TwinVoxels
from lima_bench.lima.superpixels import build_superpixels
from lima_bench.lima.teachers.catalogue import TEACHERS
from lima_bench.lima.teachers.load import Teacher
from lima_bench.lima.teachers.tiny import tiny

SIZE = (16, 24)
STUDENT = StudentSettings(
    backbone="minkunet_tiny", voxels=VoxelSettings(kind="cartesian", size=(1.0, 1.0, 1.0))
)
CROPS = ImageAugmentation(crop_area=(0.3, 0.8), keep_pairs=20, flip_probability=0.5)
RECIPE = PretrainRecipe(
    length=Length(steps=3), batch_size=2, image_size=SIZE, superpixels=8, checkpoint_steps=2
)


class Plain:
    """A method that shows every scan whole."""


class Accompanied:
    """A method that sees the next keyframe as well."""

    @staticmethod
    def company(settings: Settings) -> Company:
        return Company(offsets=(1,))


def _recipe(**changes) -> PretrainRecipe:
    return RECIPE.model_copy(update=changes)


def _batches(source, recipe, images=None, method=Plain) -> PretrainBatches:
    order = make_order("shuffled", source.frames, Share(recipe.batch_size), 0)
    planner = Planner(method, Settings())
    images = images or ImageInputs(pixels=True)
    return PretrainBatches(source, STUDENT, recipe, planner, images, order, seed=0)


def _same(one, other) -> bool:
    pairs = [torch.equal(getattr(one.pairs, n), getattr(other.pairs, n)) for n in vars(one.pairs)]
    return all(pairs) and torch.equal(one.images.pixels, other.images.pixels)


@pytest.mark.parametrize("method", [Plain, Accompanied])
def test_pairs_lie_where_the_lenses_of_the_batch_put_them(make_source, method) -> None:
    source = make_source()
    batch = _batches(source, _recipe(images=CROPS), method=method)[0]
    whole = _batches(source, RECIPE, method=method)[0]
    assert 0 < len(batch.pairs.point) < len(whole.pairs.point)
    pairs, lenses = batch.pairs, batch.images.lenses
    assert batch.images.n_images == len(lenses.scan) == 2 * len(batch.scans)
    xyz = batch.xyz[pairs.point].double()
    to_camera = torch.linalg.inv(lenses.camera_to_lidar)[pairs.image]
    ray = (to_camera[:, :3, :3] @ xyz[:, :, None]).squeeze(2) + to_camera[:, :3, 3]
    pixel = (lenses.intrinsic[pairs.image] @ ray[:, :, None]).squeeze(2)
    pixel = pixel[:, :2] / pixel[:, 2:]
    assert (pixel[:, 0] - pairs.col).abs().max() <= 1.2  # rounded twice
    assert (pixel[:, 1] - pairs.row).abs().max() <= 1.2
    assert pairs.row.min() >= 0 and pairs.row.max() < SIZE[0]
    assert pairs.col.min() >= 0 and pairs.col.max() < SIZE[1]


def test_pixels_are_those_of_the_crop(make_source) -> None:
    """Every pair finds about the colour that its full-size pixel has."""
    source = make_source()
    batch = _batches(source, _recipe(images=CROPS))[0]
    frames = {frame.id: source.load(frame) for frame in source.frames}
    cameras = [camera for scan in batch.scans for camera in frames[scan.id].cameras]
    plain = lenses_of(cameras, [0, 0, 1, 1], [np.eye(4)] * 2, (32, 48))
    back = plain.intrinsic @ torch.linalg.inv(batch.images.lenses.intrinsic)
    errors = []
    for image, row, col in zip(batch.pairs.image, batch.pairs.row, batch.pairs.col, strict=True):
        place = back[image] @ torch.tensor([float(col), float(row), 1.0]).double()
        u, v = (round(float(x)) for x in place[:2])
        colour = torch.from_numpy(read_image(cameras[image])[v, u] / 255.0)
        errors.append(float((batch.images.pixels[image, :, row, col] - colour).abs().mean()))
    assert np.median(errors) < 0.03


def test_steps_are_pure_and_differ(make_source) -> None:
    source = make_source()
    one, other = (_batches(source, _recipe(images=CROPS)) for _ in range(2))
    assert _same(one[1], other[1]) and _same(one[0], other[0])
    assert not _same(one[0], _batches(source, RECIPE)[0])
    flips = _recipe(images=ImageAugmentation(flip_probability=1.0))
    mirrored, whole = _batches(source, flips)[0], _batches(source, RECIPE)[0]
    assert torch.equal(mirrored.images.pixels, whole.images.pixels.flip(-1))
    assert (mirrored.pairs.col - (SIZE[1] - 1 - whole.pairs.col)).abs().max() <= 1
    assert torch.equal(mirrored.voxels.features, whole.voxels.features)


def test_superpixels_are_cropped_beside_the_pixels(make_source, tmp_path) -> None:
    source, recipe = make_source(), _recipe(images=CROPS)
    kept = build_superpixels(source, recipe.superpixel_size, 8, tmp_path / "superpixels")
    batch = _batches(source, recipe, ImageInputs(pixels=True, superpixels=kept))[0]
    assert batch.images.superpixels.shape == (4, *SIZE)
    assert kept.store.array.shape[1:] == (32, 48)
    flips = _recipe(images=ImageAugmentation(flip_probability=1.0))
    plain = build_superpixels(source, SIZE, 8, tmp_path / "plain")
    mirrored, whole = (
        _batches(source, r, ImageInputs(superpixels=plain))[0].images.superpixels
        for r in (flips, RECIPE)
    )
    assert torch.equal(mirrored, whole.flip(-1))


def test_points_of_a_cut_cuboid_are_no_rows_and_their_pairs_take_no_part(make_source) -> None:
    source = make_source()
    cut = Augmentation(cuboid=1.0, cuboid_pairs=0)
    batch = _batches(source, _recipe(augmentation=cut))[0]
    whole = _batches(source, RECIPE)[0]
    assert len(batch.source) < len(whole.source)
    assert torch.equal(batch.pairs.point, whole.pairs.point)
    kept, rows = paired_rows(batch)
    assert len(kept) < len(batch.pairs.point)
    assert torch.equal(batch.source[rows], batch.pairs.point[kept])
    assert torch.equal(batch.motion, whole.motion)
    careful = Augmentation(cuboid=1.0, cuboid_pairs=10_000)
    spared = _batches(source, _recipe(augmentation=careful))[0]
    assert torch.equal(spared.source, whole.source)


def test_a_frame_that_is_shown_again_lacks_what_was_cut_and_neighbours_lack_nothing(
    make_source,
) -> None:
    cut = Augmentation(cuboid=1.0, cuboid_pairs=0)
    tricc = load_method(METHODS.get("tricc"))
    source = make_source()
    batch = _batches(source, _recipe(augmentation=cut), method=tricc)[0]
    whole = _batches(source, RECIPE, method=tricc)[0]
    rows = [[one.source[one.view == n] for n in range(6)] for one in (batch, whole)]
    for n in range(6):
        assert torch.equal(*(one[n] for one in rows)) == (n in (2, 3))
    for n in (0, 1):
        assert torch.equal(rows[0][n], rows[0][4 + n])
    assert torch.equal(batch.motion, whole.motion)
    assert (TwinVoxels.of(batch).number[batch.view < 2] >= 0).all()


@pytest.mark.parametrize("method", ["slidr", "scalr", "lima"])
def test_methods_learn_from_changing_images(make_source, tmp_path, method) -> None:
    source, recipe = make_source(), _recipe(images=CROPS)
    build_superpixels(source, recipe.superpixel_size, 8, tmp_path / "superpixels")
    card = METHODS.get(method)
    torch.manual_seed(0)
    lesson = Lesson(
        card,
        card.settings(),
        STUDENT,
        recipe,
        source,
        teacher=Teacher(TEACHERS.get("tiny"), tiny()),
        superpixels=tmp_path / "superpixels",
    )
    paths = [tmp_path / f"{n}.safetensors" for n in range(2)]
    scores = [pretrain(lesson, seed=0, folder=tmp_path / p.stem, checkpoint=p) for p in paths]
    assert scores[0]["final_loss"] > 0
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_changing_images_need_a_teacher_in_the_step(make_source, tmp_path) -> None:
    card = METHODS.get("scalr")
    recipe = _recipe(images=CROPS)
    lesson = Lesson(card, card.settings(), STUDENT, recipe, make_source(), grids=tmp_path)
    with pytest.raises(UserError, match="runs in the step"):
        pretrain(lesson, seed=0, folder=tmp_path, checkpoint=tmp_path / "x")
