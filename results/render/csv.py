"""A table as CSV: one line per cell, holes included, full precision."""

from __future__ import annotations

import csv
import io

from lima_bench.results.table import Cell, ColumnMeta, RowMeta, Table

COLUMNS = (
    "row", "method", "teacher", "student", "frames", "column", "dataset", "setting", "metric",
    "value", "std", "n_seeds", "reference", "verdict", "flags",
)  # fmt: skip


def to_csv(table: Table) -> str:
    """The table as CSV text with the columns `COLUMNS`; numbers read back to the same bits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row, column, cell in table:
        writer.writerow(_line(row, column, cell))
    return text.getvalue()


def _line(row: RowMeta, column: ColumnMeta, cell: Cell) -> tuple[str, ...]:
    return (
        row.id,
        row.method,
        row.teacher,
        row.student,
        "" if row.frames is None else str(row.frames),
        column.id,
        column.dataset,
        column.setting,
        column.metric,
        _number(cell.mean),
        _number(cell.std),
        str(cell.n),
        _number(cell.reference),
        str(cell.verdict),
        " ".join(cell.flags),
    )


def _number(value: float | None) -> str:
    return "" if value is None else repr(value)
