"""Rows -> text for a terminal, JSON for comparison, Markdown for `RESULTS.md`.

Offers `text_of`, `HEADING`, `MACHINE`, `save`, `load` and `markdown_of`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.rows import Row
from lima_bench.common.errors import UserError

NAME_WIDTH = 50
MACHINE = "machine"
"""Name of the row whose note tells where and when everything else was measured."""
HEADING = (
    f"{'figure':<{NAME_WIDTH}}{'value':>10} {'unit':<12}{'quartiles':<19}{'target':<10}"
    f"{'':<8}  note"
)


def text_of(row: Row) -> str:
    """One aligned line."""
    value = "-" if row.value is None else number(row.value)
    return (
        f"{row.name:<{NAME_WIDTH}}{value:>10} {row.unit:<12}{_quartiles(row):<19}"
        f"{row.target:<10}{verdict(row):<8}  {row.note}"
    ).rstrip()


def number(value: float) -> str:
    """Three or four digits, without an exponent."""
    if value == 0 or abs(value) >= 1000:
        return f"{value:,.0f}"
    digits = 3 if abs(value) < 10 else 1
    return f"{value:.{digits}f}" if abs(value) < 100 else f"{value:.0f}"


def verdict(row: Row) -> str:
    """What became of the target; empty where there is none."""
    if not row.target:
        return ""
    return "-" if row.met is None else ("met" if row.met else "NOT met")


def _quartiles(row: Row) -> str:
    if row.spread is None:
        return ""
    low, high = row.spread
    return f"{number(low)} .. {number(high)}"


def save(rows: Iterable[Row], path: Path) -> None:
    """Write the rows as a JSON list, one a line, so that two runs differ line by line."""
    lines = ",\n".join(json.dumps(asdict(row), allow_nan=False) for row in rows)
    path.write_text(f"[\n{lines}\n]\n")


def load(path: Path) -> list[Row]:
    """The rows of a file that `save` wrote.

    Raises:
        UserError: There is none, or it holds something else.
    """
    try:
        found = json.loads(path.read_text())
        return [Row(**(entry | {"spread": _pair(entry.get("spread"))})) for entry in found]
    except (OSError, ValueError, TypeError, AttributeError) as error:
        what = f"It holds no benchmark rows: {error}."
        raise UserError(path, what, "Name a file that `--json` wrote.") from error


def _pair(spread: Sequence[float] | None) -> tuple[float, float] | None:
    return None if spread is None else (spread[0], spread[1])


def markdown_of(rows: Iterable[Row]) -> str:
    """The machine, then a table with one line per figure."""
    rows = list(rows)
    where = [f"{row.note}\n" for row in rows if row.name == MACHINE]
    lines = [
        *where,
        "| figure | value | quartiles | target | | note |",
        "|---|---|---|---|---|---|",
    ]
    for row in (row for row in rows if row.name != MACHINE):
        value = "–" if row.value is None else f"{number(row.value)} {row.unit}".strip()
        cells = (f"`{row.name}`", value, _quartiles(row), row.target, verdict(row), row.note)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)
