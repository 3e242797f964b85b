"""Frames at 10 Hz are each other's sweeps, in either of Waymo Open's formats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lima_bench.datasets.waymo.reader import Waymo


@pytest.mark.parametrize("written", ["parquet", "tfrecord"])
def test_sweeps_are_the_frames_before(roots: dict[str, Path], written: str) -> None:
    if written == "tfrecord":
        pytest.importorskip("google.protobuf")
    reader = Waymo()
    frames = reader.frames(roots[written], "pretrain")
    assert [frame.index for frame in frames] == [0, 1, 2]
    samples = [reader.load(frame) for frame in frames]
    for number, frame in enumerate(frames):
        found = reader.sweeps(frame, 2)
        assert len(found) == number
        for sweep, earlier in zip(found, samples[:number][::-1], strict=True):
            np.testing.assert_array_equal(sweep.points, earlier.points)
            np.testing.assert_array_equal(sweep.intensity, earlier.intensity)
            np.testing.assert_array_equal(sweep.lidar_to_global, earlier.lidar_to_global)
            assert sweep.timestamp_s == earlier.frame.timestamp_s < frame.timestamp_s
