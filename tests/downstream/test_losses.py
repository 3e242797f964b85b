"""The segmentation loss: means over labelled points only, zero where there are none."""

import pytest
import torch

from lima_bench.datasets.sample import IGNORE
from lima_bench.downstream.losses import segmentation_loss
from lima_bench.downstream.lovasz import lovasz_softmax


def _logits(n: int = 6) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n, 3, generator=generator, dtype=torch.float64).requires_grad_()


def test_cross_entropy_is_the_mean_over_labelled_points() -> None:
    logits, labels = _logits(), torch.tensor([0, 2, IGNORE, 1, IGNORE, 2])
    loss = segmentation_loss(logits, labels, ce_weight=0.5, lovasz_weight=2.0)
    kept = [0, 1, 3, 5]
    chosen = [-(logits[i].exp() / logits[i].exp().sum()).log()[labels[i]] for i in kept]
    assert loss.terms["ce"].item() == pytest.approx(0.5 * sum(c.item() for c in chosen) / 4)
    expected = lovasz_softmax(logits[kept].softmax(1), labels[kept])
    assert loss.terms["lovasz"].item() == pytest.approx(2 * expected.item())
    loss.total.backward()
    assert torch.all(logits.grad[[2, 4]] == 0) and logits.grad[kept].all()


def test_gradient_is_that_of_finite_differences() -> None:
    labels = torch.tensor([0, 2, IGNORE, 1, 1, 2])
    assert torch.autograd.gradcheck(
        lambda x: segmentation_loss(x, labels, ce_weight=1.0, lovasz_weight=2.0).total, _logits()
    )


def test_everything_ignored_costs_nothing_with_a_zero_gradient() -> None:
    logits = _logits()
    loss = segmentation_loss(logits, torch.full((6,), IGNORE), ce_weight=1.0, lovasz_weight=1.0)
    loss.total.backward()
    assert loss.total.item() == 0 and not logits.grad.any()


def test_half_precision_scores_are_judged_in_whole() -> None:
    logits, labels = _logits().float(), torch.tensor([0, 2, 1, 1, 0, 2])
    half = segmentation_loss(logits.bfloat16(), labels, ce_weight=1.0, lovasz_weight=1.0)
    assert half.total.dtype == torch.float32
