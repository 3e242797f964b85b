"""Nearest neighbours after undoing the car's motion, against all distances."""

import numpy as np
import pytest
import torch

from lima_bench.lima import nearest as search
from lima_bench.lima.align import PlacedCloud, nearest


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
    found = nearest(current, past, radius)
    expected = _all_distances(current, past, radius)
    assert np.array_equal(found, expected)
    assert (found >= 0).any()
    assert radius > 1 or (found < 0).any()


def test_a_common_motion_of_all_poses_changes_nothing():
    first, second = _pose(0.4, (1, 2, 0.1)), _pose(-1.0, (0.5, 1, 0))
    far = _pose(2.0, (3000, -800, 40))
    here = nearest(_cloud(300, first, 0), _cloud(200, second, 1), 1.0)
    there = nearest(_cloud(300, far @ first, 0), _cloud(200, far @ second, 1), 1.0)
    assert np.array_equal(here, there)


def test_a_neighbour_at_exactly_the_radius_counts():
    current = PlacedCloud(np.zeros((1, 3), np.float32), np.eye(4))
    past = PlacedCloud(np.array([[0.5, 0, 0]], np.float32), np.eye(4))
    assert nearest(current, past, 0.5).tolist() == [0]
    assert nearest(current, past, np.nextafter(0.5, 0)).tolist() == [-1]


def test_among_equally_near_points_the_first_counts():
    """Neighbours in different columns and twice in one place; whatever the order of asking."""
    corners = np.array([[x, y, 0] for x in (-0.3, 0.3) for y in (-0.3, 0.3)], np.float32)
    past = PlacedCloud(np.concatenate([corners[::-1], corners]), np.eye(4))
    middle = np.zeros((1, 3), np.float32)
    current = PlacedCloud(np.concatenate([corners, middle, corners[::-1]]), np.eye(4))
    assert nearest(current, past, 0.5).tolist() == [3, 2, 1, 0, 0, 0, 1, 2, 3]


def test_stray_points_far_away_cost_no_memory_and_change_nothing():
    current, past = _cloud(300, _pose(), 0), _cloud(200, _pose(), 1)
    stray = np.array([[4e6, -3e6, 1e5], [-2e6, 5e6, 0]], np.float32)
    wide = PlacedCloud(np.concatenate([past.xyz, stray]), past.lidar_to_global)
    assert np.array_equal(nearest(current, wide, 0.7), nearest(current, past, 0.7))
    lost = PlacedCloud(current.xyz + np.float32(1e6), current.lidar_to_global)
    assert (nearest(lost, past, 0.7) == -1).all()


def test_the_number_of_threads_changes_nothing():
    current, past = _cloud(3000, _pose(0.4), 0), _cloud(2000, _pose(), 1)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = nearest(current, past, 1.0)
        torch.set_num_threads(3)
        assert np.array_equal(nearest(current, past, 1.0), alone)
    finally:
        torch.set_num_threads(threads)


def test_columns_are_as_wide_as_needed(monkeypatch):
    monkeypatch.setattr(search, "_MOST_COLUMNS", 3)
    current, past = _cloud(300, _pose(0.4), 0), _cloud(200, _pose(), 1)
    assert np.array_equal(nearest(current, past, 0.3), _all_distances(current, past, 0.3))


@pytest.mark.parametrize(("current", "past"), [(0, 5), (5, 0), (0, 0)])
def test_empty_clouds(current, past):
    found = nearest(_cloud(current, _pose(), 0), _cloud(past, _pose(), 1), 1.0)
    assert found.tolist() == [-1] * current
