"""Nearest neighbours after undoing the car's motion, against all distances."""

import numpy as np
import pytest

from lima_bench.lima.align import Aligner, PlacedCloud


def _pose(angle=0.0, shift=(0.0, 0.0, 0.0)):
    pose = np.eye(4)
    pose[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    pose[:3, 3] = shift
    return pose


def _cloud(n, pose, seed):
    xyz = np.random.default_rng(seed).uniform(-5, 5, (n, 3)).astype(np.float32)
    return PlacedCloud(xyz, pose)


def _all_distances(current, past, radius):
    """The spec's direction: past points into the current frame."""
    carry = np.linalg.inv(current.lidar_to_global) @ past.lidar_to_global
    moved = past.xyz.astype(np.float64) @ carry[:3, :3].T + carry[:3, 3]
    distance = np.linalg.norm(current.xyz[:, None].astype(np.float64) - moved, axis=2)
    return np.where(distance.min(1) <= radius, distance.argmin(1), -1)


@pytest.mark.parametrize("radius", [0.3, 1.0, 30.0])
def test_equals_the_minimum_over_all_distances(radius):
    current = _cloud(300, _pose(0.4, (1, 2, 0.1)), 0)
    past = _cloud(200, _pose(-1.0, (0.5, 1, 0)), 1)
    found = Aligner(radius).nearest(current, past)
    expected = _all_distances(current, past, radius)
    assert np.array_equal(found, expected)
    assert (found >= 0).any()
    assert radius > 1 or (found < 0).any()


def test_a_common_motion_of_all_poses_changes_nothing():
    first, second = _pose(0.4, (1, 2, 0.1)), _pose(-1.0, (0.5, 1, 0))
    far = _pose(2.0, (3000, -800, 40))
    here = Aligner(1.0).nearest(_cloud(300, first, 0), _cloud(200, second, 1))
    there = Aligner(1.0).nearest(_cloud(300, far @ first, 0), _cloud(200, far @ second, 1))
    assert np.array_equal(here, there)


def test_a_neighbour_at_exactly_the_radius_counts():
    current = PlacedCloud(np.zeros((1, 3), np.float32), np.eye(4))
    past = PlacedCloud(np.array([[0.5, 0, 0]], np.float32), np.eye(4))
    assert Aligner(0.5).nearest(current, past).tolist() == [0]
    assert Aligner(np.nextafter(0.5, 0)).nearest(current, past).tolist() == [-1]


def test_the_same_pair_is_searched_once_and_another_pose_again(monkeypatch):
    searches = []
    search = Aligner._search
    monkeypatch.setattr(
        Aligner, "_search", lambda *clouds: searches.append(clouds) or search(*clouds)
    )
    aligner = Aligner(1.0)
    first = aligner.nearest(_cloud(50, _pose(), 0), _cloud(40, _pose(), 1))
    again = aligner.nearest(_cloud(50, _pose(), 0), _cloud(40, _pose(), 1))
    assert np.array_equal(first, again)
    assert len(searches) == 1
    aligner.nearest(_cloud(50, _pose(0.1), 0), _cloud(40, _pose(), 1))
    aligner.nearest(_cloud(50, _pose(), 0), _cloud(40, _pose(), 2))
    assert len(searches) == 3


def test_the_memory_for_answers_is_bounded():
    aligner = Aligner(1.0, memo_bytes=500)
    for seed in range(6):
        aligner.nearest(_cloud(50, _pose(), seed), _cloud(40, _pose(), 9))
    assert sum(found.nbytes for found in aligner._memo.values()) == 400
    found = aligner.nearest(_cloud(50, _pose(), 5), _cloud(40, _pose(), 9))
    assert np.array_equal(
        found, _all_distances(_cloud(50, _pose(), 5), _cloud(40, _pose(), 9), 1.0)
    )


@pytest.mark.parametrize(("current", "past"), [(0, 5), (5, 0), (0, 0)])
def test_empty_clouds(current, past):
    found = Aligner(1.0).nearest(_cloud(current, _pose(), 0), _cloud(past, _pose(), 1))
    assert found.tolist() == [-1] * current
