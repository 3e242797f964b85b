"""How long a user waits before anything happens: commands that need no torch, and kernels at hand.

Offers `rows`. Wall time of whole child processes. The last figure is a second process that imports
torch and convolves: how much longer it takes with the default engine, whose compiled kernels lie on
disk, than with the reference engine, which has none.
"""

from __future__ import annotations

import sys
import tempfile

from benchmarks.children import LIMA_BENCH, run
from benchmarks.rows import Row, Sample

LIMIT_S = 1.0


def rows(quick: bool) -> list[Row]:
    """Three commands and one convolution."""
    rounds = 1 if quick else 5
    with tempfile.TemporaryDirectory() as store:
        commands = {
            "--help": ("--help",),
            "list methods": ("list", "methods"),
            "plan table1": ("plan", "table1", "--store", store),
        }
        waits: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(rounds):
            for name, arguments in commands.items():
                waits[name].append(_wait_s((*LIMA_BENCH, *arguments)))
    found = [
        Row.of(f"start/{name}", Sample(tuple(values)), "s", at_most=LIMIT_S, note="wall")
        for name, values in waits.items()
    ]
    return [*found, _kernels_row(rounds)]


def _wait_s(command: tuple[str, ...]) -> float:
    usage = run(command)
    if usage.code:
        raise RuntimeError(f"exit code {usage.code}: {' '.join(command)}")
    return usage.wall_s


def _kernels_row(rounds: int) -> Row:
    """A first training step of a small network in a process that finds the kernels compiled."""
    from benchmarks.contenders import our_engine

    first: dict[str, list[float]] = {our_engine(): [], "reference": []}
    for engine in first:
        _step_s(engine)  # whoever compiles, it is not what is measured
    for _ in range(rounds):
        for engine, values in first.items():
            values.append(_step_s(engine))
    pairs = zip(first[our_engine()], first["reference"], strict=True)
    longer = Sample(tuple(ours - plain for ours, plain in pairs))
    whole = Sample(tuple(first[our_engine()])).median
    note = (
        f"first step of a second process over the reference engine's, wall; {whole:.1f} s in all, "
        "import of torch included"
    )
    return Row.of("start/compiled kernels", longer, "s", at_most=LIMIT_S, note=note)


def _step_s(engine: str) -> float:
    return _wait_s((sys.executable, "-m", "benchmarks.first_step", engine))
