"""A table as one HTML file that needs nothing else: no script, no font, no network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lima_bench.results.table import Cell, ColumnMeta, RowMeta, Table
from lima_bench.results.verdict import Verdict
from lima_bench.results.view import Shown, View, column_marks, row_marks, view

_PAGE = Path(__file__).parent / "page.html"
_ORDERINGS = {
    "holds": ("✓", "holds"),
    "leans": ("≈", "holds, within the spread"),
    "fails": ("✗", "fails"),
    "untested": ("·", "not tested"),
}


def to_html(table: Table) -> str:
    """The page: the table, its costs, splits and orderings; light or dark as the system is."""
    from jinja2 import Environment, StrictUndefined  # only this view needs it

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True
    )
    page = environment.from_string(_PAGE.read_text(encoding="utf-8"))
    return page.render(
        table=table,
        grids=[_grid(view(part)) for part in (table, table.splits) if part],
        orderings=[(*_ORDERINGS[o.outcome], o) for o in table.orderings],
    )


def _grid(shown: View) -> dict[str, Any]:
    """One table as what the template walks over."""
    table = shown.table
    starts = _starts(shown)
    return {
        "title": table.title,
        "groups": [(name, span) for name, span in shown.column_groups],
        "grouped": any(name for name, _ in shown.column_groups),
        "columns": [
            {
                "title": column.heading,
                "marks": column_marks(column),
                "number": shown.column_number.get(column.id, 0),
                "starts": column.id in starts,
                "hint": _column_hint(column),
            }
            for column in table.columns
        ],
        "sections": [
            (name if len(shown.row_groups) > 1 else "", [_row(shown, row, starts) for row in rows])
            for name, rows in shown.row_groups
        ],
        "protocols": [
            (shown.protocols.get(column.id, ""), column.id in starts) for column in table.columns
        ]
        if shown.protocols
        else [],
        "costs": [title for title, _ in shown.costs],
        "width": 1 + len(table.columns) + len(shown.costs),
        "legend": shown.legend,
        "reasons": shown.reasons,
        "footer": shown.footer,
    }


def _starts(shown: View) -> set[str]:
    """Columns at which a group begins, for the line between groups."""
    starts, at = set(), 0
    for _, span in shown.column_groups:
        starts.add(shown.table.columns[at].id)
        at += span
    return starts


def _row(shown: View, row: RowMeta, starts: set[str]) -> dict[str, Any]:
    table = shown.table
    cells = [shown.shown(row, column) for column in table.columns]
    return {
        "title": row.title,
        "marks": row_marks(row),
        "number": shown.row_number.get(row.id, 0),
        "hint": _row_hint(row),
        "note": row.venue,
        "empty": all(cell.hole for cell in cells),
        "cells": [
            _cell(table, row, column, cell, column.id in starts)
            for column, cell in zip(table.columns, cells, strict=True)
        ],
        "costs": [texts.get(row.id, "") for _, texts in shown.costs],
    }


def _cell(
    table: Table, row: RowMeta, column: ColumnMeta, shown: Shown, starts: bool
) -> dict[str, Any]:
    return {
        "shown": shown,
        "verdict": shown.cell.verdict.value if shown.glyph else "",
        "starts": starts,
        "heat": f"{_heat(table, row, column, shown.cell):.2f}",
        "sign": _sign(row, shown.cell),
        "hint": _hint(row, column, shown),
    }


def _heat(table: Table, row: RowMeta, column: ColumnMeta, cell: Cell) -> float:
    """Where the number lies between the worst (0) and the best (1) of its column."""
    means = [
        mean
        for other in table.rows
        if not other.difference and (mean := table.cell(other, column).mean) is not None
    ]
    if cell.mean is None or row.difference or max(means) == min(means):
        return 0.0
    share = (cell.mean - min(means)) / (max(means) - min(means))
    return share if column.better == "higher" else 1 - share


def _sign(row: RowMeta, cell: Cell) -> str:
    """Whether a difference lies clear of zero, and on which side."""
    if not row.difference or cell.mean is None or cell.std is None or abs(cell.mean) <= cell.std:
        return ""
    return "gain" if cell.mean > 0 else "loss"


def _hint(row: RowMeta, column: ColumnMeta, shown: Shown) -> str:
    """All that is known of a cell, one fact a line."""
    cell = shown.cell
    column_name = f"{column.group} {column.title}".strip()
    lines = [f"{row.title}, {column_name}"]
    unit = f" {column.unit}" if column.unit else ""
    values = {seed: value * column.scale for seed, value in sorted(cell.values.items())}
    lines += [f"seed {seed}: {value:.4f}{unit}" for seed, value in values.items()]
    if cell.reference is not None:
        source = f" ({cell.reference_source})" if cell.reference_source else ""
        lines.append(f"reference: {shown.reference}{unit}{source}")
    if cell.verdict is not Verdict.NO_REFERENCE:
        lines.append(f"verdict: {cell.verdict}")
    lines += [", ".join(cell.flags)] * bool(cell.flags) + [cell.reason] * bool(cell.reason)
    return "\n".join(lines)


def _row_hint(row: RowMeta) -> str:
    frames = f"{row.frames} frames" if row.frames and row.frames > 1 else ""
    teacher = f"teacher {row.teacher}" if row.teacher else ""
    student = f"student {row.student}" if row.student else ""
    return "\n".join(filter(None, (row.id, row.venue, teacher, student, frames)))


def _column_hint(column: ColumnMeta) -> str:
    parts = (column.id, column.dataset, column.setting, column.metric, f"{column.better} is better")
    return "\n".join(filter(None, parts))
