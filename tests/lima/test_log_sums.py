"""Log sums over products and the contrast made of them, against the whole matrix in float64."""

import pytest
import torch

from lima_bench.lima import blocks
from lima_bench.lima.log_sums import contrast, log_sum_exp_products
from lima_bench.lima.losses import info_nce


@pytest.fixture(params=[1 << 19, 40])
def _block(request, monkeypatch):
    """All rows at once, and a few at a time."""
    monkeypatch.setitem(blocks.BLOCK_VALUES, "cpu", request.param)


def _operands(dtype=torch.float64):
    torch.manual_seed(0)
    shapes = (17, 5), (13, 5), (13,)
    return [torch.randn(shape, dtype=dtype, requires_grad=True) for shape in shapes]


@pytest.mark.usefixtures("_block")
@pytest.mark.parametrize("biased", [False, True])
def test_value_and_gradients_equal_the_matrix(biased):
    queries, keys, bias = _operands()
    given = (queries, keys, bias)[: 3 if biased else 2]
    found = log_sum_exp_products(*given)
    wanted = (queries @ keys.T + (bias if biased else 0)).logsumexp(dim=1)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=0)
    share = torch.randn(17, dtype=torch.float64)
    for one, other in zip(
        torch.autograd.grad(found, given, share),
        torch.autograd.grad(wanted, given, share),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-13)


def test_of_no_keys_it_is_minus_infinity_and_of_no_queries_nothing():
    queries, keys, _ = _operands()
    assert (log_sum_exp_products(queries, keys[:0]) == -torch.inf).all()
    assert log_sum_exp_products(queries[:0], keys).shape == (0,)


@pytest.mark.usefixtures("_block")
def test_contrast_is_info_nce():
    torch.manual_seed(0)
    anchors, candidates = torch.randn(2, 19, 5, dtype=torch.float64).requires_grad_().unbind()
    one, other = contrast(anchors, candidates, 0.07), info_nce(anchors, candidates, 0.07)
    torch.testing.assert_close(one, other, rtol=1e-12, atol=0)
    for ours, theirs in zip(
        torch.autograd.grad(one, (anchors, candidates)),
        torch.autograd.grad(other, (anchors, candidates)),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-13)


def test_half_precision_is_widened():
    half = [operand.half() for operand in _operands()[:2]]
    assert log_sum_exp_products(*half).dtype == torch.float32


def test_mixed_precision_changes_nothing():
    queries, keys, _ = _operands(torch.float32)
    alone = log_sum_exp_products(queries, keys)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = log_sum_exp_products(queries, keys)
    assert torch.equal(mixed, alone)


def test_contrast_of_nothing_is_0():
    nothing = torch.zeros(0, 5, requires_grad=True)
    assert contrast(nothing, nothing, 0.07).item() == 0
