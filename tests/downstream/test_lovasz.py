"""Lovasz-softmax against a formula of a few lines, and where its value is known."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from lima_bench.downstream.lovasz import _by_torch, lovasz_softmax

Loss = Callable[[Tensor, Tensor], Tensor]


def _by_subsets(errors: Tensor, on: list[bool]) -> Tensor:
    """The Lovasz extension of the Jaccard loss, straight from its definition.

    Sum over positions of error times (J of the first k wrong) - (J of the first k - 1 wrong), with
    J(wrong set) = |wrong| / |class or wrong|.
    """

    def jaccard(wrong: list[int]) -> float:
        union = {i for i, here in enumerate(on) if here} | set(wrong)
        return len(wrong) / len(union)

    order = sorted(range(len(on)), key=lambda i: -errors[i].item())
    steps = [
        jaccard(order[: k + 1]) - (jaccard(order[:k]) if k else 0.0) for k in range(len(order))
    ]
    return sum((errors[i] * step for i, step in zip(order, steps, strict=True)), torch.zeros(()))


def _expected(probabilities: Tensor, truth: Tensor) -> Tensor:
    terms = []
    for c in truth.unique():
        on = truth == c
        errors = torch.where(on, 1 - probabilities[:, c], probabilities[:, c])
        terms.append(_by_subsets(errors, on.tolist()))
    return torch.stack(terms).mean()


def _random(n: int, n_classes: int, seed: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, n_classes, generator=generator, dtype=dtype)
    return logits.softmax(1), torch.randint(0, n_classes, (n,), generator=generator)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("n", "n_classes", "seed"), [(1, 2, 0), (7, 3, 1), (40, 5, 2), (30, 19, 3)]
)
def test_value_and_gradient_match_the_definition(n, n_classes, seed, dtype) -> None:
    probabilities, truth = _random(n, n_classes, seed, dtype)
    ours, theirs = (probabilities.clone().requires_grad_() for _ in range(2))
    value, expected = lovasz_softmax(ours, truth), _expected(theirs, truth)
    value.backward()
    expected.backward()
    tolerance = 1e-12 if dtype == torch.float64 else 1e-6
    assert torch.allclose(value, expected.to(dtype), atol=tolerance)
    assert torch.allclose(ours.grad, theirs.grad, atol=tolerance)


def test_hard_predictions_cost_one_minus_iou() -> None:
    for said in itertools.product(range(3), repeat=4):
        truth, prediction = torch.tensor([0, 0, 1, 2]), torch.tensor(said)
        value = lovasz_softmax(torch.eye(3)[prediction], truth)
        iou = [
            ((truth == c) & (prediction == c)).sum() / ((truth == c) | (prediction == c)).sum()
            for c in range(3)
        ]
        assert value.item() == pytest.approx(1 - sum(map(float, iou)) / 3, abs=1e-6)


def test_gradient_is_that_of_finite_differences() -> None:
    probabilities, truth = _random(9, 4, 5, torch.float64)
    assert torch.autograd.gradcheck(
        lambda p: lovasz_softmax(p, truth), probabilities.clone().requires_grad_()
    )


def test_an_absent_class_plays_no_part() -> None:
    probabilities, truth = _random(20, 4, 6, torch.float32)
    truth = truth % 2
    probabilities.requires_grad_()
    lovasz_softmax(probabilities, truth).backward()
    assert torch.all(probabilities.grad[:, 2:] == 0) and probabilities.grad[:, :2].any()


def test_no_points_cost_nothing() -> None:
    probabilities = torch.zeros(0, 4, requires_grad=True)
    value = lovasz_softmax(probabilities, torch.zeros(0, dtype=torch.int64))
    value.backward()
    assert value.item() == 0 and probabilities.grad.shape == (0, 4)


def _gradient(loss: Loss, probabilities: Tensor, truth: Tensor) -> tuple[float, Tensor]:
    leaf = probabilities.clone().requires_grad_()
    value = loss(leaf, truth)
    value.backward()
    return value.item(), leaf.grad


@pytest.mark.parametrize("n", [1, 5, 70_000])
def test_the_compiled_loop_does_what_torchs_operations_do(n) -> None:
    probabilities, truth = _random(n, 6, n, torch.float32)
    truth[truth == 4] = 3
    rng = np.random.default_rng(n)
    probabilities[rng.integers(0, n, n // 2)] = 0.25  # ties keep their order
    probabilities[: n // 5, 0], probabilities[: n // 5, 1] = 1.0, 0.0
    probabilities[: n // 9, 2] = 1 + 1e-7  # a softmax may round so
    value, gradient = _gradient(lovasz_softmax, probabilities, truth)
    expected, slope = _gradient(_by_torch, probabilities, truth)
    assert torch.equal(gradient, slope)
    assert value == pytest.approx(expected, rel=1e-6)


def test_bits_do_not_depend_on_the_number_of_threads() -> None:
    probabilities, truth = _random(3000, 9, 8, torch.float32)
    alone = _gradient(lovasz_softmax, probabilities, truth)
    torch.set_num_threads(4)
    try:
        together = _gradient(lovasz_softmax, probabilities, truth)
    finally:
        torch.set_num_threads(1)
    assert alone[0] == together[0] and torch.equal(alone[1], together[1])


def test_columns_of_a_wider_matrix_serve_as_well() -> None:
    wide, truth = _random(50, 8, 9, torch.float32)
    alone = _gradient(lovasz_softmax, wide[:, :4].contiguous(), truth % 4)
    wide.requires_grad_()
    lovasz_softmax(wide[:, :4], truth % 4).backward()
    assert torch.equal(wide.grad[:, :4], alone[1]) and not wide.grad[:, 4:].any()


def test_losses_are_the_same_in_both_precisions_at_real_size() -> None:
    probabilities, truth = _random(9000, 16, 7, torch.float64)
    both = lovasz_softmax(probabilities, truth), lovasz_softmax(probabilities.float(), truth)
    assert both[0].item() == pytest.approx(both[1].item(), rel=1e-5)
