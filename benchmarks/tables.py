"""Whole tables as a user runs them: table 1 of the smoke profile, cold and warm.

Offers `rows`, and for `embedded` the helpers `Cold`, `cold_run` and `warm_rows`. A warm run finds
everything finished: it must be quick, and must leave every record as it was.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.children import LIMA_BENCH, run
from benchmarks.rows import Row, Sample
from lima_bench.results.store import Store

WARM_LIMIT_S = 3.0
SMOKE_LIMIT_S = 60.0
SECONDS_PER_HOUR = 3600
MISSING_CELLS = 4
"""Exit code of a run whose table keeps holes for methods that are not built."""


def rows(quick: bool) -> list[Row]:
    """The smoke table; of its rows and columns the cheapest only, if `quick`."""
    part = ("--only", "random", "--columns", "nus-lp") if quick else ()
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        command = ("run", "table1", "--profile", "smoke", *part)
        cold = cold_run(command, store)
        limit = None if quick else SMOKE_LIMIT_S
        note = f"wall; {cold.cpu_s:.0f} s of CPU in its jobs"
        first = Row.of("tables/smoke cold", cold.wall_s, "s", at_most=limit, note=note)
        return [first, *warm_rows("tables/smoke", command, store, rounds=1 if quick else 3)]


@dataclass(frozen=True)
class Cold:
    """What a table took from nothing.

    Attributes:
        wall_s: Seconds by the clock.
        cpu_s: CPU seconds of all jobs, as their records say.
    """

    wall_s: float
    cpu_s: float


def cold_run(command: Sequence[str], store: Path, extra: Mapping[str, str] | None = None) -> Cold:
    """Run a table into a new store.

    Raises:
        RuntimeError: It failed.
    """
    wall_s = _run(command, store, extra)
    measured = [record.measured for record in Store.open(store, write=False).records()]
    return Cold(wall_s, sum(one["cpu_hours"] for one in measured) * SECONDS_PER_HOUR)


def _run(command: Sequence[str], store: Path, extra: Mapping[str, str] | None = None) -> float:
    usage = run((*LIMA_BENCH, *command, "--store", str(store), "--quiet"), extra)
    if usage.code not in (0, MISSING_CELLS):
        raise RuntimeError(f"exit code {usage.code}: {' '.join(command)}")
    return usage.wall_s


def warm_rows(name: str, command: Sequence[str], store: Path, rounds: int) -> list[Row]:
    """Run it again: seconds, and how many records were written or changed."""
    before = _records(store)
    waits = tuple(_run(command, store) for _ in range(rounds))
    after = _records(store)
    touched = sum(after.get(path) != before.get(path) for path in {*before, *after})
    return [
        Row.of(f"{name} warm", Sample(waits), "s", at_most=WARM_LIMIT_S, note="wall"),
        Row.of(
            f"{name} recomputed when warm",
            float(touched),
            "records",
            at_most=0,
            note=f"of {len(before)}",
        ),
    ]


def _records(store: Path) -> dict[Path, int]:
    """When each record of a finished job was last written."""
    found = store.glob("*/??/*.json")
    return {path: path.stat().st_mtime_ns for path in found if path.parts[-3] != "artifacts"}
