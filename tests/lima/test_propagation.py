"""Targets from now and before, against the specification written out point by point."""

import math

import numpy as np
import pytest
import torch

from lima_bench.lima.align import Aligner, PlacedCloud
from lima_bench.lima.cross_view import Observed
from lima_bench.lima.memory import Keyframe
from lima_bench.lima.methods.catalogue import LimaSettings
from lima_bench.lima.propagation import propagate

RULES = ["mean", "max", "decay", "sim_gate", "softmax_sim"]


def _pose(angle, shift):
    pose = np.eye(4)
    pose[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    pose[:3, 3] = shift
    return pose


def _scene(seed=0, n_past=3):
    """A scan half of whose points cameras see, and earlier frames of the same place."""
    rng = np.random.default_rng(seed)
    world = rng.uniform(-4, 4, (60, 3))

    def placed(angle, shift, rows):
        pose = _pose(angle, shift)
        xyz = (world[rows] + rng.normal(0, 0.1, (len(rows), 3)) - shift) @ pose[:3, :3]
        return PlacedCloud(xyz.astype(np.float32), pose)

    cloud = placed(0.5, (1.0, 2.0, 0.0), np.arange(60))
    now = Observed(torch.arange(0, 60, 2), torch.from_numpy(rng.normal(size=(30, 4))))
    past = []
    for age in range(n_past, 0, -1):
        rows = np.sort(rng.choice(60, 35, replace=False))
        features = torch.from_numpy(rng.normal(size=(35, 4)) + 0.5).half()
        past.append((age, Keyframe(9 - age, placed(0.1 * age, (age, 0, 0), rows), features)))
    return now, cloud, past


def _written_out(now, cloud, past, settings):
    """Section 3.4 of the specification: {point: target}."""
    seen = dict(zip(now.point.tolist(), now.features.numpy(), strict=True))
    targets = {}
    for i, x in enumerate(cloud.xyz.astype(np.float64)):
        if settings.coverage == "current" and i not in seen:
            continue
        values, weights = ([seen[i]], [1.0]) if i in seen else ([], [])
        for age, frame in past:
            carry = np.linalg.inv(cloud.lidar_to_global) @ frame.cloud.lidar_to_global
            moved = frame.cloud.xyz.astype(np.float64) @ carry[:3, :3].T + carry[:3, 3]
            distance = np.linalg.norm(moved - x, axis=1)
            if distance.min() <= settings.radius_m:
                lent = frame.features[distance.argmin()].double().numpy()
                values.append(lent)
                weights.append(_weight(seen.get(i), lent, age, settings))
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


@pytest.mark.parametrize("coverage", ["current", "union"])
@pytest.mark.parametrize("pool", RULES)
def test_targets_equal_the_specification(pool, coverage):
    settings = LimaSettings(pool=pool, coverage=coverage, sim_threshold=0.2, decay=0.7)
    now, cloud, past = _scene()
    made = propagate(now, cloud, past, Aligner(settings.radius_m), settings)
    expected = _written_out(now, cloud, past, settings)
    assert sorted(made.point.tolist()) == sorted(expected)
    for point, feature in zip(made.point.tolist(), made.features.numpy(), strict=True):
        np.testing.assert_allclose(feature, expected[point], rtol=1e-10)
    assert coverage == "current" or len(expected) > len(now.point)


@pytest.mark.parametrize("pool", RULES)
def test_the_past_moves_some_targets_and_leaves_others(pool):
    settings = LimaSettings(pool=pool, coverage="current", sim_threshold=0.2)
    now, cloud, past = _scene()
    made = propagate(now, cloud, past, Aligner(0.5), settings)
    same = (made.features - now.features).abs().amax(1) < 1e-12
    assert 0 < same.sum() < len(same)


@pytest.mark.parametrize("pool", ["mean", "max"])
def test_the_order_of_the_bank_plays_no_part(pool):
    settings = LimaSettings(pool=pool)
    now, cloud, past = _scene()
    forward = propagate(now, cloud, past, Aligner(0.5), settings)
    backward = propagate(now, cloud, past[::-1], Aligner(0.5), settings)
    assert torch.equal(forward.point, backward.point)
    torch.testing.assert_close(forward.features, backward.features, rtol=1e-12, atol=1e-14)


def test_two_features_of_one_point_are_pooled_apart():
    """With cross-view aggregation off each camera's target has a history of its own."""
    now, cloud, past = _scene()
    double = Observed(now.point.repeat_interleave(2), now.features.repeat_interleave(2, dim=0))
    double.features[1::2] += 1
    settings = LimaSettings(cva="off")
    made = propagate(double, cloud, past, Aligner(0.5), settings)
    once = propagate(now, cloud, past, Aligner(0.5), settings)
    assert torch.equal(made.point[:60], double.point)
    torch.testing.assert_close(made.features[:60:2], once.features[:30])
    assert sorted(made.point[60:].tolist()) == sorted(once.point[30:].tolist())


def test_without_a_past_nothing_changes():
    now, cloud, _ = _scene()
    assert propagate(now, cloud, [], Aligner(0.5), LimaSettings()) is now
