"""Sparse convolution on a GPU: agreement, repeatability, layers, MinkUNet-34, memory.

Offers `rows`; on a machine without CUDA one row that says so. Times are wall times with the GPU
idle before and after, contenders in turn; kernel maps are built beforehand for layers and anew in
every call of the network. Precisions: exact float32, TF32 allowed, autocast to bfloat16. With
``LIMA_BENCH_SPCONV=native`` the other algorithm of spconv is measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from benchmarks.rows import Clock, Row, Timings, interleave
from benchmarks.scans import LARGE, QUICK, Sensor, scan
from lima_bench.lima.backbones.catalogue import build_backbone
from lima_bench.lima.backbones.sparse.engine import ENGINES, use_engine
from lima_bench.lima.backbones.sparse.kernel_map import KernelMap
from lima_bench.lima.backbones.sparse.maps import Level
from lima_bench.lima.backbones.sparse.spconv_cuda import SPCONV
from lima_bench.lima.recipes import VoxelSettings
from lima_bench.lima.student import Student
from lima_bench.lima.voxels import Voxels, voxelise

BACKBONE, N_LEVELS = "minkunet34", 5
WIDTHS_AND_STRIDES = ((32, 1), (64, 4), (96, 1), (128, 8), (256, 16))
BATCHES = (1, 4, 16)
FORWARD_TARGET, GRADIENT_TARGET = 1e-6, 1e-5
"""Largest errors of exact float32 against float64, relative to the largest value."""


@dataclass(frozen=True)
class Precision:
    """In what a contender computes.

    Attributes:
        title: As it stands in the names of rows.
        tf32: Whether torch allows TF32.
        half: Type of autocast; None without.
    """

    title: str
    tf32: bool = False
    half: torch.dtype | None = None

    @contextmanager
    def used(self, device: torch.device) -> Iterator[None]:
        """Compute in it inside a with-block."""
        before = torch.backends.cuda.matmul.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = self.tf32
        try:
            with torch.autocast(device.type, self.half, enabled=self.half is not None):
                yield
        finally:
            torch.backends.cuda.matmul.allow_tf32 = before


PRECISIONS = (
    Precision("float32"),
    Precision("tf32", tf32=True),
    Precision("bfloat16", half=torch.bfloat16),
)


def rows(quick: bool) -> list[Row]:
    """Everything about the first GPU, or that there is none."""
    if not torch.cuda.is_available():
        return [Row("gpu", None, "", note="not measured: torch sees no CUDA device")]
    device = torch.device("cuda", torch.cuda.current_device())
    facts = torch.cuda.get_device_properties(device)
    text = f"{facts.name}, {facts.total_memory / 1e9:.0f} GB, CUDA {torch.version.cuda}"
    found = [Row("gpu/device", None, "", note=text)]
    if (reason := SPCONV.why_not(device)) is not None:
        found.append(Row("gpu/spconv", None, "", note=reason))
    else:
        found += agreement_rows(device)
    return found + measured(device, quick)


def agreement_rows(device: torch.device) -> list[Row]:
    """Errors of every set of spconv's kernels against float64."""
    found = []
    for kernels, errors in SPCONV.trial(device).items():
        exact = "TF32" not in kernels
        bounds = {"forward": FORWARD_TARGET, "features": GRADIENT_TARGET, "weight": GRADIENT_TARGET}
        for part, bound in bounds.items():
            name = f"gpu/agreement/{kernels}/{part}"
            limit = bound if exact else None
            found.append(Row.of(name, getattr(errors, part), "relative", at_most=limit))
    return found


def measured(device: torch.device, quick: bool) -> list[Row]:
    """What can be timed on any device that has engines."""
    names = [name for name in ENGINES.names() if ENGINES.get(name).why_not(device) is None]
    found = [maps_row(device, quick)]
    for name in names:
        with use_engine(name):
            found += repeat_rows(name, device, quick)
    found += layer_rows(names, device, quick)
    for n_scans in BATCHES[:1] if quick else BATCHES:
        found += network_rows(names, device, n_scans, quick)
    return found


def batch(sensor: Sensor, n_scans: int) -> Voxels:
    """Scans of different streets, four features a point."""
    scans = [scan(sensor, seed) for seed in range(n_scans)]
    xyz = np.concatenate(scans)
    owner = np.repeat(np.arange(n_scans), [len(points) for points in scans])
    features = np.column_stack((xyz, np.ones(len(xyz), np.float32)))
    grid = VoxelSettings(kind="cartesian", size=(sensor.voxel_size_m,) * 3)
    return voxelise(xyz, features, owner, grid, n_clouds=n_scans)


def _clock(device: torch.device) -> Clock:
    """Seconds, once everything that was asked of the device is done."""

    def now() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()

    return now


def maps_row(device: torch.device, quick: bool) -> Row:
    """Building the maps of all levels of one scan on the device."""
    coords = batch(QUICK if quick else LARGE, 1).coords.to(device)
    timings = interleave(
        {"maps": lambda: Level.of(coords, N_LEVELS)},
        rounds=3 if quick else 15,
        clock=_clock(device),
    )
    note = f"{len(coords)} voxels, {N_LEVELS} levels, on the device"
    return Row.of("gpu/maps", timings.sample("maps", 1e3), "ms", note=note)


def repeat_rows(name: str, device: torch.device, quick: bool) -> list[Row]:
    """Whether a second call gives the same bits, with torch's deterministic switch off and on."""
    level = Level.of(batch(QUICK if quick else LARGE, 1).coords.to(device), 1)
    found = []
    before = torch.are_deterministic_algorithms_enabled()
    for wanted in (False, True):
        torch.use_deterministic_algorithms(wanted, warn_only=True)
        try:
            first, second = (_results(name, level.neighbours, 64) for _ in range(2))
        finally:
            torch.use_deterministic_algorithms(before)
        same = all(torch.equal(*pair) for pair in zip(first, second, strict=True))
        title = "deterministic" if wanted else "default"
        note = "1 where a second call in this process gives the same bits"
        start = f"gpu/repeats/{name}/{title}"
        found.append(Row.of(start, float(same), "", at_least=wanted or None, note=note))
    return found


def _results(name: str, kernel_map: KernelMap, width: int) -> tuple[Tensor, ...]:
    features, weight, upstream = _operands(kernel_map, width)
    out = ENGINES.get(name).convolve(features, weight, kernel_map)
    return out.detach(), *torch.autograd.grad(out, (features, weight), upstream)


def _operands(kernel_map: KernelMap, width: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).to(kernel_map.table.device)

    n_weights = kernel_map.table.shape[1]
    return (
        draw(kernel_map.n_in, width).requires_grad_(),
        draw(n_weights, width, width).requires_grad_(),
        draw(kernel_map.n_out, width),
    )


def layer_rows(names: list[str], device: torch.device, quick: bool) -> list[Row]:
    """Useful operations per second of submanifold convolutions, four scans at a time."""
    levels = [Level.of(batch(QUICK if quick else LARGE, 4).coords.to(device), N_LEVELS)]
    for _ in range(N_LEVELS - 1):
        levels.append(levels[-1].coarser)
    found = []
    for width, stride in WIDTHS_AND_STRIDES[:1] if quick else WIDTHS_AND_STRIDES:
        kernel_map = levels[stride.bit_length() - 1].neighbours
        work = {
            f"{name}/{precision.title}": _layer(name, kernel_map, width, precision)
            for name in names
            for precision in PRECISIONS
        }
        rounds = 2 if quick else 9
        timings = interleave(work, rounds=rounds, clock=_clock(device), shortest_s=0.02)
        operations = 3 * 2 * int((kernel_map.table >= 0).sum()) * width**2
        for title in work:
            rate = timings.sample(title).map(partial(_rate, operations))
            name = f"gpu/layers/subm-3/C={width}-s{stride}/{title}/with backward"
            found.append(Row.of(name, rate, "TFLOP/s", note=f"{kernel_map.n_out} voxels"))
    return found


def _rate(operations: int, seconds: float) -> float:
    return operations / seconds / 1e12


def _layer(
    name: str, kernel_map: KernelMap, width: int, precision: Precision
) -> Callable[[], object]:
    features, weight, upstream = _operands(kernel_map, width)
    engine = ENGINES.get(name)

    def both() -> object:
        with precision.used(features.device):
            out = engine.convolve(features, weight, kernel_map)
        return torch.autograd.grad(out, (features, weight), upstream.to(out.dtype))

    return both


def network_rows(names: list[str], device: torch.device, n_scans: int, quick: bool) -> list[Row]:
    """Inference and training step of the network, and the memory of each."""
    voxels = batch(QUICK if quick else LARGE, n_scans).to(device)
    found = []
    for precision in PRECISIONS:
        parts = {name: _network(name, voxels, precision) for name in names}
        work = {
            f"{name}/{part}": call
            for name, both in parts.items()
            for part, call in zip(("inference", "training step"), both, strict=True)
        }
        rounds = 1 if quick else 5
        timings = interleave(work, rounds=rounds, clock=_clock(device), shortest_s=0.0)
        for title, call in work.items():
            start = f"gpu/{BACKBONE}/batch={n_scans}/{precision.title}/{title}"
            found.append(_time_row(start, timings, title, voxels))
            found.append(_memory_row(start, call, device))
    return found


def _network(
    name: str, voxels: Voxels, precision: Precision
) -> tuple[Callable[[], object], Callable[[], object]]:
    torch.manual_seed(0)
    student = Student(build_backbone(BACKBONE, voxels.features.shape[1], bn_momentum=0.1))
    student.to(voxels.features.device)
    optimiser = torch.optim.AdamW(student.parameters(), lr=1e-3, fused=True)
    bare = replace(voxels, level=None)  # so that every call builds its maps

    def infer() -> object:
        with use_engine(name), precision.used(voxels.features.device), torch.no_grad():
            return student(bare)

    def learn() -> None:
        optimiser.zero_grad()
        with use_engine(name):
            with precision.used(voxels.features.device):
                loss = student(bare).float().square().mean()
            loss.backward()
        optimiser.step()

    return infer, learn


def _time_row(start: str, timings: Timings, title: str, voxels: Voxels) -> Row:
    note = f"{len(voxels.coords)} voxels, kernel maps included"
    return Row.of(f"{start}/time", timings.sample(title, 1e3), "ms", note=note)


def _memory_row(start: str, call: Callable[[], object], device: torch.device) -> Row:
    if device.type != "cuda":
        return Row(f"{start}/memory", None, "MiB", note="not measured: not a GPU")
    torch.cuda.reset_peak_memory_stats(device)
    call()
    peak = torch.cuda.max_memory_allocated(device) / 2**20
    return Row.of(f"{start}/memory", peak, "MiB", note="peak of torch's allocator, all in")
