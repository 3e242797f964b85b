"""Targets from now and before, against the specification written out point by point."""

import math

import numpy as np
import pytest
import torch

from lima_bench.lima import blocks
from lima_bench.lima.align import PlacedCloud, nearest
from lima_bench.lima.cross_view import Sight
from lima_bench.lima.methods.cards.lima import LimaSettings
from lima_bench.lima.propagation import Past, averaged_by_voxel, fill_targets, target_points

RULES = ["mean", "max", "decay", "sim_gate", "softmax_sim"]


def _pose(angle, shift):
    pose = np.eye(4)
    pose[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    pose[:3, 3] = shift
    return pose


def _sight(point, features):
    """What cameras said, given feature by feature: each from one grid cell alone."""
    rows = torch.arange(len(point))
    shares = torch.tensor([1.0, 0, 0, 0], dtype=features.dtype).expand(len(point), 4)
    cells = rows[:, None].expand(-1, 4).int()
    return Sight(point, torch.arange(len(point) + 1).int(), cells, shares, features)


class _Frame:
    """A past frame: what its cameras saw, and from where."""

    def __init__(self, age, cloud, features):
        self.age, self.cloud, self.features = age, cloud, features


def _scene(seed=0, n_past=3):
    """A scan half of whose points cameras see, and earlier frames of the same place."""
    rng = np.random.default_rng(seed)
    world = rng.uniform(-4, 4, (60, 3))

    def placed(angle, shift, rows):
        pose = _pose(angle, shift)
        xyz = (world[rows] + rng.normal(0, 0.1, (len(rows), 3)) - shift) @ pose[:3, :3]
        return PlacedCloud(xyz.astype(np.float32), pose)

    cloud = placed(0.5, (1.0, 2.0, 0.0), np.arange(60))
    now = _sight(torch.arange(0, 60, 2), torch.from_numpy(rng.normal(size=(30, 4))))
    past = []
    for age in range(n_past, 0, -1):
        rows = np.sort(rng.choice(60, 35, replace=False))
        features = torch.from_numpy(rng.normal(size=(35, 4)) + 0.5).half()
        past.append(_Frame(age, placed(0.1 * age, (age, 0, 0), rows), features))
    return now, cloud, past


def _propagate(now, cloud, past, settings):
    """{point: target}, and the targets in order."""
    seen = [
        Past(
            frame.age,
            _sight(torch.arange(35), frame.features),
            torch.from_numpy(nearest(cloud, frame.cloud, settings.radius_m)).long(),
        )
        for frame in past
    ]
    point = target_points(now, seen, len(cloud.xyz), settings)
    out = torch.full((len(point), 4), torch.nan, dtype=torch.float64)
    fill_targets(out, point, now, seen, settings)
    return point, out


def _written_out(now, cloud, past, settings):
    """Section 3.4 of the specification: {point: target}."""
    seen = dict(zip(now.point.tolist(), now.grids.numpy(), strict=True))
    targets = {}
    for i, x in enumerate(cloud.xyz.astype(np.float64)):
        if settings.coverage == "current" and i not in seen:
            continue
        values, weights = ([seen[i]], [1.0]) if i in seen else ([], [])
        for frame in past:
            carry = np.linalg.inv(cloud.lidar_to_global) @ frame.cloud.lidar_to_global
            moved = frame.cloud.xyz.astype(np.float64) @ carry[:3, :3].T + carry[:3, 3]
            distance = np.linalg.norm(moved - x, axis=1)
            if distance.min() <= settings.radius_m:
                lent = frame.features[distance.argmin()].double().numpy()
                values.append(lent)
                weights.append(_weight(seen.get(i), lent, frame.age, settings))
        if settings.pool == "max" and values:
            targets[i] = np.max(values, axis=0)
        elif values:
            targets[i] = np.average(values, axis=0, weights=weights)
    return targets


def _weight(current, lent, age, settings):
    if settings.pool == "decay":
        return settings.decay**age
    if settings.pool in ("mean", "max") or current is None:
        return 1.0
    cos = current @ lent / np.linalg.norm(current) / np.linalg.norm(lent)
    if settings.pool == "sim_gate":
        return float(cos >= settings.sim_threshold)
    return math.exp(cos / 0.1) / math.exp(1 / 0.1)


@pytest.mark.parametrize("block_values", [1, 40, 1 << 19])
@pytest.mark.parametrize("coverage", ["current", "union"])
@pytest.mark.parametrize("pool", RULES)
def test_targets_equal_the_specification(pool, coverage, block_values, monkeypatch):
    monkeypatch.setitem(blocks.BLOCK_VALUES, "cpu", block_values)
    settings = LimaSettings(pool=pool, coverage=coverage, sim_threshold=0.2, decay=0.7)
    now, cloud, past = _scene()
    point, features = _propagate(now, cloud, past, settings)
    expected = _written_out(now, cloud, past, settings)
    assert sorted(point.tolist()) == sorted(expected)
    for number, feature in zip(point.tolist(), features.numpy(), strict=True):
        np.testing.assert_allclose(feature, expected[number], rtol=1e-10)
    assert coverage == "current" or len(expected) > len(now.point)


@pytest.mark.parametrize("pool", RULES)
def test_the_past_moves_some_targets_and_leaves_others(pool):
    settings = LimaSettings(pool=pool, coverage="current", sim_threshold=0.2)
    now, cloud, past = _scene()
    _, features = _propagate(now, cloud, past, settings)
    same = (features - now.grids).abs().amax(1) < 1e-12
    assert 0 < same.sum() < len(same)


@pytest.mark.parametrize("pool", ["mean", "max"])
def test_the_order_of_the_bank_plays_no_part(pool):
    settings = LimaSettings(pool=pool)
    now, cloud, past = _scene()
    forward = _propagate(now, cloud, past, settings)
    backward = _propagate(now, cloud, past[::-1], settings)
    assert torch.equal(forward[0], backward[0])
    torch.testing.assert_close(forward[1], backward[1], rtol=1e-12, atol=1e-14)


def test_two_features_of_one_point_are_pooled_apart():
    """With cross-view aggregation off each camera's target has a history of its own."""
    now, cloud, past = _scene()
    features = now.grids.repeat_interleave(2, dim=0)
    features[1::2] += 1
    double = _sight(now.point.repeat_interleave(2), features)
    settings = LimaSettings(cva="off")
    point, made = _propagate(double, cloud, past, settings)
    once, expected = _propagate(now, cloud, past, settings)
    assert torch.equal(point[:60], double.point)
    torch.testing.assert_close(made[:60:2], expected[:30])
    assert sorted(point[60:].tolist()) == sorted(once[30:].tolist())


def test_without_a_past_nothing_changes():
    now, cloud, _ = _scene()
    point, features = _propagate(now, cloud, [], LimaSettings())
    assert torch.equal(point, now.point)
    assert torch.equal(features, now.grids)


def test_rows_beyond_a_bounded_grid_have_no_voxel_to_share():
    rows, met = torch.tensor([0, 1, 2, 4]), torch.tensor([0, 1, 2, 3])
    voxel = torch.tensor([-1, 7, 7, 3, -1])
    features = torch.tensor([[9.0], [1.0], [3.0], [9.0]])
    row, target, mean = averaged_by_voxel(rows, met, voxel, features)
    assert (row.tolist(), target.tolist(), mean.tolist()) == ([1], [0], [[2.0]])
