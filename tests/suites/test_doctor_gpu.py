"""``doctor gpu`` says which engine convolves where, and what stands against the others."""

from types import SimpleNamespace

import pytest
import torch

from lima_bench.common.errors import UserError
from lima_bench.lima.backbones.sparse import engine
from lima_bench.lima.backbones.sparse.parity import Agreement
from lima_bench.lima.backbones.sparse.spconv_cuda import SPCONV
from lima_bench.suites.verbs.doctor_gpu import gpus


def test_without_a_gpu_the_cpu_is_told_first(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    told = dict(_until_error(gpus()))
    assert told["cpu"].startswith("sparse convolution: ")
    assert "two threads" in told["  not spconv"]
    with pytest.raises(UserError, match="no CUDA device"):
        list(gpus())


def _until_error(lines):
    try:
        yield from lines
    except UserError:
        return


@pytest.mark.parametrize("reason", [None, "It disagrees with float64 (…)."])
def test_a_gpu_is_told_with_its_engine_and_figures(monkeypatch, reason):
    properties = SimpleNamespace(name="Some GPU", total_memory=80e9)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: properties)
    monkeypatch.setattr(
        SPCONV, "why_not", lambda device: "Not here." if device.type == "cpu" else reason
    )
    monkeypatch.setattr(
        SPCONV, "trial", lambda device: {"fastest kernels": Agreement(1e-7, 2e-7, 3e-7)}
    )
    engine._default.cache_clear()
    lines = list(gpus())
    engine._default.cache_clear()
    assert ("cuda:0", "Some GPU, 80 GB") in lines
    chosen = "spconv" if reason is None else "reference"
    assert ("cuda:0", f"sparse convolution: {chosen}") in lines
    assert (("  not spconv", reason) in lines) == (reason is not None)
    figures = [text for name, text in lines if name == "  spconv"]
    assert bool(figures) == (reason is None)
    assert all("forward 1.0e-07" in text for text in figures)
