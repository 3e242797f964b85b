"""Occupancy: where queries lie and what they are told, who must answer them, and how."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lima_bench.lima.nearest import rows_within
from lima_bench.lima.occupancy import (
    Queries,
    neighbours,
    queries_of,
    sight_queries,
    voxel_queries,
)
from lima_bench.lima.occupancy_decoder import OccupancyDecoder
from lima_bench.lima.synthetic import random_drive
from lima_bench.lima.synthetic_batch import collate


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def _points(n=300):
    return torch.empty(n, 3).uniform_(-10, 10)


@pytest.mark.parametrize(("asked", "sizes"), [(300, (100, 100, 100)), (11, (5, 3, 3))])
def test_a_third_lies_behind_points_a_third_before_and_a_third_anywhere_before(asked, sizes):
    points = _points()
    made, occupied = sight_queries(points, asked, 0.1)
    assert occupied.tolist() == [1] * sizes[0] + [0] * (sizes[1] + sizes[2])
    # Each query lies on the ray of one point.
    direction = made / made.norm(dim=1, keepdim=True)
    cosine = direction @ (points / points.norm(dim=1, keepdim=True)).T
    assert (cosine.max(dim=1).values > 1 - 1e-6).all()
    beyond = made.norm(dim=1) - points.norm(dim=1)[cosine.argmax(dim=1)]
    behind, before, far = beyond.split(sizes)
    assert (behind >= -1e-5).all() and (behind <= 0.1 + 1e-5).all()
    assert (before <= 1e-5).all() and (before >= -0.1 - 1e-5).all()
    assert (far <= 1e-5).all()
    if asked == 300:
        assert behind.max() > 0.08 and before.min() < -0.08 and far.min() < -5


def test_thirds_are_drawn_apart():
    made, _ = sight_queries(_points(40), 90, 1e-9)
    behind, before = made[:30], made[30:60]
    assert not torch.allclose(behind, before, atol=1e-3)
    assert len({tuple(row.tolist()) for row in (behind * 1e4).round()}) == 30


def test_few_points_give_few_queries():
    made, occupied = sight_queries(_points(2), 2048, 0.1)
    assert len(made) == len(occupied) == 6
    for make in (sight_queries, voxel_queries):
        made, occupied = make(_points(0), 2048, 0.1)
        assert made.shape == (0, 3) and occupied.shape == (0,)


def test_a_point_at_the_sensor_has_no_direction_and_makes_no_nan():
    made, _ = sight_queries(torch.zeros(3, 3), 9, 0.1)
    assert torch.isfinite(made).all()


def test_voxels_are_full_exactly_where_points_are():
    points, edge = _points(400), 0.4
    made, occupied = voxel_queries(points, 600, edge)
    taken = {tuple(row) for row in (points / edge).floor().long().tolist()}
    asked = (made / edge).floor().long()
    torch.testing.assert_close(made, (asked + 0.5) * edge)
    expected = [float(tuple(row) in taken) for row in asked.tolist()]
    assert occupied.tolist() == expected
    assert occupied[:300].all() and 0 < occupied[300:].sum() < 300


def test_voxels_on_the_way_of_a_ray():
    """One ray along x: it passes every voxel up to its point, and none beyond or beside."""
    points = torch.tensor([[3.9, 0.1, 0.1]]).repeat(2000, 1)
    made, occupied = voxel_queries(points, 4000, 1.0)
    rays = made[2000:]
    assert {tuple(row) for row in rays.tolist()} == {(x + 0.5, 0.5, 0.5) for x in range(4)}
    assert torch.equal(occupied[2000:], (rays[:, 0] > 3).float())
    share = [(rays[:, 0] == x + 0.5).float().mean().item() for x in range(4)]
    assert share == pytest.approx([1 / 3.9] * 3 + [0.9 / 3.9], abs=0.04)


@pytest.mark.parametrize("kind", ["sight", "voxel"])
def test_queries_move_with_the_cloud_that_they_were_made_from(kind):
    """Undone by the inverse motion they are what the unmoved scan would have given."""
    batch = collate([random_drive(name, frames=1)[0] for name in ("a", "b")])
    queries = queries_of(batch, kind, 60, depth_m=0.1, voxel_m=0.4)
    torch.manual_seed(0)
    for number, scan in enumerate(batch.scans):
        own = queries.view == number
        points = batch.xyz[scan.start : scan.stop]
        if kind == "sight":
            made, occupied = sight_queries(points, 60, 0.1)
        else:
            made, occupied = voxel_queries(points, 60, 0.4)
        back = torch.linalg.inv(batch.motion[number]).float()
        torch.testing.assert_close(
            queries.xyz[own] @ back[:3, :3].T + back[:3, 3], made, atol=1e-4, rtol=0
        )
        assert torch.equal(queries.occupied[own], occupied)
    assert not torch.allclose(batch.motion[0], batch.motion[1])


@pytest.mark.parametrize("most", [1, 4, 200])
def test_rows_within_are_those_of_a_search_through_all(most):
    rng = np.random.default_rng(0)
    current = rng.normal(0, 2, (60, 3)).astype(np.float32)
    past = np.concatenate([rng.normal(0, 2, (150, 3)), [[500, 500, 0]]]).astype(np.float32)
    found = rows_within(current, past, 1.0, most)
    apart = np.linalg.norm(current[:, None].astype(np.float64) - past[None], axis=2)
    for row, distances in zip(found, apart, strict=True):
        expected = np.flatnonzero(distances <= 1.0)[:most].tolist()
        assert row.tolist() == expected + [-1] * (most - len(expected))


def test_a_neighbour_at_exactly_the_radius_counts():
    here = np.zeros((1, 3), dtype=np.float32)
    past = np.array([[0, 0, 1], [0.6, 0.8, 0], [0, 1.001, 0]], dtype=np.float32)
    assert rows_within(here, past[:1], 1.0, 2).tolist() == [[0, -1]]
    assert rows_within(here, past[2:], 1.0, 2).tolist() == [[-1, -1]]
    for empty in (past[:0],):
        assert rows_within(empty, past, 1.0, 2).shape == (0, 2)
        assert (rows_within(past, empty, 1.0, 2) == -1).all()


def _asked(n=40, views=2):
    view = torch.arange(n) % views
    return Queries(_points(n) / 5, view, torch.zeros(n))


def test_who_is_near_is_of_the_same_view():
    queries, xyz = _asked(), _points(200) / 5
    view = torch.randint(0, 2, (200,))
    query, support = neighbours(queries, xyz, view, radius_m=1.0, most=200)
    near = torch.cdist(queries.xyz.double(), xyz.double()) <= 1.0
    near &= queries.view[:, None] == view[None]
    assert {*zip(query.tolist(), support.tolist(), strict=True)} == {
        tuple(pair) for pair in near.nonzero().tolist()
    }
    assert len(query) == int(near.sum()) > 50


def test_of_many_near_ones_any_may_be_drawn():
    queries = Queries(torch.zeros(1, 3), torch.zeros(1, dtype=torch.int64), torch.ones(1))
    xyz, view = _points(20) / 100, torch.zeros(20, dtype=torch.int64)
    drawn = [neighbours(queries, xyz, view, radius_m=1.0, most=3)[1].tolist() for _ in range(60)]
    assert all(len(set(rows)) == 3 for rows in drawn)
    assert {row for rows in drawn for row in rows} == set(range(20))


def test_nobody_is_near_nothing():
    none = torch.zeros(0, dtype=torch.int64)
    for queries, n in ((_asked(), 0), (_asked(0), 9)):
        query, support = neighbours(queries, _points(n), none.new_zeros(n), radius_m=1.0, most=3)
        assert query.shape == support.shape == (0,)


def test_the_decoder_equals_its_definition():
    """Latent and offset side by side, meeting by meeting, no ReLU before the last layer."""
    decoder = OccupancyDecoder(6, 10).double()
    features = torch.randn(7, 6, dtype=torch.float64, requires_grad=True)
    support = torch.randint(0, 7, (30,))
    offset = torch.randn(30, 3, dtype=torch.float64)
    values = decoder.enter(torch.cat([decoder.latent(features)[support], offset], dim=1))
    for layer in decoder.hidden:
        values = layer(values.clamp(min=0))
    expected = (values @ decoder.leave.weight.T + decoder.leave.bias)[:, 0]
    found = decoder(features, offset, support)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)
    weights = [features, *decoder.parameters()]
    for one, other in zip(
        torch.autograd.grad(found.sin().sum(), weights),
        torch.autograd.grad(expected.sin().sum(), weights),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-13)
    assert decoder.enter.in_features == 13 and len(decoder.hidden) == 2
