"""Projection heads: the same numbers whether a layer sees cells or points; few rows survived."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lima_bench.lima.heads import Mlp, head_distances
from lima_bench.lima.readout import Cells, OneCell


def _cells(n_cells=9, n_rows=40):
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(n_cells, 6, dtype=torch.float64, generator=generator)
    inverse = torch.randint(0, n_cells - 1, (n_rows,), generator=generator)  # nobody reads the last
    return Cells(features.requires_grad_(), OneCell(inverse))


def _head(hidden, norm):
    torch.manual_seed(0)
    return (Mlp(6, hidden, 5, norm=norm) if hidden else nn.Linear(6, 5)).double()


@pytest.mark.parametrize(
    ("hidden", "norm"), [([], "none"), ([7], "none"), ([7, 8], "none"), ([7, 8], "bn")]
)
@pytest.mark.parametrize("kind", ["l2norm", "cosine"])
def test_distances_equal_the_definition(hidden, norm, kind):
    head, cells = _head(hidden, norm), _cells()
    rows = torch.tensor([3, 3, 17, 0, 5, 39, 21, 8, 30])
    targets = torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    met = torch.tensor([0, 1, 1, 2, 3, 3, 3, 0, 2])
    own = cells.features[cells.readout.inverse[rows]]
    read = cells.features[cells.readout.inverse[rows].unique()]
    layers = list(head.hidden) if hidden else []
    for layer in layers:
        if isinstance(layer, nn.BatchNorm1d):  # over the cells that are read, each once
            mean, variance = read.mean(0), read.var(0, unbiased=False)
            scale = layer.weight / (variance + layer.eps).sqrt()
            own, read = ((x - mean) * scale + layer.bias for x in (own, read))
        else:
            own, read = layer(own), layer(read)
    projected = (head.last if hidden else head)(own)
    cosine = (F.normalize(projected, dim=1) * F.normalize(targets, dim=1)[met]).sum(1)
    expected = (2 - 2 * cosine).sqrt() if kind == "l2norm" else 1 - cosine
    found = head_distances(head, cells, rows, targets.clone(), met, kind)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    weights = [cells.features, *head.parameters()]
    for one, other in zip(
        torch.autograd.grad(found.sum(), weights),
        torch.autograd.grad(expected.sum(), weights),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("n_rows", [0, 1])
def test_too_few_rows_for_statistics_are_survived(n_rows):
    head, cells = _head([7, 8], "bn"), _cells()
    before = {name: value.clone() for name, value in head.state_dict().items()}
    rows = torch.arange(n_rows)
    head_distances(head, cells, rows, torch.ones(1, 5).double(), rows, "l2norm").sum().backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
    for name, value in head.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_layers_stand_as_the_paper_draws_them():
    kinds = [type(layer).__name__ for layer in Mlp(96, [1024, 1024], 384, norm="bn").hidden]
    assert kinds == ["Linear", "BatchNorm", "ReLU"] * 2
    assert [p.shape for p in Mlp(96, [2048], 384, norm="none").parameters()] == [
        (2048, 96), (2048,), (384, 2048), (384,),
    ]  # fmt: skip
