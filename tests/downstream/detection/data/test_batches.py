"""Batches of a detector: pure in the step, truth beside its points, scoring without chance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from lima_bench.common.errors import UserError
from lima_bench.datasets.label_shares import resolve
from lima_bench.downstream.detection.data.batches import ScoreBatches, TrainBatches
from lima_bench.downstream.detection.data.frames import LoadedFrames
from lima_bench.downstream.detection.inputs import detector_student, n_inputs
from lima_bench.downstream.detection.settings import ObjectSampling
from lima_bench.lima.backbones.catalogue import build_backbone
from lima_bench.lima.loading import batches_from
from lima_bench.lima.order import Share, Shuffled
from lima_bench.lima.recipes import VoxelSettings


def _train(source, student, recipe, batch_size=2, seed=0, **options) -> TrainBatches:
    order = Shuffled(len(source.frames), Share(batch_size), 0)
    return TrainBatches(source, student, recipe, order, seed=seed, **options)


def test_the_detector_reads_the_students_grid(grid_student, recipe, changed) -> None:
    recipe = changed(recipe, max_cells=(7, 9), spare_layers=1)
    train, score = (detector_student(grid_student, recipe, t) for t in (True, False))
    assert (train.voxels.bounds.max_cells, score.voxels.bounds.max_cells) == (7, 9)
    assert train.voxels.extent == (64, 64, 33) and grid_student.voxels.extent == (64, 64, 32)
    assert train.inputs.max_range_m is train.inputs.box_m is None
    assert train.backbone == grid_student.backbone
    assert n_inputs(grid_student, recipe) == 5
    assert n_inputs(grid_student, changed(recipe, time_lag=False)) == 4
    loose = changed(grid_student, voxels=VoxelSettings())
    with pytest.raises(UserError, match="no bounds") as caught:
        detector_student(loose, recipe, training=True)
    assert "voxelnet" in caught.value.how


def test_truth_lies_on_its_points(make_boxed, grid_student, recipe) -> None:
    """Whatever the motion: as many voxels lie in the car's box as points were put there."""
    source = make_boxed()
    batches = _train(source, grid_student, recipe, batch_size=3)
    for step in range(4):
        batch = batches[step]
        assert len(batch.truth) == 3
        for cloud, truth in enumerate(batch.truth):
            own = batch.voxels.grid.cloud[batch.voxels.grid.cloud == cloud]
            points = batch.voxels.xyz[batch.voxels.grid.cloud == cloud].double()
            assert len(own) and truth.boxes.dtype == torch.float32
            cars = truth.boxes[truth.label == 0].double()
            for box in cars:
                x, y, _ = (points - box[:3]).T
                cos, sin = torch.cos(box[6]), torch.sin(box[6])
                ahead, left = x * cos + y * sin, y * cos - x * sin
                near = (ahead.abs() < box[3] / 2) & (left.abs() < box[4] / 2)
                high = (points[:, 2] - box[2]).abs() < box[5] / 2
                assert (near & high).sum() >= 30


def test_features_are_those_of_the_student_and_the_age(make_boxed, grid_student, recipe, changed):
    source = make_boxed()
    plain = changed(recipe, augmentation=changed(recipe.augmentation, rotation_deg=0.0,
                    flip_probability=0.0, scale=(1.0, 1.0)))  # fmt: skip
    voxels = _train(source, grid_student, plain, batch_size=1)[0].voxels
    assert voxels.features.shape[1] == 5
    xyz = voxels.features[:, :3]
    cells = torch.floor((xyz - torch.tensor([-16.0, -16.0, -4.0])) / torch.tensor([0.5, 0.5, 0.25]))
    assert (cells == voxels.coords[:, 1:]).float().mean() > 0.99  # means stay in their cells
    assert voxels.features[:, 3].min() >= 0 and voxels.features[:, 3].max() <= 1.0
    ages = voxels.features[:, 4]
    assert ages.min() >= 0 and ages.max() <= 0.2 + 1e-6
    bare = _train(source, grid_student, changed(plain, time_lag=False), batch_size=1)[0].voxels
    assert bare.features.shape[1] == 4


def test_a_step_is_pure_and_seeds_differ(make_boxed, grid_student, recipe, changed) -> None:
    recipe = changed(recipe, sweep_choice="random")
    source = make_boxed(4)
    batches, again = (_train(source, grid_student, recipe) for _ in range(2))
    first = [batches[step] for step in range(4)]
    for step in (3, 1, 0, 2):
        assert torch.equal(again[step].voxels.features, first[step].voxels.features)
        for one, other in zip(again[step].truth, first[step].truth, strict=True):
            assert torch.equal(one.boxes.nan_to_num(9), other.boxes.nan_to_num(9))
    other = _train(source, grid_student, recipe, seed=1)[0]
    assert not torch.equal(other.voxels.features[:9], first[0].voxels.features[:9])
    rank = _train(source, grid_student, recipe, rank=1)[0]
    assert not torch.equal(rank.voxels.features[:9], first[0].voxels.features[:9])


def test_crowded_cells_are_means_of_keyframe_and_sweeps_alike(
    make_boxed, grid_student, recipe, changed
) -> None:
    """Training shuffles: with room for few points a cell is not the keyframe's alone."""
    bounds = changed(grid_student.voxels.bounds, max_points=1)
    voxels = changed(grid_student.voxels, bounds=bounds)
    source, student = make_boxed(), changed(grid_student, voxels=voxels)
    training = _train(source, student, recipe, batch_size=1)[0].voxels.features[:, 4]
    assert (training == 0).float().mean() < 0.5
    scored = ScoreBatches(source, student, recipe, 1)[2].batch.voxels.features[:, 4]
    assert (scored == 0).float().mean() > 0.8  # where a sweep alone has points, it stands for them


def test_scoring_draws_nothing(make_boxed, grid_student, recipe, changed) -> None:
    source = make_boxed(5)
    random = changed(recipe, sweep_choice="random", sweeps=2)
    latest, drawn = (ScoreBatches(source, grid_student, r, 2) for r in (recipe, random))
    assert len(latest) == 3
    assert [b.frames for b in batches_from(latest, range(3), 0)] == [(0, 1), (2, 3), (4,)]
    for number in range(3):
        batch = drawn[number].batch
        assert batch.truth == () and batch.voxels.n_clouds == len(drawn[number].frames)
        again = ScoreBatches(source, grid_student, changed(recipe, sweeps=2), 2)[number]
        assert torch.equal(batch.voxels.features, again.batch.voxels.features)


def test_limits_of_training_and_scoring_differ(make_boxed, grid_student, recipe, changed) -> None:
    recipe = changed(recipe, max_cells=(50, 80))
    source = make_boxed()
    assert len(_train(source, grid_student, recipe, batch_size=1)[0].voxels.coords) == 50
    assert len(ScoreBatches(source, grid_student, recipe, 1)[0].batch.voxels.coords) == 80


def test_maps_are_built_by_whoever_loads(make_boxed, grid_student, recipe) -> None:
    source = make_boxed()
    for items in (
        _train(source, grid_student, recipe, with_maps=True),
        ScoreBatches(source, grid_student, recipe, 2, with_maps=True),
    ):
        (batch,) = batches_from(items, range(1), 1)
        voxels = getattr(batch, "batch", batch).voxels
        assert voxels.level is not None
    assert _train(source, grid_student, recipe)[0].voxels.level is None


def test_loading_processes_change_no_bit(make_boxed, grid_student, recipe, changed) -> None:
    sampling = ObjectSampling(counts={"car": 6, "person": 2})
    drawing = changed(recipe, sweep_choice="random", sampling=sampling)
    items = _train(make_boxed(5), grid_student, drawing, with_maps=True)
    alone = list(batches_from(items, range(4), 0))
    helped = list(batches_from(items, range(4), 2))
    assert max(len(truth.label) for batch in alone for truth in batch.truth) > 4  # some is pasted
    for one, other in zip(alone, helped, strict=True):
        assert torch.equal(one.voxels.coords, other.voxels.coords)
        assert torch.equal(one.voxels.features, other.voxels.features)
        for here, there in zip(one.truth, other.truth, strict=True):
            assert torch.equal(here.label, there.label)
            assert torch.equal(here.boxes.nan_to_num(9), there.boxes.nan_to_num(9))


def test_maps_built_while_loading_change_no_bit(make_boxed, grid_student, recipe) -> None:
    source = make_boxed()
    torch.manual_seed(0)
    encoder = build_backbone(grid_student.backbone, 5, bn_momentum=0.1).eval()
    with_maps, without = (
        ScoreBatches(source, grid_student, recipe, 2, with_maps=maps)[0].batch.voxels
        for maps in (True, False)
    )
    with torch.no_grad():
        found = encoder.bird_eye(with_maps)
        assert found.abs().max() > 0
        assert torch.equal(found, encoder.bird_eye(without))


def test_a_share_of_frames_has_its_sweeps_all_the_same(make_boxed, grid_student, recipe) -> None:
    """Scans between keyframes need no label: those of unlabelled neighbours are read as well."""
    source = make_boxed(6)
    share = resolve(source.card, source.frames, "50%@stride")
    assert [frame.index for frame in share.frames] == [0, 2, 4]
    batches = _train(replace(source, frames=share.frames), grid_student, recipe, batch_size=3)
    assert len(batches[0].truth) == 3 and (batches[0].voxels.features[:, 4] > 0.05).any()
    assert set(source.load.__self__.loads) == {"a/0", "a/2", "a/4"}


def test_frames_are_read_once_while_they_fit(make_boxed, grid_student, recipe) -> None:
    source = make_boxed(4)
    loads = source.load.__self__.loads
    shared = LoadedFrames(source, grid_student, recipe)
    batches = _train(source, grid_student, recipe, loaded=shared)
    for step in range(6):
        batches[step]
    assert set(loads.values()) == {1}
    small = LoadedFrames(source, grid_student, recipe, cache_bytes=10)
    for _ in range(2):
        small.at(source.frames[0])
    assert loads["a/0"] == 3


def test_what_is_outside_the_grid_is_left_out(make_boxed, grid_student, recipe) -> None:
    far = (("vehicle.car", 15.9, 0, 0, 4, 2, 1.5, 0, 30, 0),)
    source = make_boxed(1, boxes=far)
    batches = _train(source, grid_student, recipe, batch_size=1)
    kept = [len(truth.label) for step in range(24) for truth in batches[step].truth]
    assert {0, 1} == set(kept)
    for truth in (truth for step in range(24) for truth in batches[step].truth):
        assert np.abs(truth.boxes[:, :2].numpy()).max(initial=0) < 16
    assert batches[0].voxels.xyz.abs().max() <= 16
    assert (batches[0].voxels.inverse >= 0).float().mean() > 0.99


@pytest.mark.parametrize("scoring", [False, True])
def test_broken_coordinates_are_told(make_boxed, grid_student, recipe, scoring) -> None:
    source = make_boxed(2)

    def load(frame):
        sample = source.load(frame)
        points = sample.points.copy()
        points[7, 1] = np.nan
        return replace(sample, points=points)

    broken = replace(source, load=load)
    items = (
        ScoreBatches(broken, grid_student, recipe, 2)
        if scoring
        else _train(broken, grid_student, recipe)
    )
    with pytest.raises(UserError, match="not finite"):
        items[0]
