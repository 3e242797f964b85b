"""Peak memory of a MinkUNet-34 training step: ours over the best peer's, each in its own process.

Offers `rows`. The child, ``python -m benchmarks.memory CONTENDER SENSOR``, takes a step on
a tiny scan first, so that code, compiled kernels and the optimiser's state are there, and then
prints by how much its peak on the real one exceeds what it held before. Freed memory goes back at
once: else the figure would count the holes that an allocator keeps, 5 to 10 % that come and go with
the order of requests.
"""

from __future__ import annotations

import json
import sys

from benchmarks.children import answer, resident_bytes
from benchmarks.rows import Row, Sample

BACKBONE = "minkunet34"
TARGET = 1.0
MIB = 1 << 20
HAND_BACK = {"MALLOC_MMAP_THRESHOLD_": str(1 << 16)}
"""Makes the C library ask the system for every large array, and return it."""


def rows(quick: bool) -> list[Row]:
    """One ratio; every contender's own figure in the note."""
    from benchmarks.contenders import our_engine, peers, without_spconv

    ours, others = our_engine(), peers()
    if not others:
        return [Row.of("memory/training step over best peer", None, "x", note=without_spconv())]
    rounds = 1 if quick else 2
    sensor = "QUICK" if quick else "LARGE"
    grown: dict[str, list[float]] = {name: [] for name in (ours, *others)}
    for _ in range(rounds):
        for name, values in grown.items():
            values.append(answer("benchmarks.memory", name, sensor, extra=HAND_BACK) / MIB)
    best = min(others, key=lambda name: Sample(tuple(grown[name])).median)
    ratio = Sample(tuple(a / b for a, b in zip(grown[ours], grown[best], strict=True)))
    listed = (f"{name} {Sample(tuple(values)).median:.0f}" for name, values in grown.items())
    note = "; ".join(filter(None, (f"MiB above idle: {', '.join(listed)}", without_spconv())))
    name = f"memory/{BACKBONE}/training step over best peer"
    return [Row.of(name, ratio, "x", at_most=TARGET, note=note)]


def growth_bytes(contender: str, sensor: str) -> int:
    """How far the peak of resident memory rises above what was resident before the step."""
    import torch

    from benchmarks import scans
    from benchmarks.nets import contestant

    torch.set_num_threads(1)
    small, large = scans.scan_voxels(scans.QUICK), scans.scan_voxels(getattr(scans, sensor))
    tried = contestant(BACKBONE, contender, small)
    tried.learn()
    measured = tried.on(large)
    before = resident_bytes("VmRSS")
    measured.learn()
    return resident_bytes("VmHWM") - before


if __name__ == "__main__":
    print(json.dumps(growth_bytes(*sys.argv[1:])))
