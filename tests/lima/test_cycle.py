"""Soft round trips against the matrices that they stand for, in float64."""

import pytest
import torch
import torch.nn.functional as F

from lima_bench.lima.cycle import best_matches, round_trips


def _features(*counts, width=6, spread=1.0):
    torch.manual_seed(0)
    made = (torch.randn(n, width, dtype=torch.float64) * spread for n in counts)
    return [F.normalize(one, dim=1).requires_grad_() for one in made]


def _journeys(start, through, end, temperature=0.1):
    """J in full."""
    there = (start @ through.T / temperature).softmax(dim=1)
    back = (through @ end.T / temperature).softmax(dim=1)
    return there @ back


def test_rows_of_j_sum_to_1():
    journeys = _journeys(*_features(7, 11, 7))
    torch.testing.assert_close(journeys.sum(1), torch.ones(7, dtype=torch.float64))


def test_value_and_gradients_equal_the_definition():
    given = _features(7, 11, 7)
    found = round_trips(*given, 0.1)
    wanted = -(_journeys(*given).diagonal() + 1e-20).log()
    torch.testing.assert_close(found, wanted, rtol=1e-11, atol=0)
    for one, other in zip(
        torch.autograd.grad(found.mean(), given),
        torch.autograd.grad(wanted.mean(), given),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_the_mean_over_scans_is_the_cross_entropy_of_the_block_diagonal_matrix():
    first, second = _features(7, 11, 7), _features(4, 5, 4)
    whole = torch.block_diag(_journeys(*first), _journeys(*second))
    published = F.cross_entropy((whole + 1e-20).log(), torch.arange(len(whole)))
    ours = torch.cat([round_trips(*first, 0.1), round_trips(*second, 0.1)]).mean()
    torch.testing.assert_close(ours, published, rtol=1e-11, atol=0)


def test_a_single_walk_always_comes_back():
    assert round_trips(*_features(1, 9, 1), 0.1).item() == pytest.approx(0, abs=1e-12)


def test_walks_through_one_station_forget_where_they_began():
    """B alone decides: with equal ends, each of 4 is as likely."""
    start, through, _ = _features(4, 1, 4)
    end = start[:1].expand(4, -1)
    found = round_trips(start, through, end, 0.1)
    torch.testing.assert_close(found, torch.full_like(found, 4.0).log())


def test_a_hopeless_walk_costs_no_more_than_the_floor():
    eye = torch.eye(2, dtype=torch.float64)
    lost = round_trips(eye, eye, eye.flip(0), 0.001)
    torch.testing.assert_close(lost, torch.full_like(lost, 46.0517018598809))


def test_best_matches_are_the_largest_products():
    features, others = _features(9, 5)
    found, score = best_matches(features, others)
    products = features @ others.T
    assert torch.equal(found, products.argmax(dim=1))
    assert torch.equal(score, products.amax(dim=1))
    assert not score.requires_grad
