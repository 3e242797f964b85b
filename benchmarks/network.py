"""MinkUNet-34 on one scan of 22,000 voxels: inference and training step against the best peer.

Offers `rows`. Peers are the other engines and, where it is installed, spconv on one thread, which
is its only correct mode on a CPU. Two threads of ours are therefore compared with one of spconv's,
in wall time, and that asks for free cores.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping

from benchmarks.contenders import PEER, our_engine, peers, without_spconv
from benchmarks.nets import Contestant, contestant
from benchmarks.rows import Row, Timings, interleave
from benchmarks.scans import LARGE, QUICK, scan_voxels
from benchmarks.threads import threads
from lima_bench.lima.voxels import Voxels

BACKBONE = "minkunet34"
TARGETS = {"inference": 1.45, "training step": 1.3}
TWO_THREADS_TARGET = 2.3
AGREE = 1e-4
MISSED = (
    "on the border, 4 % from run to run: convolutions run at the rate of plain products, and what "
    "is left (normalisation, skips, kernels of 1) is bound by memory, for every contender alike"
)


def rows(quick: bool) -> list[Row]:
    """One thread by CPU time, then two by wall time."""
    voxels = scan_voxels(QUICK if quick else LARGE)
    names = [our_engine(), *peers()]
    found = {name: contestant(BACKBONE, name, voxels) for name in names}
    _agree(found)
    rounds = 2 if quick else 5
    one = interleave(_work(found), rounds=rounds)
    rivals = [PEER] if PEER in found else peers()
    kept = {name: found[name] for name in (our_engine(), *rivals)}
    two = interleave(_two_threads(kept), rounds=rounds, clock=time.perf_counter)
    return [
        row
        for part in TARGETS
        for row in (
            *_one_thread_rows(one, part, peers(), voxels),
            _two_threads_row(two, part, rivals),
        )
    ]


def _agree(contestants: Mapping[str, Contestant]) -> None:
    """A fast wrong answer is no answer."""
    results = {name: one.infer() for name, one in contestants.items()}
    expected = results[our_engine()]
    for name, result in results.items():
        error = float((result - expected).abs().max() / expected.abs().max())
        if error > AGREE:
            raise ArithmeticError(f"{name} differs from {our_engine()} by {error:.1e}")


def _work(contestants: Mapping[str, Contestant]) -> dict[str, Callable[[], object]]:
    work: dict[str, Callable[[], object]] = {}
    for name, one in contestants.items():
        work |= {f"{name}/inference": one.infer, f"{name}/training step": one.learn}
    return work


def _two_threads(contestants: Mapping[str, Contestant]) -> dict[str, Callable[[], object]]:
    """Ours on two threads, every peer on its one."""
    work = _work(contestants)
    for part in TARGETS:
        name = f"{our_engine()}/{part}"
        work[name] = _on_two(work[name])
    return work


def _on_two(call: Callable[[], object]) -> Callable[[], object]:
    def called() -> object:
        with threads(2):
            return call()

    return called


def _one_thread_rows(timings: Timings, part: str, others: list[str], voxels: Voxels) -> list[Row]:
    ours = f"{our_engine()}/{part}"
    found = []
    for other in others:
        ratio = timings.ratio(f"{other}/{part}", ours)
        found.append(Row.of(f"network/{BACKBONE}/{part}/over {other}", ratio, "x"))
    best = timings.fastest([f"{other}/{part}" for other in others]) if others else ours
    note = (
        f"{our_engine()} {timings.sample(ours, 1e3).median:.0f} ms against {best.split('/')[0]} "
        f"{timings.sample(best, 1e3).median:.0f} ms of CPU, {len(voxels.coords)} voxels, "
        f"kernel maps included"
    )
    name = f"network/{BACKBONE}/{part}/over best peer"
    ratio, target = timings.ratio(best, ours), TARGETS[part]
    whole = Row.of(name, ratio, "x", at_least=target, note=_with(note), missed=MISSED)
    return [*found, whole]


def _two_threads_row(timings: Timings, part: str, others: list[str]) -> Row:
    name = f"network/{BACKBONE}/{part}/2 threads over 1"
    ours = f"{our_engine()}/{part}"
    if (os.cpu_count() or 1) < 2:
        return Row.of(name, None, "x", at_least=TWO_THREADS_TARGET, note="a single core")
    best = timings.fastest([f"{other}/{part}" for other in others]) if others else ours
    load = os.getloadavg()[0]
    note = (
        f"{timings.sample(ours, 1e3).median:.0f} ms against {best.split('/')[0]} "
        f"{timings.sample(best, 1e3).median:.0f} ms of wall time; one-minute load {load:.1f}"
    )
    ratio = timings.ratio(best, ours)
    return Row.of(name, ratio, "x", at_least=TWO_THREADS_TARGET, note=_with(note))


def _with(note: str) -> str:
    return "; ".join(filter(None, (note, without_spconv())))
