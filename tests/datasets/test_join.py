"""Several data sets as one stream: every frame is told apart and read by its own reader."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lima_bench.datasets.api import open_dataset
from lima_bench.datasets.join import joined
from lima_bench.datasets.sample import Source
from lima_bench.datasets.world.recording import Recording

Written = tuple[Path, list[Recording]]


def source(name: str, root: Path) -> Source:
    reader = open_dataset(name)
    return Source(reader.card, reader.frames(root, "val"), reader.load)


def test_one_data_set_stays_as_it_is(nuscenes_root: Written) -> None:
    only = source("nuscenes", nuscenes_root[0])
    assert joined({"nuscenes": only}) is only


def test_frames_of_two_data_sets(nuscenes_root: Written, semantickitti_root: Written) -> None:
    parts = {
        "nuscenes": source("nuscenes", nuscenes_root[0]),
        "semantickitti": source("semantickitti", semantickitti_root[0]),
    }
    both = pickle.loads(pickle.dumps(joined(parts)))
    assert len(both.frames) == 6
    assert [frame.sequence for frame in both.frames[3:]] == ["semantickitti/08"] * 3
    plain = [frame for part in parts.values() for frame in part.frames]
    for frame, own in zip(both.frames, plain, strict=True):
        sample, alone = both.load(frame), parts[frame.dataset].load(own)
        assert sample.frame == frame and frame.id == f"{frame.dataset}/{own.id}"
        np.testing.assert_array_equal(sample.points, alone.points)
        assert [c.id for c in sample.cameras] == [f"{frame.dataset}/{c.id}" for c in alone.cameras]
        assert both.scale_of(frame) == parts[frame.dataset].card.intensity


def test_equal_names_stay_apart(
    drive: Callable[..., Recording], semantickitti_root: Written
) -> None:
    one = source("semantickitti", semantickitti_root[0])
    both = joined({"a": one, "b": one})
    assert len({frame.id for frame in both.frames}) == 2 * len(one.frames)
    images = [camera.id for frame in both.frames for camera in both.load(frame).cameras]
    assert len(set(images)) == len(images) > 0
