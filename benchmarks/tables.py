"""Whole tables as a user runs them: table 1 of the smoke profile, cold and warm.

Offers `rows`, and for `embedded` the helpers `cold_run` and `warm_rows`. A warm run finds everything
finished: it must be quick, and must leave every record as it was.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.children import LIMA_BENCH, Usage, run
from benchmarks.rows import Row, Sample

WARM_LIMIT_S = 3.0
SMOKE_LIMIT_S = 60.0
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
        note = f"wall; {cold.cpu_s:.0f} s of CPU"
        first = Row.of("tables/smoke cold", cold.wall_s, "s", at_most=limit, note=note)
        return [first, *warm_rows("tables/smoke", command, store, rounds=1 if quick else 3)]


def cold_run(command: Sequence[str], store: Path, extra: Mapping[str, str] | None = None) -> Usage:
    """Run a table into a new store.

    Raises:
        RuntimeError: It failed.
    """
    usage = run((*LIMA_BENCH, *command, "--store", str(store), "--quiet"), extra)
    if usage.code not in (0, MISSING_CELLS):
        raise RuntimeError(f"exit code {usage.code}: {' '.join(command)}")
    return usage


def warm_rows(name: str, command: Sequence[str], store: Path, rounds: int) -> list[Row]:
    """Run it again: seconds, and how many records were written or changed."""
    before = _records(store)
    waits = tuple(cold_run(command, store).wall_s for _ in range(rounds))
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
