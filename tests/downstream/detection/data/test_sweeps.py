"""Ten scans as one cloud: brought to the keyframe, aged, and cut around the car."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lima_bench.common.errors import UserError
from lima_bench.downstream.detection.data.sweeps import DRAWN_FROM, scans_of, swept


def _swept(source, number, recipe, seed=0):
    frame = source.frames[number]
    return swept(source, frame, source.load(frame), recipe, np.random.default_rng(seed))


def test_a_still_world_lies_on_itself(make_boxed, recipe, changed) -> None:
    """Every sweep, carried through the global frame, is the keyframe's scan again."""
    source = make_boxed()
    sample = source.load(source.frames[2])
    points, intensity, lag_s = _swept(source, 2, changed(recipe, near_m=0.0))
    n = len(sample.points)
    assert points.dtype == intensity.dtype == lag_s.dtype == np.float32
    assert points.shape == (5 * n, 3)
    for part in range(5):
        np.testing.assert_allclose(points[part * n : (part + 1) * n], sample.points, atol=2e-5)
    expected = np.repeat([0.0, 0.05, 0.1, 0.15, 0.2], n)
    np.testing.assert_allclose(lag_s, expected, atol=1e-6)
    np.testing.assert_array_equal(intensity[:n], sample.intensity)
    np.testing.assert_allclose(intensity[n : 2 * n], 255 * 0.95, rtol=1e-6)


def test_points_on_the_car_go_from_sweeps_alone(make_boxed, recipe, changed) -> None:
    """Near in both x and y of the sweep's own frame."""
    source = make_boxed()
    frame = source.frames[2]
    sample = source.load(frame)
    lags = {}
    _, _, lag_s = _swept(source, 2, changed(recipe, near_m=3.0))
    near_own = (np.abs(sample.points[:, :2]) < 3.0).all(axis=1)
    assert near_own.any() and (lag_s == 0).sum() == len(sample.points)
    for number, sweep in enumerate(source.sweeps(frame, 4), start=1):
        far = ~((np.abs(sweep.points[:, 0]) < 3.0) & (np.abs(sweep.points[:, 1]) < 3.0))
        one_axis = far & (np.abs(sweep.points[:, :2]) < 3.0).any(axis=1)
        lags[number] = np.isclose(lag_s, 0.05 * number, atol=1e-4).sum()
        assert lags[number] == far.sum() < len(far)
        assert one_axis.any()


def test_a_recording_begins_with_fewer_sweeps_or_none(make_boxed, recipe, changed) -> None:
    many = changed(recipe, sweeps=9)
    source = make_boxed()
    sample = source.load(source.frames[0])
    # At the very beginning the one "sweep" that the fixture knows would be later than the frame.
    points, _, lag_s = _swept(source, 0, many)
    np.testing.assert_array_equal(points, sample.points)
    assert not lag_s.any()
    few = replace(source, sweeps=lambda frame, n: source.sweeps(frame, n)[:2])
    assert len(np.unique(_swept(few, 1, many)[2])) == 3


def test_a_random_choice_is_among_the_last_ten(make_boxed, recipe, changed) -> None:
    source = make_boxed(n_sweeps=12)
    drawing = changed(recipe, sweep_choice="random", sweeps=3, near_m=0.0)
    frame = source.frames[2]
    assert len(scans_of(source, frame, source.load(frame), drawing)) == 1 + DRAWN_FROM
    seen = set()
    for seed in range(30):
        ages = np.unique(np.rint(_swept(source, 2, drawing, seed)[2] / 0.05)).astype(int)
        assert ages[0] == 0 and len(ages) == 4
        seen.update(ages.tolist())
    assert seen == set(range(DRAWN_FROM + 1))
    one, same = _swept(source, 2, drawing, 1), _swept(source, 2, drawing, 1)
    np.testing.assert_array_equal(one.points, same.points)
    assert len(np.unique(_swept(source, 2, changed(drawing, sweeps=10))[2])) == 11


def test_missing_sweeps_and_poses_are_told(make_boxed, recipe, changed, without_sweeps) -> None:
    still = without_sweeps(make_boxed())
    with pytest.raises(UserError, match="adds 4 sweeps") as caught:
        _swept(still, 1, recipe)
    assert "`sweeps` to 0" in caught.value.how
    assert len(_swept(still, 1, changed(recipe, sweeps=0)).points)
    source = make_boxed()
    lost = replace(source, load=lambda f: replace(source.load(f), lidar_to_global=None))
    with pytest.raises(UserError, match="no pose"):
        _swept(lost, 1, recipe)
