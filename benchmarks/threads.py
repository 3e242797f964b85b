"""Whether results depend on the number of threads: bits are compared for 1, 2 and 4.

Offers `rows`. The value is the number of tensors (results and gradients) whose bits differ from
those of one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from benchmarks.contenders import our_engine
from benchmarks.nets import contestant
from benchmarks.rows import Row
from benchmarks.scans import LARGE, QUICK, SMALL, scan_voxels
from lima_bench.lima.backbones.sparse.engine import ENGINES
from lima_bench.lima.backbones.sparse.maps import Level
from lima_bench.lima.voxels import Voxels

COUNTS = (1, 2, 4)
WIDTHS = (16, 32, 96)
N_LEVELS = 2


def rows(quick: bool) -> list[Row]:
    """Convolutions of three kinds and widths; a training step of the small network."""
    large = scan_voxels(QUICK if quick else LARGE)
    small = scan_voxels(QUICK if quick else SMALL)
    said = f"tensors that differ among {', '.join(map(str, COUNTS))} threads, {our_engine()}"
    found = []
    for name, results in (
        ("convolutions", lambda: _convolutions(large)),
        ("training step", lambda: _training_step(small)),
    ):
        differing, count = _differing(results)
        note = f"{said}; of {count}: results and gradients"
        row = Row.of(f"threads/{name}", float(differing), "differ", at_most=0, note=note)
        found.append(row)
    return found


def _differing(results: Callable[[], list[Tensor]]) -> tuple[int, int]:
    """How many tensors change with the number of threads, and how many there are."""
    by_count = []
    for count in COUNTS:
        with threads(count):
            by_count.append(results())
    expected, *others = by_count
    pairs = zip(expected, *others, strict=True)
    changed = sum(not all(torch.equal(first, one) for one in more) for first, *more in pairs)
    return changed, len(expected)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """So many threads inside a with-block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _convolutions(voxels: Voxels) -> list[Tensor]:
    level = Level.of(voxels.coords, N_LEVELS)
    engine, found = ENGINES.get(our_engine()), []
    for width in WIDTHS:
        for kernel_map in (level.neighbours, level.down, level.up):
            generator = torch.Generator().manual_seed(width)
            n_weights = kernel_map.table.shape[1]
            features = torch.randn(kernel_map.n_in, width, generator=generator, requires_grad=True)
            weight = torch.randn(n_weights, width, width, generator=generator, requires_grad=True)
            result = engine.convolve(features, weight, kernel_map)
            upstream = torch.randn(result.shape, generator=generator)
            found += [result, *torch.autograd.grad(result, (features, weight), upstream)]
    return [one.detach() for one in found]


def _training_step(voxels: Voxels) -> list[Tensor]:
    tried = contestant("minkunet_tiny", our_engine(), voxels)
    tried.learn()
    gradients = [one.grad for one in tried.network.parameters() if one.grad is not None]
    return [*(one.clone() for one in gradients), tried.infer()]
