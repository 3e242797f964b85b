"""Layers and the choice of an engine: shapes, first weights, BatchNorm, names."""

import numpy as np
import pytest
import torch

from lima_bench.common.errors import UserError
from lima_bench.lima.backbones.sparse.engine import ENGINES, VARIABLE, engine_on, use_engine
from lima_bench.lima.backbones.sparse.layers import (
    DownConv,
    SparseTensor,
    SubmanifoldConv,
    UpConv,
)
from lima_bench.lima.backbones.sparse.maps import Level
from lima_bench.lima.backbones.sparse.norm import BatchNorm

CPU = torch.device("cpu")


def some_level():
    cells = np.random.default_rng(0).integers(0, (2, 8, 6, 10), (90, 4))
    return Level.of(torch.from_numpy(np.unique(cells, axis=0)), n_levels=2)


def test_layers_know_their_levels():
    level = some_level()
    x = SparseTensor(torch.randn(level.n_voxels, 3), level)
    down = DownConv(3, 5)(SubmanifoldConv(3, 3)(x))
    up = UpConv(5, 2)(down, level)
    assert down.level is level.coarser
    assert down.features.shape == (level.coarser.n_voxels, 5)
    assert up.level is level
    assert up.features.shape == (level.n_voxels, 2)


@pytest.mark.parametrize(
    ("layer", "n_weights", "fan"),
    [(SubmanifoldConv, 27, 20), (DownConv, 8, 20), (UpConv, 8, 30)],
)
def test_weights_start_as_in_minkowski_engine(layer, n_weights, fan):
    weight = layer(20, 30).weight
    bound = (fan * n_weights) ** -0.5
    assert weight.shape == (n_weights, 20, 30)
    assert 0.98 * bound < weight.abs().max() <= bound
    assert weight.mean().abs() < 0.05 * bound
    assert weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.05)


def test_empty_batch_passes_through_every_layer():
    level = Level.of(torch.zeros(0, 4, dtype=torch.int64), n_levels=2)
    layers = SubmanifoldConv(3, 4), DownConv(4, 5), UpConv(5, 2)
    norm = BatchNorm(4)
    x = layers[0](SparseTensor(torch.zeros(0, 3), level))
    out = layers[2](layers[1](x.replace(norm(x.features))), level)
    assert out.features.shape == (0, 2)
    out.features.sum().backward()
    assert all((layer.weight.grad == 0).all() for layer in layers)
    assert norm.running_mean.tolist() == [0, 0, 0, 0]


def test_batch_norm_of_a_single_cell_uses_and_keeps_the_running_statistics():
    norm = BatchNorm(3)
    norm.running_mean.fill_(2.0)
    out = norm(torch.full((1, 3), 5.0))
    torch.testing.assert_close(out, torch.full((1, 3), 3.0), rtol=1e-5, atol=0)
    assert norm.running_mean.tolist() == [2.0] * 3
    assert norm.num_batches_tracked == 0


def test_the_environment_names_the_engine(monkeypatch):
    monkeypatch.setenv(VARIABLE, "reference")
    assert engine_on(CPU) is ENGINES.get("reference")
    monkeypatch.setenv(VARIABLE, "refrence")
    with pytest.raises(UserError, match=r'LIMA_BENCH_ENGINE\n.*Did you mean "reference"'):
        engine_on(CPU)


def test_use_engine_outranks_the_environment_and_ends(monkeypatch):
    monkeypatch.setenv(VARIABLE, "nonsense")
    with use_engine("reference") as engine:
        assert engine_on(CPU) is engine
    with pytest.raises(UserError):
        engine_on(CPU)
    with pytest.raises(UserError, match="Known"), use_engine("nonsense"):
        pass
