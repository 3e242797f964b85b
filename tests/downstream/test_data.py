"""Labelled batches and validation frames: pure in the step, labels beside their points."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from lima_bench.common.errors import UserError
from lima_bench.datasets.sample import IGNORE
from lima_bench.downstream.data import ScoreBatches, TrainBatches
from lima_bench.lima.backbones.catalogue import BACKBONES
from lima_bench.lima.backbones.sparse.maps import Level
from lima_bench.lima.loading import batches_from
from lima_bench.lima.order import Share, Shuffled
from lima_bench.lima.pairs import project
from lima_bench.lima.recipes import Augmentation


def _batches(source, student, batch_size=2, seed=0, **options) -> TrainBatches:
    order = Shuffled(len(source.frames), Share(batch_size), seed)
    return TrainBatches(source, student, Augmentation(), order, seed=seed, **options)


def test_labels_belong_to_their_points(make_source, student) -> None:
    batch = _batches(make_source(), student)[0]
    assert len(batch.labels) == len(batch.voxels.inverse)
    height = batch.voxels.features[:, 2]
    label = batch.labels[batch.voxels.first]
    for train_id, (low, high) in enumerate(((-3.2, -0.95), (-1.06, 1.06), (0.95, 3.2))):
        z = height[label == train_id]
        assert len(z) and low <= z.min() <= z.max() <= high
    assert (label == IGNORE).any()


def test_a_step_is_pure_and_seeds_differ(make_source, student) -> None:
    source = make_source()
    batches = _batches(source, student)
    first = [batches[step] for step in range(4)]
    again = _batches(source, student)
    for step in (3, 1, 0, 2):
        assert torch.equal(again[step].voxels.features, first[step].voxels.features)
        assert torch.equal(again[step].labels, first[step].labels)
    assert not torch.equal(first[0].voxels.features[:9], first[2].voxels.features[:9])
    other = _batches(source, student, seed=1)[0]
    assert not torch.equal(other.voxels.features[:9], first[0].voxels.features[:9])


@pytest.mark.parametrize("workers", [0, 1])
def test_maps_are_built_by_whoever_loads(make_source, student, workers) -> None:
    source = make_source()
    n_levels = BACKBONES.get(student.backbone).n_levels
    for items in (
        _batches(source, student, with_maps=True),
        ScoreBatches(source, student, 2, with_maps=True),
    ):
        for batch in batches_from(items, range(2), workers):
            expected, level = Level.of(batch.voxels.coords, n_levels), batch.voxels.level
            while expected.below is not None:
                assert torch.equal(level.keys, expected.keys)
                assert torch.equal(level.neighbours.table, expected.neighbours.table)
                assert torch.equal(level.up.table, expected.up.table)
                level, expected = level.coarser, expected.coarser
            assert level.below is None
    assert _batches(source, student)[0].voxels.level is None
    assert ScoreBatches(source, student, 2)[0].voxels.level is None


def test_the_range_limit_cuts_training_but_not_scoring(make_source, student) -> None:
    source = make_source(1)
    sample = source.load(source.frames[0])
    near = np.hypot(*sample.points[:, :2].T) <= 45.0
    assert 0 < near.sum() < len(near)
    assert len(_batches(source, student, 1)[0].labels) == near.sum()
    assert len(ScoreBatches(source, student, 4)[0].labels) == len(near)


def test_scans_are_read_once_while_they_fit(make_source, student) -> None:
    source = make_source()
    batches = _batches(source, student)
    for step in range(8):
        batches[step]
    assert set(source.load.__self__.loads.values()) == {1}


def test_fewer_frames_than_a_batch_make_a_smaller_batch(make_source, student) -> None:
    batch = _batches(make_source(3), student, batch_size=16)[7]
    assert batch.voxels.n_clouds == 3


def test_validation_frames_come_once_each_in_order_untouched(make_source, student) -> None:
    source = make_source(5)
    batches = ScoreBatches(source, student, 2)
    assert len(batches) == 3
    samples = [source.load(frame) for frame in source.frames]
    labels = np.concatenate([batches[n].labels for n in range(3)])
    assert np.array_equal(labels, np.concatenate([sample.labels for sample in samples]))
    voxels = batches[0].voxels
    xyz = np.concatenate([sample.points for sample in samples[:2]])
    assert np.array_equal(voxels.features[:, :3], xyz[voxels.first])
    assert batches[0].unknown_labels == {77: 4} and batches[2].unknown_labels == {77: 2}


def test_masks_split_the_points(make_source, student) -> None:
    source = make_source(2)
    batch = ScoreBatches(source, student, 2)[0]
    samples = [source.load(frame) for frame in source.frames]
    xyz = np.concatenate([sample.points for sample in samples])
    seen = np.concatenate(
        [np.isin(np.arange(300), project(s, rounding="round").point) for s in samples]
    )
    masks = batch.masks
    assert np.array_equal(masks["seen"], seen) and 0 < seen.sum() < len(seen)
    assert np.array_equal(masks["unseen"], ~seen)
    assert np.array_equal(masks["moving"], xyz[:, 1] > 40)
    bands = np.stack([masks[name] for name in ("0_20m", "20_40m", "40m_up")])
    assert (bands.sum(axis=0) == 1).all()
    distance = np.hypot(xyz[:, 0], xyz[:, 1])
    assert distance[bands[1]].min() >= 20 and distance[bands[1]].max() < 40


def test_a_frame_that_cannot_tell_is_in_neither_half(make_source, student) -> None:
    source = make_source(2)

    def load(frame):
        sample = source.load(frame)
        return sample if frame.index else replace(sample, moving=None, cameras=())

    masks = ScoreBatches(replace(source, load=load), student, 2)[0].masks
    for name in ("seen", "unseen", "moving", "static"):
        assert not masks[name][:300].any()
    assert (masks["seen"] | masks["unseen"])[300:].all()


def test_a_frame_without_labels_is_named(make_source, student) -> None:
    source = make_source()
    bare = replace(source, load=lambda frame: replace(source.load(frame), labels=None))
    for item in (_batches(bare, student), ScoreBatches(bare, student, 1)):
        with pytest.raises(UserError, match=r"frame train/\d\n.*no labels"):
            item[0]


@pytest.mark.parametrize("wrong", [3, -1])
def test_a_label_that_is_no_class_is_named(make_source, student, wrong) -> None:
    source = make_source()
    labels = np.full(300, wrong)
    strange = replace(source, load=lambda frame: replace(source.load(frame), labels=labels))
    with pytest.raises(UserError, match=f"train id {wrong}"):
        _batches(strange, student)[0]
