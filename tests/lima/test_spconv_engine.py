"""The spconv engine without a GPU: its data on the real library's CPU path and on a model of it."""

import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from lima_bench.common.errors import UserError
from lima_bench.lima.backbones.sparse import (
    engine,
    spconv_convolution,
    spconv_cuda,
    spconv_library,
)
from lima_bench.lima.backbones.sparse.kernel_map import KernelMap, Links
from lima_bench.lima.backbones.sparse.maps import Level
from lima_bench.lima.backbones.sparse.parity import Agreement, agreement
from lima_bench.lima.backbones.sparse.reference import REFERENCE
from lima_bench.lima.backbones.sparse.spconv_cuda import SPCONV, SpconvEngine
from lima_bench.lima.backbones.sparse.spconv_library import Kernels
from lima_bench.lima.backbones.sparse.spconv_pairs import ImplicitPairs, NativePairs
from tests.lima.spconv_model import TILE, model

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
KINDS = ("neighbours", "down", "up")
BITS_BEYOND_TF32 = (1 << 13) - 1
"""Of the 23 bits of a float32's mantissa, those that TF32 drops."""


def some_level(seed=0, n=400, side=9):
    cells = torch.randint(0, side, (n, 4), generator=torch.Generator().manual_seed(seed))
    cells[:, 0] %= 2
    return Level.of(torch.unique(cells, dim=0), n_levels=2)


@pytest.fixture
def library(monkeypatch):
    made = model()
    monkeypatch.setattr(spconv_library, "library", lambda: made)
    spconv_library._settings.cache_clear()
    yield made
    spconv_library._settings.cache_clear()


@pytest.fixture(scope="module")
def real():
    """What the installed spconv computes on the CPU, in a process of one thread."""
    if importlib.util.find_spec("spconv") is None:
        pytest.skip("spconv is not installed (extra dev, Linux on x86-64)")
    program = Path(__file__).with_name("spconv_on_cpu.py")
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, program], env=one_thread, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# The real library, gather-multiply-scatter


def test_native_agrees_with_float64(real):
    forward, features, weight = real["agreement"]
    assert forward <= 1e-6
    assert features <= 1e-6
    assert weight <= 2e-6


@pytest.mark.parametrize("kind", ["subm", "down", "up"])
def test_layers_of_spconv_with_our_weights_compute_what_ours_do(real, kind):
    """So the order of a kernel's weights is the one that `spconv_pairs` states."""
    assert real["layers"][kind] <= 1e-6


def test_our_pairs_are_those_that_spconv_finds(real):
    assert real["same_pairs"] == {"subm": True}


@pytest.mark.parametrize(("dtype", "tolerance"), [("bfloat16", 1e-2), ("float16", 2e-3)])
def test_native_under_autocast(real, dtype, tolerance):
    assert real[dtype] <= tolerance


def test_native_repeats_its_bits(real):
    assert real["repeated"]


def test_there_is_one_kernel_for_every_width_and_gpu(real):
    if real["kernels"] is None:
        pytest.skip("this spconv was built without CUDA")
    assert all(len(kernels) == 1 for kernels in real["kernels"].values())
    tensor_cores = real["kernels"]["(9, 0) 32->32 kForward tf32=True"][0]
    assert not tensor_cores.startswith("Simt")
    assert real["kernels"]["(9, 0) 32->32 kForward tf32=False"][0].startswith("Simt")


# A model of its kernels, implicit GEMM


def test_implicit_agrees_with_float64(library):
    found = agreement(SpconvEngine("implicit"), CPU)
    assert found.forward <= 1e-6
    assert found.features <= 1e-6
    assert found.weight <= 1e-5
    assert {what for what, _ in library.ops.calls} == {"forward", "backward"}


def test_model_notices_masks_in_another_order(library, monkeypatch):
    """The trap: spconv reads masks by position in the sorted order."""
    derived = ImplicitPairs._derived

    def unsorted(table):
        found = derived(table)
        masks = torch.empty_like(found.masks)
        masks[found.order.long()] = found.masks
        return ImplicitPairs(found.rows, found.order, masks)

    monkeypatch.setattr(ImplicitPairs, "_derived", staticmethod(unsorted))
    assert agreement(SpconvEngine("implicit"), CPU).worst > 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_equal_neighbourhoods_are_sorted_together_and_by_row(kind):
    kernel_map = getattr(some_level(), kind)
    found = ImplicitPairs.of(kernel_map.forward)
    masks = found.masks[:, 0]
    assert found.rows.is_contiguous() and torch.equal(found.rows.T, kernel_map.table)
    assert (masks.diff() >= 0).all()
    assert (found.order.diff()[masks.diff() == 0] > 0).all()
    own = ((kernel_map.table >= 0).long() << torch.arange(kernel_map.table.shape[1])).sum(1)
    assert torch.equal(own[found.order.long()], masks.long())


def test_layers_on_the_same_map_share_what_is_derived():
    level = some_level()
    assert ImplicitPairs.of(level.down.forward) is ImplicitPairs.of(level.up.backward)
    assert NativePairs.of(level.up) is NativePairs.of(level.up)


def test_too_many_weights_are_refused():
    with pytest.raises(ValueError, match="31"):
        ImplicitPairs.of(Links.of(torch.zeros(3, 32, dtype=torch.int32)))


def test_rows_without_any_pair_are_zero(library):
    links = Links.of(torch.full((TILE + 3, 8), -1, dtype=torch.int32))
    back = Links.of(torch.full((5, 8), -1, dtype=torch.int32))
    features = torch.randn(5, 3, requires_grad=True)
    weight = torch.randn(8, 3, 4, requires_grad=True)
    out = SpconvEngine("implicit").convolve(features, weight, KernelMap(links, back))
    out.sum().backward()
    assert out.shape == (TILE + 3, 4) and not out.any()
    assert not features.grad.any() and not weight.grad.any()


@pytest.mark.parametrize("kind", KINDS)
def test_maps_without_rows_go_to_the_reference(library, kind):
    nothing = Level.of(torch.zeros(0, 4, dtype=torch.long), n_levels=2)
    kernel_map = getattr(nothing, kind)
    weight = torch.randn(kernel_map.table.shape[1], 3, 4, requires_grad=True)
    out = SpconvEngine("implicit").convolve(torch.zeros(0, 3), weight, kernel_map)
    out.sum().backward()
    assert out.shape == (0, 4) and not weight.grad.any()
    assert library.ops.calls == []


def test_float64_goes_to_the_reference(library):
    level = some_level()
    x, w = torch.randn(level.n_voxels, 3).double(), torch.randn(27, 3, 4).double()
    out = SpconvEngine("implicit").convolve(x, w, level.neighbours)
    assert torch.equal(out, REFERENCE.convolve(x, w, level.neighbours))
    assert library.ops.calls == []


def test_inference_does_not_ask_for_what_backward_needs(library, monkeypatch):
    asked = []
    forward = library.ops.implicit_gemm
    monkeypatch.setattr(
        library.ops, "implicit_gemm", lambda *args: (asked.append(args[7]), forward(*args))[1]
    )
    level = some_level()
    weight = torch.randn(27, 3, 4, requires_grad=True)
    for context in (torch.inference_mode(), torch.enable_grad()):
        with context:
            out = SpconvEngine("implicit").convolve(
                torch.ones(level.n_voxels, 3), weight, level.neighbours
            )
    out.sum().backward()
    assert asked == [False, True]


# Precision


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_types_lose_nothing_in_tf32(library, monkeypatch, dtype):
    """Whatever spconv multiplies on tensor cores fits into their 10 bits of mantissa."""
    seen = []
    note = library.ops._note

    def watch(what, left, right):
        seen.extend((left.view(torch.int32), right.view(torch.int32)))
        note(what, left, right)

    monkeypatch.setattr(library.ops, "_note", watch)
    level = some_level()
    x = torch.randn(level.n_voxels, 8, requires_grad=True)
    w = torch.randn(27, 8, 4, requires_grad=True)
    with torch.autocast("cpu", dtype):
        out = SpconvEngine("implicit").convolve(x, w, level.neighbours)
        assert out.dtype == dtype
        out.float().sum().backward()
    assert [tf32 for _, tf32 in library.ops.calls] == [True, True]
    assert all(not (bits & BITS_BEYOND_TF32).any() for bits in seen)
    assert x.grad.dtype == w.grad.dtype == torch.float32


def test_autocast_computes_what_the_reference_does(library):
    level = some_level()
    x, w = torch.randn(level.n_voxels, 8), torch.randn(27, 8, 4)
    with torch.autocast("cpu", torch.bfloat16):
        ours = SpconvEngine("implicit").convolve(x, w, level.neighbours).float()
        theirs = REFERENCE.convolve(x, w, level.neighbours).float()
    assert (ours - theirs).abs().max() <= 1e-2 * theirs.abs().max()


@pytest.mark.parametrize("allowed", [False, True])
def test_float32_is_exact_unless_torch_allows_tf32(library, monkeypatch, allowed):
    before = torch.backends.cuda.matmul.allow_tf32
    level = some_level()
    weight = torch.randn(27, 3, 4, requires_grad=True)
    try:
        torch.backends.cuda.matmul.allow_tf32 = allowed
        out = SpconvEngine("implicit").convolve(
            torch.ones(level.n_voxels, 3), weight, level.neighbours
        )
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
    out.sum().backward()
    assert library.ops.calls == [("forward", allowed), ("backward", allowed)]
    assert library.constants.SPCONV_ALLOW_TF32 is False, "spconv's own setting must come back"


def test_deterministic_torch_gets_repeatable_kernels(library, monkeypatch):
    plans = []
    real_convolve = spconv_convolution.convolve
    monkeypatch.setattr(
        spconv_cuda, "convolve", lambda *args: (plans.append(args[3]), real_convolve(*args))[1]
    )
    level = some_level()
    x, w = torch.ones(level.n_voxels, 3), torch.randn(27, 3, 4)
    before = torch.are_deterministic_algorithms_enabled()
    for wanted in (False, True):
        try:
            torch.use_deterministic_algorithms(wanted)
            SpconvEngine("implicit").convolve(x, w, level.neighbours)
        finally:
            torch.use_deterministic_algorithms(before)
    assert [plan.kernels.repeatable for plan in plans] == [False, True]


def test_exact_tf32_and_trial_kernels_are_tuned_apart(monkeypatch):
    """spconv remembers the fastest kernel of a pair of widths, whether or not TF32 was allowed."""

    class Tuner:
        def __init__(self, described):
            self.described = described

    ops = SimpleNamespace(
        CPU_ONLY_BUILD=False,
        CONV=SimpleNamespace(all_desps=["a", "b"]),
        GEMM=SimpleNamespace(static_key_to_desps={0: ["c"], 1: ["d"]}),
        CONV_CPP=Tuner([]),
        GEMM_CPP=Tuner([]),
    )
    constants = SimpleNamespace(SPCONV_ALLOW_TF32=False)
    made = SimpleNamespace(ops=ops, constants=constants)
    monkeypatch.setattr(spconv_library, "library", lambda: made)
    spconv_library._settings.cache_clear()
    own = ops.CONV_CPP
    seen = []
    for which in (Kernels(), Kernels(tf32=True), Kernels(trial=True), Kernels()):
        with spconv_library.kernels(which) as there:
            assert there.CONV_CPP.described == ["a", "b"]
            assert there.GEMM_CPP.described == ["c", "d"]
            assert which.tf32 == constants.SPCONV_ALLOW_TF32
            seen.append(there.CONV_CPP)
    spconv_library._settings.cache_clear()
    assert seen[0] is seen[3] and len({*map(id, seen), id(own)}) == 4
    assert ops.CONV_CPP is own


def kernel(name, rows, columns, operation=0, tensor=-1, vectors=1):
    return SimpleNamespace(
        name=name,
        tile_shape=(rows, columns, 8),
        op_type=SimpleNamespace(value=operation),
        tensorop=(tensor, -1, -1),
        access_per_vector=vectors,
        __str__=lambda: name,
    )


@pytest.mark.parametrize(
    ("operation", "widths", "expected"),
    [(0, (16, 32), "a"), (0, (32, 256), "c"), (1, (256, 32), "c"), (2, (64, 64), "b")],
)
def test_rule_prefers_tiles_that_overhang_least(operation, widths, expected):
    tiles = {"a": (64, 32), "b": (64, 64), "c": (64, 256), "d": (128, 128)}
    kernels = [kernel(name, *tile, operation) for name, tile in tiles.items()]
    ranked = sorted(kernels, key=lambda each: spconv_library._rank(each, *widths))
    assert ranked[0].name == expected


def test_rule_prefers_tensor_cores_and_whole_vectors():
    kernels = [
        kernel("a", 64, 32),
        kernel("b", 64, 32, tensor=16, vectors=0),
        kernel("c", 64, 256, tensor=16),
    ]
    ranked = sorted(kernels, key=lambda each: spconv_library._rank(each, 32, 32))
    assert [each.name for each in ranked] == ["c", "b", "a"]


# Where it is taken, and what is said where it is not


def test_it_is_first_choice_on_cuda_and_none_on_cpu(monkeypatch):
    assert engine.DEFAULTS["cuda"] == ("spconv", "reference")
    assert "spconv" not in engine.DEFAULTS["cpu"]
    assert "two threads" in SPCONV.why_not(CPU)
    with engine.use_engine("spconv"), pytest.raises(UserError, match="two threads"):
        engine.engine_on(CPU)


def test_without_cuda_it_says_so(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert SPCONV.why_not(CUDA) == "torch sees no CUDA device."


def with_distributions(monkeypatch, *names):
    found = [SimpleNamespace(name=name, version="2.3.8") for name in (*names, "numpy", "spconvoy")]
    monkeypatch.setattr(importlib.metadata, "distributions", lambda: found)


@pytest.mark.parametrize(("version", "other"), [((3, 11), True), ((3, 12), False)])
def test_without_spconv_it_names_the_extra(monkeypatch, version, other):
    monkeypatch.setattr(spconv_library, "available", lambda package: False)
    monkeypatch.setattr(sys, "version_info", version)
    said = spconv_library.why_missing()
    assert "lima-bench[cu126]" in said
    assert ("lima-bench[cu120]" in said) == other


def test_cpu_build_over_a_cuda_one_is_named(monkeypatch, library):
    monkeypatch.setattr(spconv_library, "available", lambda package: True)
    with_distributions(monkeypatch, "spconv", "spconv_cu126")
    said = spconv_library.why_missing()
    assert "spconv 2.3.8 and spconv-cu126 2.3.8" in said
    assert "pip uninstall -y spconv spconv-cu126 cumm cumm-cu126" in said


def test_a_broken_import_is_told(monkeypatch):
    def broken():
        raise ImportError("libcudart.so.12: cannot open\nmore")

    monkeypatch.setattr(spconv_library, "available", lambda package: True)
    monkeypatch.setattr(spconv_library, "library", broken)
    with_distributions(monkeypatch, "spconv-cu126")
    said = spconv_library.why_missing()
    assert "spconv-cu126 2.3.8 cannot be imported (libcudart.so.12: cannot open)" in said


@pytest.fixture
def gpu(monkeypatch):
    """As if there were a GPU and a spconv for it."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(spconv_cuda, "why_missing", lambda: None)


def test_trial_runs_once_per_gpu_with_every_set_of_kernels(monkeypatch, gpu):
    tried = []

    def fine(tested, device):
        tried.append((tested._held_to, device))
        return Agreement(1e-7, 1e-7, 1e-6)

    monkeypatch.setattr(spconv_cuda, "agreement", fine)
    tested = SpconvEngine("implicit")
    assert tested.why_not(CUDA) is None and tested.why_not(torch.device("cuda", 0)) is None
    assert {each for each, _ in tried} == set(spconv_cuda.TRIALS.values()) and len(tried) == 4
    tested.why_not(torch.device("cuda", 1))
    assert len(tried) == 8 and tried[-1][1] == torch.device("cuda", 1)


@pytest.mark.parametrize(
    ("found", "refused"),
    [
        (Agreement(1e-6, 1e-6, 9e-6), 0),
        (Agreement(1e-6, 1e-6, 1e-3), 2),
        (Agreement(1e-6, float("inf"), 1e-6), 4),
    ],
)
def test_disagreement_is_told_with_its_figures(monkeypatch, gpu, found, refused):
    monkeypatch.setattr(spconv_cuda, "agreement", lambda tested, device: found)
    said = SpconvEngine("implicit").why_not(CUDA)
    assert (said or "").count("forward 1.0e-06") == refused
    if refused:
        assert f"{found.worst:.1e}" in said and "LIMA_BENCH_SPCONV=native" in said


def test_a_kernel_that_dies_is_told_and_the_reference_computes(monkeypatch, gpu):
    def dies(tested, device):
        raise RuntimeError("no kernel image is available\nat core.cc")

    monkeypatch.setattr(spconv_cuda, "agreement", dies)
    said = SpconvEngine("native").why_not(CUDA)
    assert said == "It failed its trial: no kernel image is available "


def test_unknown_algorithm_is_the_users_to_mend(monkeypatch, gpu):
    monkeypatch.setenv(spconv_cuda.VARIABLE, "nativ")
    with pytest.raises(UserError, match='Did you mean "native"'):
        SpconvEngine().why_not(CUDA)


def test_parity_of_the_reference_itself_and_of_a_wrong_engine():
    assert agreement(REFERENCE, CPU).worst <= 2e-6

    class Wrong:
        def convolve(self, features, weight, kernel_map):
            return REFERENCE.convolve(features, weight.flip(0), kernel_map)

    assert agreement(Wrong(), CPU).worst > 0.1
    before = torch.random.get_rng_state()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert agreement(REFERENCE, CPU).worst <= 2e-6
    assert torch.equal(before, torch.random.get_rng_state())


def test_spconv_is_imported_only_where_it_computes():
    code = (
        "import sys; from lima_bench.lima.backbones.sparse import engine, layers, spconv_cuda;"
        "import torch; spconv_cuda.SPCONV.why_not(torch.device('cpu'));"
        "assert not {'spconv', 'cumm'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
