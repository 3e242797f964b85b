"""Table 1 of the embedded profile, cold on our engine and on the reference engine, then warm.

Offers `rows`. Half an hour and more, so on request only: ``python -m benchmarks --embedded``. The
target is in CPU seconds, which other work on the machine moves least.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.contenders import our_engine
from benchmarks.rows import Row
from benchmarks.tables import cold_run, warm_rows
from lima_bench.lima.backbones.sparse.engine import VARIABLE

TARGET = 1.8
SHARED = (
    "both share world, superpixels, loading, normalisation, losses, optimiser and scoring, which "
    "the work on the step made cheaper for both; convolutions alone are twice as fast"
)
COLD_LIMIT_MINUTES = 15.0


def rows(quick: bool) -> list[Row]:
    """Both cold runs and a warm one; of the smoke profile, if `quick`."""
    profile = ("--profile", "smoke", "--only", "random") if quick else ()
    command = ("run", "table1", *profile)
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "ours"
        ours = cold_run(command, store)
        warm = warm_rows("embedded/table1", command, store, rounds=3)
        plain = cold_run(command, Path(folder) / "reference", {VARIABLE: "reference"})
    note = f"{our_engine()} {ours.cpu_s:.0f} s, reference {plain.cpu_s:.0f} s of CPU"
    ratio = plain.cpu_s / ours.cpu_s
    minutes = ours.wall_s / 60
    cold = "embedded/table1 cold"
    return [
        Row.of(
            f"{cold} over reference engine", ratio, "x", at_least=TARGET, note=note, missed=SHARED
        ),
        Row.of(cold, minutes, "min", at_most=COLD_LIMIT_MINUTES, note="wall"),
        *warm,
    ]
