"""The three convolutions against dense ones, their gradients, and what must not change them."""

import itertools

import numpy as np
import pytest
import torch
from torch.nn import functional

from lima_bench.lima.backbones.sparse import reference
from lima_bench.lima.backbones.sparse.engine import use_engine
from lima_bench.lima.backbones.sparse.layers import SparseTensor, SubmanifoldConv
from lima_bench.lima.backbones.sparse.maps import Level

SHAPE = (8, 6, 10)
"""Of the dense grid; even, so that halving covers it."""

KINDS = ("neighbours", "down", "up")


@pytest.fixture(params=["reference", "fused"], autouse=True)
def engine(request):
    with use_engine(request.param) as chosen:
        yield chosen


def some_level(seed=0, n_voxels=90, n_clouds=2, shape=SHAPE):
    rng = np.random.default_rng(seed)
    cells = np.column_stack([rng.integers(0, top, n_voxels) for top in (n_clouds, *shape)])
    return Level.of(torch.from_numpy(np.unique(cells, axis=0)), n_levels=2)


def operands(kernel_map, c_in=3, c_out=4, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    n_weights = kernel_map.table.shape[1]
    features = torch.randn(kernel_map.n_in, c_in, generator=generator, dtype=torch.float64)
    weight = torch.randn(n_weights, c_in, c_out, generator=generator, dtype=torch.float64)
    return features.to(dtype), weight.to(dtype)


def by_table(features, weight, kernel_map):
    """The definition, written with the table: absent neighbours are a row of zeros."""
    padded = torch.cat((features, features.new_zeros(1, features.shape[1])))
    gathered = padded[kernel_map.table.long()]
    return torch.einsum("nki,kio->no", gathered, weight)


def densified(level, features, shape):
    grid = features.new_zeros(2, features.shape[1], *shape)
    b, x, y, z = level.coords.T
    grid[b, :, x, y, z] = features
    return grid


def dense_weight(weight, size):
    """[K, in, out] with axis 0 fastest -> [out, in, size, size, size]."""
    return weight.view(size, size, size, *weight.shape[1:]).permute(4, 3, 2, 1, 0)


def at(level, grid):
    b, x, y, z = level.coords.T
    return grid[b, :, x, y, z]


def test_submanifold_is_a_dense_convolution_read_at_the_inputs(engine):
    level = some_level()
    features, weight = operands(level.neighbours)
    dense = functional.conv3d(densified(level, features, SHAPE), dense_weight(weight, 3), padding=1)
    ours = engine.convolve(features, weight, level.neighbours)
    torch.testing.assert_close(ours, at(level, dense))


def test_down_is_a_dense_convolution_of_stride_two(engine):
    level = some_level()
    features, weight = operands(level.down)
    dense = functional.conv3d(densified(level, features, SHAPE), dense_weight(weight, 2), stride=2)
    ours = engine.convolve(features, weight, level.down)
    torch.testing.assert_close(ours, at(level.coarser, dense))


def test_up_is_a_dense_transposed_convolution_read_at_the_finer_cells(engine):
    level = some_level()
    features, weight = operands(level.up)
    coarse = densified(level.coarser, features, tuple(side // 2 for side in SHAPE))
    transposed = dense_weight(weight, 2).transpose(0, 1)
    dense = functional.conv_transpose3d(coarse, transposed, stride=2)
    ours = engine.convolve(features, weight, level.up)
    torch.testing.assert_close(ours, at(level, dense))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("block_rows", [3, 8192])
def test_gradcheck(engine, monkeypatch, kind, block_rows):
    monkeypatch.setattr(reference, "BLOCK_ROWS", block_rows)
    kernel_map = getattr(some_level(n_voxels=9, shape=(2, 3, 4)), kind)
    features, weight = operands(kernel_map, 2, 3)
    inputs = features.requires_grad_(), weight.requires_grad_()
    assert torch.autograd.gradcheck(lambda x, w: engine.convolve(x, w, kernel_map), inputs)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("block_rows", [16, 8192])
@pytest.mark.parametrize(("c_in", "c_out"), [(1, 5), (6, 2)])
def test_values_and_gradients_are_those_of_the_definition(
    engine, monkeypatch, kind, block_rows, c_in, c_out
):
    monkeypatch.setattr(reference, "BLOCK_ROWS", block_rows)
    kernel_map = getattr(some_level(), kind)
    results = []
    for convolve in (engine.convolve, by_table):
        features, weight = operands(kernel_map, c_in, c_out)
        features.requires_grad_(), weight.requires_grad_()
        out = convolve(features, weight, kernel_map)
        upstream = torch.randn(out.shape, generator=torch.Generator().manual_seed(9)).double()
        results.append((out, *torch.autograd.grad(out, (features, weight), upstream)))
    for ours, expected in zip(*results, strict=True):
        torch.testing.assert_close(ours, expected)


@pytest.mark.parametrize("frozen", ["features", "weight"])
def test_only_wanted_gradients_are_computed(engine, frozen):
    kernel_map = some_level().neighbours
    features, weight = operands(kernel_map)
    features.requires_grad_(frozen != "features")
    weight.requires_grad_(frozen != "weight")
    engine.convolve(features, weight, kernel_map).sum().backward()
    assert (features.grad is None) == (frozen == "features")
    assert (weight.grad is None) == (frozen == "weight")


@pytest.mark.parametrize("k", range(27))
def test_order_of_a_kernel_of_three(engine, k):
    """Weight k carries a feature from ``centre + offset`` to the centre, first axis fastest."""
    offset = (k % 3 - 1, k // 3 % 3 - 1, k // 9 - 1)
    level = Level.of(
        torch.tensor([(0, *c) for c in itertools.product(range(3), repeat=3)]), n_levels=1
    )
    features = torch.zeros(27, 1)
    source = [0, *(1 + step for step in offset)]
    features[level.coords.tolist().index(source)] = 1.0
    weight = torch.zeros(27, 1, 1)
    weight[k] = 1.0
    out = engine.convolve(features, weight, level.neighbours)
    assert out[level.coords.tolist().index([0, 1, 1, 1])] == 1.0
    assert out.sum() == 1.0


@pytest.mark.parametrize("cell", list(itertools.product((4, 5), repeat=3)))
def test_order_and_floor_of_a_kernel_of_two(engine, cell):
    """A cell goes to the halved one under weight ``i0 + 2 i1 + 4 i2``, and comes back under it."""
    level = Level.of(torch.tensor([[0, *cell]]), n_levels=2)
    k = (cell[0] & 1) + 2 * (cell[1] & 1) + 4 * (cell[2] & 1)
    weight = torch.arange(8.0).view(8, 1, 1)
    assert level.coarser.coords.tolist() == [[0, 2, 2, 2]]
    for kernel_map in (level.down, level.up):
        assert engine.convolve(torch.ones(1, 1), weight, kernel_map).item() == k


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_leaks_between_clouds(engine, kind):
    level = some_level(n_voxels=200)
    kernel_map = getattr(level, kind)
    features, weight = operands(kernel_map)
    into, out_of = (level.coarser, level) if kind == "up" else (level, level)
    out_level = level.coarser if kind == "down" else out_of
    before = engine.convolve(features, weight, kernel_map)
    changed = features.clone()
    changed[into.coords[:, 0] == 1] = torch.nan
    after = engine.convolve(changed, weight, kernel_map)
    other = out_level.coords[:, 0] == 0
    assert other.any() and (~other).any()
    assert torch.equal(before[other], after[other])
    assert after[~other].isnan().all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_cloud_is_convolved_the_same_alone_and_in_a_batch(engine, kind):
    level = some_level(n_voxels=200)
    features, weight = operands(getattr(level, kind))
    second = level.coords[:, 0] == 1
    own = level.coords[second].clone()
    own[:, 0] = 0
    alone = Level.of(own, n_levels=2)
    chosen = {"neighbours": level, "down": level, "up": level.coarser}[kind].coords[:, 0] == 1
    expected = engine.convolve(features[chosen], weight, getattr(alone, kind))
    both = engine.convolve(features, weight, getattr(level, kind))
    torch.testing.assert_close(both[-len(expected) :], expected)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("c_in", "c_out"), [(4, 16), (48, 32)])
def test_bits_do_not_depend_on_the_number_of_threads(engine, kind, c_in, c_out):
    kernel_map = getattr(some_level(n_voxels=9_000, shape=(40, 40, 10)), kind)
    features, weight = operands(kernel_map, c_in, c_out, torch.float32)
    features.requires_grad_(), weight.requires_grad_()
    threads = torch.get_num_threads()
    runs = []
    try:
        for n_threads in (1, 2, 3):
            torch.set_num_threads(n_threads)
            out = engine.convolve(features, weight, kernel_map)
            runs.append((out, *torch.autograd.grad(out, (features, weight), out.detach())))
    finally:
        torch.set_num_threads(threads)
    for run in runs[1:]:
        assert all(torch.equal(one, other) for one, other in zip(runs[0], run, strict=True))


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float32, 1e-6), (torch.bfloat16, 2e-2), (torch.float16, 2e-3)],
)
@pytest.mark.parametrize("kind", KINDS)
def test_other_floating_types(engine, kind, dtype, tolerance):
    kernel_map = getattr(some_level(), kind)
    features, weight = operands(kernel_map, dtype=dtype)
    expected = by_table(features.double(), weight.double(), kernel_map)
    ours = engine.convolve(features, weight, kernel_map)
    assert ours.dtype == dtype
    assert (ours.double() - expected).abs().max() <= tolerance * expected.abs().max()


def test_autocast_computes_in_its_type_and_gives_gradients_in_the_parameters():
    layer = SubmanifoldConv(3, 4)
    level = some_level()
    x = SparseTensor(torch.randn(level.n_voxels, 3, requires_grad=True), level)
    with torch.autocast("cpu", torch.bfloat16):
        out = layer(x).features
    assert out.dtype == torch.bfloat16
    out.float().sum().backward()
    assert layer.weight.grad.dtype == x.features.grad.dtype == torch.float32


def test_training_works_after_inference_mode(engine):
    kernel_map = some_level(n_voxels=150, seed=5).neighbours
    features, weight = operands(kernel_map, 40, 50)
    with torch.inference_mode():
        expected = engine.convolve(features, weight, kernel_map)
    weight.requires_grad_()
    out = engine.convolve(features, weight, kernel_map)
    out.sum().backward()
    assert torch.equal(out, expected)


def test_an_earlier_result_survives_the_next_call(engine):
    """The engine's buffers are reused; what it returned must not be."""
    kernel_map = some_level().neighbours
    features, weight = operands(kernel_map)
    first = engine.convolve(features, weight, kernel_map)
    kept = first.clone()
    engine.convolve(-features, weight, kernel_map)
    assert torch.equal(first, kept)
