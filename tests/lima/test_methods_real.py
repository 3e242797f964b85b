"""The methods on a real nuScenes keyframe: the full cloud, six cameras, documented counts."""

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lima_bench.datasets.nuscenes.reader import NuScenes
from lima_bench.datasets.sample import Source
from lima_bench.lima.api import load_method
from lima_bench.lima.backbones.catalogue import build_backbone
from lima_bench.lima.batch import Batch
from lima_bench.lima.batching import ImageInputs, Planner, PretrainBatches
from lima_bench.lima.clouds import collate_clouds, make_cloud
from lima_bench.lima.methods.cards.lima import LimaSettings
from lima_bench.lima.methods.catalogue import METHODS
from lima_bench.lima.recipes import (
    Augmentation,
    GridBounds,
    ImageAugmentation,
    InputSettings,
    Length,
    PretrainRecipe,
    Settings,
    StudentSettings,
    VoxelSettings,
)
from lima_bench.lima.student import Student
from lima_bench.lima.synthetic import GridTeacher, TinyStudent

WIDTH = 5
SEEN, SEEN_TWICE = 20184, 1931  # points of this keyframe that one camera or more, or two, see


class _OneByOne:
    steps_per_epoch = 2

    def frames_of(self, step: int) -> np.ndarray:
        return np.array([step])


@pytest.fixture(scope="module")
def source(samples: Path) -> Source:
    """The keyframe, and the keyframe again, as if the car had stood still."""
    dataset = NuScenes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (frame,) = dataset.frames(samples / "nuscenes" / "frame_ca9a282c", "mini_train")
    sample = dataset.load(frame)
    frames = tuple(replace(frame, id=f"{frame.id} {n}", index=frame.index + n) for n in range(2))
    return Source(dataset.card, frames, lambda asked: replace(sample, frame=asked))


def _steps(source: Source, name: str) -> list[Batch]:
    card = METHODS.get(name)
    batches = PretrainBatches(
        source,
        StudentSettings(),
        PretrainRecipe(length=Length(steps=2)),
        Planner(load_method(card), card.settings()),
        ImageInputs(),
        _OneByOne(),
        seed=0,
    )
    generator = torch.Generator().manual_seed(0)
    grids = torch.randn(6, 16, 32, WIDTH, generator=generator).half()
    superpixels = torch.arange(224)[:, None] // 20 * 12 + torch.arange(448) // 40
    found = {"grids": grids, "superpixels": superpixels.repeat(6, 1, 1)}
    steps = [batches[0], batches[1]]
    return [replace(batch, images=replace(batch.images, **found)) for batch in steps]


@pytest.mark.parametrize("name", ["slidr", "scalr", "lima"])
def test_a_step_on_a_real_keyframe(source: Source, name: str) -> None:
    torch.manual_seed(0)
    card = METHODS.get(name)
    method = load_method(card)(card.settings(), GridTeacher(WIDTH), TinyStudent())
    for batch in _steps(source, name):
        method.zero_grad()
        loss = method(batch).total
        loss.backward()
        assert torch.isfinite(loss) and loss > 0
        assert all(p.grad is not None and p.grad.any() for p in method.student.parameters())


@pytest.mark.parametrize(("cva", "targets"), [("off", SEEN + SEEN_TWICE), ("mean", SEEN)])
def test_a_real_car_that_stands_still(source: Source, cva: str, targets: int) -> None:
    """As many targets as points (or pairs) seen; memory then adds some and changes none of them."""
    lima = load_method(METHODS.get("lima"))(
        LimaSettings(cva=cva), GridTeacher(WIDTH), TinyStudent()
    )
    first, second = (lima.targets(batch) for batch in _steps(source, "lima"))
    assert len(first.point) == targets
    seen, points = len(first.point.unique()), len(source.load(source.frames[0]).points)
    assert seen == SEEN < len(second.point.unique()) < points
    if cva == "mean":
        same = second.features[: len(first.point)]
        torch.testing.assert_close(same, first.features, rtol=1e-3, atol=1e-3)


def test_crops_of_a_real_keyframe_keep_their_pairs(source: Source) -> None:
    """SLidR's augmentation: enough pairs survive in each image, and each keeps its pixel."""
    recipe = PretrainRecipe(length=Length(steps=2), image_size=(224, 416))
    changing = recipe.model_copy(
        update={
            "augmentation": Augmentation(scale=(1.0, 1.0), cuboid=0.2),
            "images": ImageAugmentation(crop_area=(0.3, 1.0), flip_probability=0.5),
        }
    )
    cropped, whole = (
        PretrainBatches(
            source,
            StudentSettings(),
            one,
            Planner(_OneByOne, Settings()),
            ImageInputs(pixels=True),
            _OneByOne(),
            seed=5,
        )[0]
        for one in (changing, recipe)
    )
    assert 0 < len(whole.source) - len(cropped.source) < 0.1 * len(whole.source)
    colours = {}
    for batch in (cropped, whole):
        pairs = batch.pairs
        found = batch.images.pixels[pairs.image, :, pairs.row, pairs.col]
        keys = zip(pairs.point.tolist(), pairs.image.tolist(), strict=True)
        colours[id(batch)] = dict(zip(keys, found, strict=True))
    ours, theirs = colours[id(cropped)], colours[id(whole)]
    assert ours.keys() <= theirs.keys() and len(ours) < 0.95 * len(theirs)
    per_image = torch.bincount(cropped.pairs.image, minlength=6)
    before = torch.bincount(whole.pairs.image, minlength=6)
    assert ((per_image > 900) | (per_image > 0.7 * before)).all()  # less those of the cuboid
    apart = torch.stack([(ours[key] - theirs[key]).abs().mean() for key in ours])
    far = torch.stack([(ours[key] - theirs[other]).abs().mean() for key, other in _shuffled(ours)])
    assert apart.mean() < 0.05 < 0.15 < far.mean()


def _shuffled(keys: dict) -> list:
    """Every key beside another one."""
    order = np.random.default_rng(0).permutation(len(keys))
    listed = list(keys)
    return [(key, listed[other]) for key, other in zip(listed, order, strict=True)]


def test_voxelnet_reads_a_real_keyframe(source: Source) -> None:
    student = StudentSettings(
        backbone="voxelnet",
        voxels=VoxelSettings(
            kind="cartesian", size=(0.1, 0.1, 0.2), rounding="floor", bounds=GridBounds()
        ),
        inputs=InputSettings(max_range_m=51.2, box_m=((-51.2, -51.2, -5), (51.2, 51.2, 3))),
    )
    sample = source.load(source.frames[0])
    cloud = make_cloud(sample, source.card, student, None, np.random.default_rng(0))
    voxels = collate_clouds([cloud], student, with_maps=True)
    assert len(voxels.coords) == 15_121 and (voxels.inverse >= 0).all()
    torch.manual_seed(0)
    backbone = build_backbone("voxelnet", 4, bn_momentum=0.05).eval()
    with torch.inference_mode():
        features, dense = Student(backbone)(voxels), backbone.bird_eye(voxels)
    assert features.shape == (len(cloud.xyz), 128) and features.isfinite().all()
    assert dense.shape == (1, 128, 128, 128)
