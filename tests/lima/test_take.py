"""Rows by number: torch's values and, bit for bit, the gradients of its embedding."""

import pytest
import torch
from torch.nn import functional

from lima_bench.lima import take
from lima_bench.lima.take import take_rows


def some(n_sources, n_rows, width, kind=torch.int64):
    generator = torch.Generator().manual_seed(n_rows)
    features = torch.randn(n_sources, width, generator=generator, requires_grad=True)
    rows = torch.randint(0, max(n_sources, 1), (n_rows,), generator=generator).to(kind)
    return features, rows, torch.randn(n_rows, width, generator=generator)


@pytest.mark.parametrize("kind", [torch.int32, torch.int64])
@pytest.mark.parametrize("sizes", [(7, 40, 5), (500, 60, 48), (1, 1, 1), (9, 0, 4), (0, 0, 4)])
def test_values_and_gradients_are_those_of_embedding(sizes, kind):
    features, rows, upstream = some(*sizes, kind)
    ours, theirs = take_rows(features, rows), functional.embedding(rows, features)
    assert torch.equal(ours, theirs)
    grads = [torch.autograd.grad(out, features, upstream)[0] for out in (ours, theirs)]
    assert torch.equal(*grads)


@pytest.mark.parametrize("n_threads", [2, 4])
def test_bits_do_not_depend_on_the_number_of_threads(monkeypatch, n_threads):
    monkeypatch.setattr(take, "ROWS_PER_TASK", 50)
    features, rows, upstream = some(30, 900, 7)
    before = torch.get_num_threads()
    grads = []
    try:
        for count in (1, n_threads):
            torch.set_num_threads(count)
            grads += torch.autograd.grad(take_rows(features, rows), features, upstream)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*grads)


def test_a_gradient_that_is_no_block_of_memory_counts_whole():
    features, rows, upstream = some(20, 50, 6)
    half = torch.autograd.grad(take_rows(features, rows)[:, :3], features, upstream[:, :3])[0]
    wide = torch.zeros_like(upstream)
    wide[:, :3] = upstream[:, :3]
    assert torch.equal(half, torch.autograd.grad(take_rows(features, rows), features, wide)[0])


def test_other_types_go_through_torch():
    features, rows, _ = some(6, 9, 3)
    wide = features.detach().double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: take_rows(x, rows), (wide,))
