"""Strided sparse convolutions: support and values against dense ones, by engine and builder."""

import itertools

import numpy as np
import pytest
import torch
from torch.nn import functional

from lima_bench.lima.backbones.sparse import bisection, merge
from lima_bench.lima.backbones.sparse.engine import use_engine
from lima_bench.lima.backbones.sparse.layers import SparseTensor, StridedConv
from lima_bench.lima.backbones.sparse.maps import Level
from lima_bench.lima.backbones.sparse.packing import Packing
from lima_bench.lima.backbones.sparse.window import Window

EXTENT = (9, 6, 10)
WINDOWS = {
    "down": Window(),
    "flat": Window(padding=(1, 1, 0)),
    "out": Window(kernel=(1, 1, 3), stride=(1, 1, 2), padding=(0, 0, 0)),
    "odd": Window(kernel=(3, 2, 5), stride=(3, 1, 2), padding=(0, 0, 2)),
}


@pytest.fixture(params=["reference", "fused"])
def engine(request):
    with use_engine(request.param) as chosen:
        yield chosen


def some_coords(n_voxels=60, seed=0, extent=EXTENT):
    rng = np.random.default_rng(seed)
    cells = np.column_stack([rng.integers(0, top, n_voxels) for top in (2, *extent)])
    return torch.from_numpy(np.unique(cells, axis=0))


def dense(coords, features, extent):
    grid = features.new_zeros(2, features.shape[1], *extent)
    b, x, y, z = coords.T
    grid[b, :, x, y, z] = features
    return grid


def dense_convolution(grid, weight, window):
    """Of a grid (batch, channels, x, y, z); the first axis of the kernel runs fastest."""
    first, second, third = window.kernel
    kernel = weight.view(third, second, first, *weight.shape[1:]).permute(4, 3, 2, 1, 0)
    return functional.conv3d(grid, kernel, stride=window.stride, padding=window.padding)


def drawn(kernel_map, window, c_in=3, c_out=4):
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(kernel_map.n_in, c_in, generator=generator, dtype=torch.float64)
    weight = torch.randn(window.n_weights, c_in, c_out, generator=generator, dtype=torch.float64)
    return features, weight


@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
def test_outputs_are_all_cells_that_any_input_reaches(window):
    coords = some_coords(20)
    level = Level.strided(coords, EXTENT, [window])
    there = dense(coords, torch.ones(len(coords), 1, dtype=torch.float64), EXTENT)
    ones = torch.ones(window.n_weights, 1, 1, dtype=torch.float64)
    reach = dense_convolution(there, ones, window)
    assert window.outputs(EXTENT) == tuple(reach.shape[2:])
    b, x, y, z = torch.nonzero(reach[:, 0] > 0).T
    assert torch.equal(level.coarser.coords, torch.stack((b, x, y, z), dim=1))
    assert 0 < level.coarser.n_voxels < reach.numel()


@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
def test_values_and_gradients_are_those_of_a_dense_convolution(engine, window):
    coords = some_coords()
    level = Level.strided(coords, EXTENT, [window])
    results = []
    for sparse in (True, False):
        features, weight = drawn(level.down, window)
        features.requires_grad_(), weight.requires_grad_()
        if sparse:
            out = engine.convolve(features, weight, level.down)
        else:
            grid = dense_convolution(dense(coords, features, EXTENT), weight, window)
            b, x, y, z = level.coarser.coords.T
            out = grid[b, :, x, y, z]
        upstream = torch.randn(out.shape, generator=torch.Generator().manual_seed(9)).double()
        results.append((out, *torch.autograd.grad(out, (features, weight), upstream)))
    for ours, expected in zip(*results, strict=True):
        torch.testing.assert_close(ours, expected)


@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
def test_the_fused_engine_agrees_in_single_precision(window):
    level = Level.strided(some_coords(400, extent=(40, 30, 10)), (40, 30, 10), [window])
    features, weight = (part.float() for part in drawn(level.down, window, 20, 24))
    found = []
    for name in ("reference", "fused"):
        x, w = features.clone().requires_grad_(), weight.clone().requires_grad_()
        with use_engine(name) as chosen:
            out = chosen.convolve(x, w, level.down)
        found.append((out, *torch.autograd.grad(out, (x, w), out.detach())))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
@pytest.mark.parametrize("n_voxels", [0, 1, 700])
def test_both_builders_make_the_same_maps(window, n_voxels):
    coords = some_coords(n_voxels, extent=(30, 20, 10))
    extent = window.outputs((30, 20, 10))
    packing = Packing.holding((1, 29, 19, 9))
    keys = packing.keys(coords)
    one = bisection.strided_links(keys, packing, window, extent)
    other = merge.strided_links(keys, packing, window, extent)
    assert torch.equal(one[0], other[0])
    for links, twin in zip(one[1:], other[1:], strict=True):
        assert torch.equal(links.table, twin.table)
        for name in ("starts", "rows_in", "rows_out"):
            assert torch.equal(getattr(links.pairs, name), getattr(twin.pairs, name)), name


def test_bits_do_not_depend_on_the_number_of_threads(engine):
    level = Level.strided(some_coords(9000, extent=(60, 60, 10)), (60, 60, 10), [Window()])
    features, weight = (part.float() for part in drawn(level.down, Window(), 16, 32))
    threads, runs = torch.get_num_threads(), []
    try:
        for n_threads in (1, 3):
            torch.set_num_threads(n_threads)
            x, w = features.clone().requires_grad_(), weight.clone().requires_grad_()
            out = engine.convolve(x, w, level.down)
            runs.append((out, *torch.autograd.grad(out, (x, w), out.detach())))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(one, other) for one, other in zip(*runs, strict=True))


def test_levels_follow_each_other():
    windows = [Window(), Window(), Window(padding=(1, 1, 0)), WINDOWS["out"]]
    extent = (64, 48, 40)
    level = Level.strided(some_coords(200, extent=extent), extent, windows)
    depths = []
    for window in windows:
        extent, level = window.outputs(extent), level.coarser
        depths.append(extent[2])
        assert (level.coords[:, 1:] < torch.tensor(extent)).all()
    assert depths == [20, 10, 4, 1]
    assert level.stride == 8
    with pytest.raises(ValueError, match="coarsest"):
        _ = level.coarser


def test_a_layer_goes_down_and_starts_as_the_others():
    level = Level.strided(some_coords(), EXTENT, [Window()])
    layer = StridedConv(20, 30, Window())
    bound = (20 * 27) ** -0.5
    assert 0.98 * bound < layer.weight.abs().max() <= bound
    out = layer(SparseTensor(torch.randn(level.n_voxels, 20), level))
    assert out.level is level.coarser
    assert out.features.shape == (level.coarser.n_voxels, 30)


def test_rows_must_be_sorted_and_the_grid_large_enough():
    coords = some_coords()
    with pytest.raises(ValueError, match="sorted"):
        Level.strided(coords.flip(0), EXTENT, [Window()])
    with pytest.raises(ValueError, match="smaller"):
        Window(padding=(1, 1, 0)).outputs((8, 8, 2))
    with pytest.raises(ValueError, match="padding"):
        Window(padding=(2, 1, 1))


@pytest.mark.parametrize("k", range(27))
def test_order_of_the_weights(engine, k):
    """Weight k carries a feature from ``2 o - 1 + offset`` to ``o``, first axis fastest."""
    offset = (k % 3, k // 3 % 3, k // 9)
    every = itertools.product([0], range(5), range(5), range(5))
    level = Level.strided(torch.tensor(list(every)), (5, 5, 5), [Window()])
    features = torch.zeros(125, 1)
    source = [0, *(2 * 1 - 1 + step for step in offset)]
    features[level.coords.tolist().index(source)] = 1.0
    weight = torch.zeros(27, 1, 1)
    weight[k] = 1.0
    out = engine.convolve(features, weight, level.down)
    assert out[level.coarser.coords.tolist().index([0, 1, 1, 1])] == 1.0
