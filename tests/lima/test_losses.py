"""Each loss against an independent few-line formula in float64, value and gradient."""

import math

import pytest
import torch

from lima_bench.lima.losses import DISTANCES, info_nce, mean_or_zero, unit, unit_distance

INDEPENDENT = {
    "l2norm": lambda cos: (2 - 2 * cos).sqrt(),
    "cosine": lambda cos: 1 - cos,
    "mse": lambda cos: 2 - 2 * cos,
    "smooth_l1": lambda cos: torch.where(cos > 0.5, 1 - cos, (2 - 2 * cos).sqrt() - 0.5),
}


def _random(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()


def test_every_kind_of_distance_is_tested():
    assert set(INDEPENDENT) == set(DISTANCES)


@pytest.mark.parametrize("kind", INDEPENDENT)
def test_distance_follows_from_the_cosine_alone(kind):
    points, targets = _random(40, 7), _random(40, 7, seed=1)
    cos = (points * targets).sum(1) / points.square().sum(1).sqrt() / targets.square().sum(1).sqrt()
    expected = INDEPENDENT[kind](cos).mean()
    value = unit_distance(points, targets, kind)
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=0)
    for one, other in zip(
        torch.autograd.grad(value, (points, targets)),
        torch.autograd.grad(expected, (points, targets)),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize(
    ("kind", "square", "opposite"),
    [
        ("l2norm", math.sqrt(2), 2.0),
        ("cosine", 1.0, 2.0),
        ("mse", 2.0, 4.0),
        ("smooth_l1", math.sqrt(2) - 0.5, 1.5),
    ],
)
def test_closed_forms(kind, square, opposite):
    x, y = torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 0.2]])
    assert unit_distance(x, x * 5, kind).item() == 0
    assert unit_distance(x, y, kind).item() == pytest.approx(square)
    assert unit_distance(x, -x, kind).item() == pytest.approx(opposite)


@pytest.mark.parametrize("kind", DISTANCES)
def test_no_gradient_where_nothing_is_left_to_learn(kind):
    points = _random(3, 4)
    unit_distance(points, points.detach().clone(), kind).backward()
    assert torch.equal(points.grad, torch.zeros_like(points))


@pytest.mark.parametrize("kind", DISTANCES)
def test_a_zero_vector_neither_breaks_nor_explodes(kind):
    points = torch.zeros(2, 4, requires_grad=True)
    value = unit_distance(points, torch.ones(2, 4), kind)
    value.backward()
    assert math.isfinite(value.item())
    assert points.grad.abs().max() <= 1


@pytest.mark.parametrize("kind", DISTANCES)
def test_no_rows_give_zero_with_zero_gradients(kind):
    weight = torch.ones(5, 4, requires_grad=True)
    value = unit_distance(torch.zeros(0, 5) @ weight, torch.zeros(0, 4), kind)
    value.backward()
    assert value.item() == 0
    assert torch.equal(weight.grad, torch.zeros(5, 4))


def test_long_half_precision_vectors_do_not_overflow():
    long = torch.full((1, 64), 60000.0, dtype=torch.float16)
    assert unit(long).dtype == torch.float32
    assert unit_distance(long, long).item() == 0


def test_info_nce_is_minus_the_log_share_of_the_own_candidate():
    anchors, candidates = _random(6, 3), _random(6, 3, seed=1)
    value = info_nce(anchors, candidates, 0.07)
    similar = [[(a * c).sum() / 0.07 for c in candidates] for a in anchors]
    shares = [
        torch.stack(row).exp()[n] / torch.stack(row).exp().sum() for n, row in enumerate(similar)
    ]
    expected = -torch.stack(shares).log().mean()
    torch.testing.assert_close(value, expected, rtol=1e-10, atol=0)
    ours = torch.autograd.grad(value, (anchors, candidates))
    theirs = torch.autograd.grad(expected, (anchors, candidates))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-12)


def test_info_nce_runs_one_way_only():
    anchors, candidates = _random(6, 3), _random(6, 3, seed=1)
    assert info_nce(anchors, candidates, 0.5) != info_nce(candidates, anchors, 0.5)


def test_info_nce_of_equal_candidates_is_the_log_of_their_number():
    value = info_nce(torch.ones(8, 3), torch.ones(8, 3), 0.07)
    assert value.item() == pytest.approx(math.log(8))


@pytest.mark.parametrize("groups", [0, 1])
def test_info_nce_has_nothing_to_tell_apart(groups):
    anchors = torch.ones(groups, 3, requires_grad=True)
    candidates = torch.ones(groups, 3, requires_grad=True)
    value = info_nce(anchors, candidates, 0.07)
    value.backward()
    assert value.item() == 0
    assert torch.equal(anchors.grad, torch.zeros(groups, 3))
    assert torch.equal(candidates.grad, torch.zeros(groups, 3))


def test_mixed_precision_leaves_logits_wide():
    torch.manual_seed(0)
    k, q = unit(torch.randn(2, 40, 8))
    with torch.autocast("cpu", torch.bfloat16):
        mixed = info_nce(k, q, 0.07)
    assert torch.equal(mixed, info_nce(k, q, 0.07))


def test_mean_of_nothing_is_zero():
    assert mean_or_zero(torch.zeros(0)).item() == 0
    assert mean_or_zero(torch.tensor([1.0, 3.0])).item() == 2
