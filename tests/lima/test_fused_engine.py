"""The compiled engine against float64, against itself, and where it cannot run."""

import hashlib
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from lima_bench.lima.backbones.sparse import engine as engine_module
from lima_bench.lima.backbones.sparse import fused_kernels, tiles
from lima_bench.lima.backbones.sparse.engine import engine_on, name_on, use_engine
from lima_bench.lima.backbones.sparse.fused import FUSED
from lima_bench.lima.backbones.sparse.maps import Level

CPU = torch.device("cpu")
KINDS = ("neighbours", "down", "up")
WIDTHS = ((1, 1), (4, 16), (3, 5), (16, 16), (17, 33), (32, 48), (50, 96), (64, 8), (130, 30))


def some_level(seed=0, n_voxels=700, n_clouds=2, shape=(14, 12, 6)):
    rng = np.random.default_rng(seed)
    cells = np.column_stack([rng.integers(0, top, n_voxels) for top in (n_clouds, *shape)])
    return Level.of(torch.from_numpy(np.unique(cells, axis=0)).view(-1, 4), n_levels=2)


def operands(kernel_map, c_in, c_out, seed=0):
    generator = torch.Generator().manual_seed(seed)
    n_weights = kernel_map.table.shape[1]
    shapes = (kernel_map.n_in, c_in), (n_weights, c_in, c_out), (kernel_map.n_out, c_out)
    return [torch.randn(shape, generator=generator) for shape in shapes]


def by_table(features, weight, kernel_map):
    padded = torch.cat((features, features.new_zeros(1, features.shape[1])))
    return torch.einsum("nki,kio->no", padded[kernel_map.table.long()], weight)


def results(convolve, features, weight, upstream, dtype=torch.float32):
    features, weight = (tensor.to(dtype).requires_grad_() for tensor in (features, weight))
    out = convolve(features, weight)
    return out, *torch.autograd.grad(out, (features, weight), upstream.to(dtype))


def assert_close(ours, exact):
    for found, expected, tolerance in zip(ours, exact, (1e-6, 1e-5, 1e-5), strict=True):
        assert found.dtype == torch.float32
        assert found.shape == expected.shape
        if expected.numel():
            worst = (found.double() - expected).abs().max()
            assert worst <= tolerance * expected.abs().max()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("c_in", "c_out"), WIDTHS)
@pytest.mark.parametrize("n_voxels", [1, 40, 1500])
def test_it_computes_the_definition(kind, c_in, c_out, n_voxels):
    kernel_map = getattr(some_level(c_in, n_voxels, n_clouds=1 + c_in % 3), kind)
    given = operands(kernel_map, c_in, c_out)
    ours = results(lambda x, w: FUSED.convolve(x, w, kernel_map), *given)
    exact = results(lambda x, w: by_table(x, w, kernel_map), *given, torch.float64)
    assert_close(ours, exact)


SHAPE = (10, 8, 12)


def densified(level, features, shape=SHAPE):
    grid = features.new_zeros(2, features.shape[1], *shape)
    batch, x, y, z = level.coords.T
    return grid.index_put((batch, torch.arange(features.shape[1])[:, None], x, y, z), features.T)


def read_at(level, grid):
    batch, x, y, z = level.coords.T
    return grid[batch, :, x, y, z]


def dense(kind, level, features, weight):
    """The same by torch's dense convolutions."""
    size = 3 if kind == "neighbours" else 2
    kernel = weight.view(size, size, size, *weight.shape[1:]).permute(4, 3, 2, 1, 0)
    if kind == "neighbours":
        return read_at(level, functional.conv3d(densified(level, features), kernel, padding=1))
    if kind == "down":
        grid = functional.conv3d(densified(level, features), kernel, stride=2)
        return read_at(level.coarser, grid)
    coarse = densified(level.coarser, features, tuple(side // 2 for side in SHAPE))
    return read_at(level, functional.conv_transpose3d(coarse, kernel.transpose(0, 1), stride=2))


@pytest.mark.parametrize("engine", ["fused", "reference"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("seed", "n_voxels"), [(0, 900), (1, 200), (2, 1)])
def test_engines_are_dense_convolutions_in_float64(engine, kind, seed, n_voxels):
    level = some_level(seed, n_voxels, shape=SHAPE)
    kernel_map = getattr(level, kind)
    given = operands(kernel_map, 16, 32, seed)
    with use_engine(engine) as chosen:
        ours = results(lambda x, w: chosen.convolve(x, w, kernel_map), *given)
    exact = results(lambda x, w: dense(kind, level, x, w), *given, torch.float64)
    assert_close(ours, exact)


@pytest.mark.parametrize("kind", KINDS)
def test_no_voxels_give_no_rows_and_no_gradient(kind):
    kernel_map = getattr(Level.of(torch.zeros(0, 4, dtype=torch.int64), n_levels=2), kind)
    out, grad_x, grad_w = results(
        lambda x, w: FUSED.convolve(x, w, kernel_map), *operands(kernel_map, 5, 7)
    )
    assert out.shape == (0, 7) and grad_x.shape == (0, 5)
    assert (grad_w == 0).all()


def test_rounding_of_a_weights_gradient_does_not_grow_with_the_number_of_pairs():
    """A sum in one register over 40,000 pairs would be ten times worse than this."""
    cells = torch.cartesian_prod(torch.arange(1), *map(torch.arange, (50, 40, 20)))
    kernel_map = Level.of(cells, n_levels=1).neighbours
    given = operands(kernel_map, 4, 16)
    given[2] += 3.0  # so that sums grow
    given[0] += 3.0
    ours = results(lambda x, w: FUSED.convolve(x, w, kernel_map), *given)[2]
    exact = results(lambda x, w: by_table(x, w, kernel_map), *given, torch.float64)[2]
    assert ((ours.double() - exact).abs() / exact.abs()).max() < 1e-6


def test_operands_need_not_be_contiguous():
    kernel_map = some_level().neighbours
    features, weight, upstream = operands(kernel_map, 12, 20)
    strided = features.T.contiguous().T, weight.mT.contiguous().mT, upstream.T.contiguous().T
    ours = results(lambda x, w: FUSED.convolve(x, w, kernel_map), *strided)
    plain = results(lambda x, w: FUSED.convolve(x, w, kernel_map), features, weight, upstream)
    assert all(torch.equal(a, b) for a, b in zip(ours, plain, strict=True))


@pytest.mark.parametrize("frozen", [0, 1])
def test_what_needs_no_gradient_gets_none(frozen):
    kernel_map = some_level().neighbours
    features, weight, _ = operands(kernel_map, 12, 20)
    (weight if frozen else features).requires_grad_()
    FUSED.convolve(features, weight, kernel_map).sum().backward()
    assert (features.grad is None) == bool(frozen)
    assert (weight.grad is None) != bool(frozen)


_DIGEST = """
import hashlib, sys, json, torch
sys.path.insert(0, {tests!r})
from test_fused_engine import digest_of_results
print(json.dumps(digest_of_results()))
"""


def digest_of_results():
    """Vector width and a digest of results over all kinds and some widths."""
    state = hashlib.sha256()
    for kind in KINDS:
        kernel_map = getattr(some_level(n_voxels=2000), kind)
        for c_in, c_out in ((4, 16), (32, 48), (50, 96)):
            given = operands(kernel_map, c_in, c_out)
            for one in results(lambda x, w, m=kernel_map: FUSED.convolve(x, w, m), *given):
                state.update(one.detach().numpy().tobytes())
    return [fused_kernels.LANES, state.hexdigest()]


def in_another_process(**environment):
    code = _DIGEST.format(tests=str(Path(__file__).parent))
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


@pytest.mark.skipif(fused_kernels.LANES != 16, reason="this processor has no AVX-512")
def test_narrower_vectors_give_the_same_bits(tmp_path):
    narrow = in_another_process(
        NUMBA_CPU_NAME="haswell",
        NUMBA_CPU_FEATURES="+avx,+avx2,+fma,+bmi,+bmi2",
        NUMBA_CACHE_DIR=str(tmp_path),
    )
    wide = digest_of_results()
    assert (narrow[0], wide[0]) == (8, 16)
    assert narrow[1] == wide[1]


def test_another_process_takes_the_machine_code_from_disk(tmp_path):
    cache = {"NUMBA_CACHE_DIR": str(tmp_path)}
    first = in_another_process(**cache)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nbc")}
    assert len(written) >= 3
    assert in_another_process(**cache) == first
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nbc")} == written


@pytest.fixture
def fresh_choice():
    engine_module._default.cache_clear()
    yield
    engine_module._default.cache_clear()


def test_it_is_the_default_on_a_cpu(fresh_choice, monkeypatch):
    monkeypatch.delenv(engine_module.VARIABLE, raising=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert name_on(CPU) == "fused"
        assert engine_on(CPU) is FUSED


def test_a_processor_without_wide_vectors_falls_back_aloud(fresh_choice, monkeypatch):
    monkeypatch.delenv(engine_module.VARIABLE, raising=False)
    monkeypatch.setattr(fused_kernels, "LANES", 0)
    with pytest.warns(UserWarning, match=r"no fused engine\. This processor has none of"):
        assert name_on(CPU) == "reference"


def test_without_numba_it_falls_back_aloud(fresh_choice, monkeypatch):
    monkeypatch.delenv(engine_module.VARIABLE, raising=False)
    for module in (fused_kernels, tiles):
        monkeypatch.delitem(sys.modules, module.__name__)
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.warns(UserWarning, match="numba, which cannot be imported"):
        assert name_on(CPU) == "reference"


def test_other_types_are_computed_by_the_reference():
    kernel_map = some_level().neighbours
    features, weight, _ = operands(kernel_map, 6, 6)
    double = FUSED.convolve(features.double(), weight.double(), kernel_map)
    with use_engine("reference") as reference:
        assert torch.equal(
            double, reference.convolve(features.double(), weight.double(), kernel_map)
        )


@pytest.mark.parametrize("change", ["rows", "channels", "weights", "flat"])
def test_operands_of_another_size_are_refused(change):
    """Compiled loops do not look where an array ends."""
    kernel_map = some_level().neighbours
    features, weight, _ = operands(kernel_map, 8, 16)
    wrong = {
        "rows": (features[1:], weight),
        "channels": (features[:, 1:], weight),
        "weights": (features, weight[:8]),
        "flat": (features, weight[0]),
    }
    with pytest.raises(ValueError, match="do not fit a kernel map"):
        FUSED.convolve(*wrong[change], kernel_map)
