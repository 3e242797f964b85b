"""The contrast of large sets against the whole matrix in float64."""

import pytest
import torch

from lima_bench.lima import blocks
from lima_bench.lima.contrast import contrast
from lima_bench.lima.losses import info_nce


@pytest.fixture(params=[1 << 19, 40])
def _block(request, monkeypatch):
    """All rows at once, and a few at a time."""
    monkeypatch.setitem(blocks.BLOCK_VALUES, "cpu", request.param)


def _operands(*counts, dtype=torch.float64):
    torch.manual_seed(0)
    return [torch.randn(n, 5, dtype=dtype, requires_grad=True) for n in counts]


def _same(one, other, given):
    torch.testing.assert_close(one, other, rtol=1e-12, atol=0)
    for ours, theirs in zip(
        torch.autograd.grad(3 * one, given), torch.autograd.grad(3 * other, given), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-13)


@pytest.mark.usefixtures("_block")
def test_it_is_info_nce():
    given = _operands(19, 19)
    _same(contrast(*given, 0.07), info_nce(*given, 0.07), given)


@pytest.mark.usefixtures("_block")
def test_a_shared_candidate_stands_there_once_for_every_anchor():
    anchors, candidates = _operands(17, 6)
    own = torch.tensor([0, 1, 1, 2, 4, 4, 4, 5, 0, 1, 2, 4, 5, 5, 5, 5, 0])  # nobody's: 3
    found = contrast(anchors, candidates, 0.3, own)
    _same(found, info_nce(anchors, candidates[own], 0.3), (anchors, candidates))
    assert not torch.autograd.grad(contrast(anchors, candidates, 0.3, own), candidates)[0][3].any()


def test_without_gradients_the_value_is_the_same():
    given = _operands(19, 19)
    with torch.no_grad():
        alone = contrast(*given, 0.07)
    assert torch.equal(alone, contrast(*given, 0.07).detach())


def test_half_precision_is_widened():
    assert contrast(*(one.half() for one in _operands(7, 7)), 0.07).dtype == torch.float32


def test_mixed_precision_changes_nothing():
    given = _operands(9, 9, dtype=torch.float32)
    alone = contrast(*given, 0.07)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = contrast(*given, 0.07)
    assert torch.equal(mixed, alone)


def test_of_nothing_it_is_0_with_gradients():
    given = _operands(0, 4)
    loss = contrast(*given, 0.07, torch.zeros(0, dtype=torch.int64))
    assert loss.item() == 0
    assert not torch.autograd.grad(loss, given)[1].any()
