"""Distances in blocks against the same distances written out, value and gradient."""

import pytest
import torch
from torch import nn

from lima_bench.lima import blocks
from lima_bench.lima.losses import DISTANCES, unit_distances
from lima_bench.lima.projection import projected_distances


def _parts(dtype=torch.float64, meetings=50, bias=True):
    torch.manual_seed(0)
    points = torch.randn(40, 4, dtype=dtype, requires_grad=True)
    rows = torch.randint(40, (meetings,))
    head = nn.Linear(4, 6, bias=bias).to(dtype)
    targets = torch.randn(30, 6, dtype=dtype)
    return points, rows, head, targets, torch.randint(30, (meetings,))


def _gradients(distances, points, head):
    weights = torch.linspace(-1, 2, len(distances), dtype=distances.dtype)
    return torch.autograd.grad((distances * weights).sum(), [points, *head.parameters()])


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("block_values", [1, 40, 1 << 19])
@pytest.mark.parametrize("kind", DISTANCES)
def test_equals_the_plain_formula(kind, block_values, bias, monkeypatch):
    monkeypatch.setitem(blocks.BLOCK_VALUES, "cpu", block_values)
    points, rows, head, targets, met = _parts(bias=bias)
    plain = unit_distances(head(points[rows]), targets[met], kind)
    ours = projected_distances(points, rows, head, targets.clone(), met, kind)
    torch.testing.assert_close(ours, plain, rtol=1e-12, atol=1e-14)
    expected = _gradients(plain, points, head)
    for one, other in zip(_gradients(ours, points, head), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("kind", DISTANCES)
def test_vectors_without_direction_get_no_gradient(kind):
    """A zero target and, through a head of zeros, a zero point."""
    points, rows, head, targets, met = _parts()
    targets[met[0]] = 0
    plain = unit_distances(head(points[rows]), targets[met], kind)
    ours = projected_distances(points, rows, head, targets.clone(), met, kind)
    torch.testing.assert_close(ours, plain, rtol=1e-12, atol=1e-14)
    expected, found = _gradients(plain, points, head)[0], _gradients(ours, points, head)[0]
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-13)
    alone = rows == rows[0]
    assert found.any() and (met[alone] != met[0]).any() == found[rows[0]].any()
    with torch.no_grad():
        head.weight.zero_(), head.bias.zero_()
    still = projected_distances(points, rows, head, targets.clone(), met, kind)
    assert all(not gradient.any() for gradient in _gradients(still, points, head))


def test_a_point_at_its_target_rests():
    points, rows, head, _, _ = _parts()
    targets = head(points[rows]).detach() * 3
    ours = projected_distances(points, rows, head, targets, torch.arange(50))
    assert ours.max() < 1e-6
    assert all(torch.isfinite(gradient).all() for gradient in _gradients(ours, points, head))


def test_no_rows_give_zero_gradients():
    points, rows, head, targets, met = _parts(meetings=0)
    ours = projected_distances(points, rows, head, targets, met)
    for gradient in torch.autograd.grad(ours.sum(), [points, *head.parameters()]):
        assert not gradient.any()


def test_mixed_precision_keeps_weights_and_distances_single():
    points, rows, head, targets, met = _parts(torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        ours = projected_distances(points, rows, head, targets.clone(), met)
    exact = projected_distances(points, rows, head, targets.clone(), met)
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, exact, rtol=0.02, atol=0.02)
    assert not torch.equal(ours, exact)
    expected = _gradients(exact, points, head)
    for one, other in zip(_gradients(ours, points, head), expected, strict=True):
        assert one.dtype == torch.float32
        assert (one - other).norm() < 0.05 * other.norm()


def test_nothing_wide_is_kept_for_backward():
    points, rows, head, targets, met = _parts(torch.float32, meetings=1000)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.shape) or t, lambda t: t):
        projected_distances(points, rows, head, targets, met)
    assert (1000, 6) not in [tuple(shape) for shape in kept]
    assert (30, 6) in [tuple(shape) for shape in kept]
