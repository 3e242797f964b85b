"""What the eye needs of a table, said once for every renderer: texts of cells, marks, notes. Pure.

Offers `Shown` (one cell as texts), `View` (all of them, with headers and notes) and `view`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from lima_bench.results.build import CellId
from lima_bench.results.orderings import summary
from lima_bench.results.table import Cell, ColumnMeta, Flag, RowMeta, Table
from lima_bench.results.verdict import Verdict

HOLE = "–"
MINUS = "−"
MARKS: Mapping[Flag, str] = {
    "reconstruction": "†",
    "stale": "‡",
    "limited": "§",
    "partial": "¶",
    "assumed": "*",
}
LEGEND: Mapping[Flag, str] = {
    "reconstruction": "reconstruction: parts of the method's publication could not be read",
    "stale": "stale: the code changed after this number was made",
    "limited": "limited: made on part of the data",
    "partial": "some seeds are missing",
    "assumed": "a setting of this column is stated by no source",
}
_ON_CELLS: tuple[Flag, ...] = ("stale", "limited", "partial")


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One cell as texts.

    Attributes:
        value: The mean, or a dash.
        std: Sample standard deviation without its sign, empty if unknown.
        reference: What it is compared with, empty if nothing.
        marks: Daggers.
        number: Of the reason under the table, 0 for none.
        best: Print it bold.
        verdict: The comparison.
        hole: There is no number.
        cell: All that is known.
    """

    value: str
    std: str
    reference: str
    marks: str
    number: int
    best: bool
    verdict: Verdict
    hole: bool
    cell: Cell


@dataclass(frozen=True, kw_only=True)
class View:
    """A table ready to be drawn.

    Attributes:
        table: What it shows.
        column_groups: Header above the columns, and how many columns it spans.
        row_groups: Name of a group of rows, and its rows.
        cells: Texts of each cell.
        row_number: Row id to the reason that explains all its holes, 0 for none.
        column_number: Column id to the reason that explains all its remaining holes, 0 for none.
        reasons: Texts of the reasons, number 1 first.
        legend: Mark and meaning of the daggers in use.
        footer: Lines under the table.
    """

    table: Table
    column_groups: tuple[tuple[str, int], ...]
    row_groups: tuple[tuple[str, tuple[RowMeta, ...]], ...]
    cells: Mapping[CellId, Shown]
    row_number: Mapping[str, int]
    column_number: Mapping[str, int]
    reasons: tuple[str, ...]
    legend: tuple[tuple[str, str], ...]
    footer: tuple[str, ...]

    def shown(self, row: RowMeta, column: ColumnMeta) -> Shown:
        """The texts of the cell where they meet."""
        return self.cells[row.id, column.id]


def view(table: Table) -> View:
    """Prepare `table` for the eye."""
    rows_whole = {row.id: r for row in table.rows if (r := _row_reason(table, row))}
    columns_whole = {
        column.id: r for column in table.columns if (r := _column_reason(table, column, rows_whole))
    }
    numbers = _numbers(table, rows_whole, columns_whole)
    return View(
        table=table,
        column_groups=tuple(_spans(column.group for column in table.columns)),
        row_groups=tuple(_row_groups(table.rows)),
        cells={
            (row.id, column.id): _shown(
                row, column, cell, numbers, row.id in rows_whole or column.id in columns_whole
            )
            for row, column, cell in table
        },
        row_number={row: numbers[reason] for row, reason in rows_whole.items()},
        column_number={column: numbers[reason] for column, reason in columns_whole.items()},
        reasons=tuple(numbers),
        legend=tuple(_legend(table)),
        footer=tuple(_footer(table)),
    )


def number_text(value: float, decimals: int, *, signed: bool = False) -> str:
    """`value` with so many digits and a typographic minus; never a negative zero."""
    text = f"{value:{'+' if signed else ''}.{decimals}f}"
    if float(text) == 0:
        return text.lstrip("+-")
    return text.replace("-", MINUS)


def _row_reason(table: Table, row: RowMeta) -> str:
    """The one reason for which the whole row is empty, if it is."""
    cells = [table.cell(row, column) for column in table.columns]
    return _shared_reason(cells)


def _column_reason(table: Table, column: ColumnMeta, rows_whole: Mapping[str, str]) -> str:
    """The one reason for which a column is empty in every row that is not wholly empty."""
    return _shared_reason(
        [table.cell(row, column) for row in table.rows if row.id not in rows_whole]
    )


def _shared_reason(cells: Sequence[Cell]) -> str:
    reasons = {cell.reason if cell.mean is None else "" for cell in cells}
    return reasons.pop() if len(reasons) == 1 and len(cells) > 1 else ""


def _numbers(
    table: Table, rows_whole: Mapping[str, str], columns_whole: Mapping[str, str]
) -> dict[str, int]:
    """Reason to number, in the order in which a reader meets them."""
    met = list(columns_whole.values())
    for row in table.rows:
        if row.id in rows_whole:
            met.append(rows_whole[row.id])
        else:
            met += [table.cell(row, column).reason for column in table.columns]
    return {reason: n for n, reason in enumerate(dict.fromkeys(filter(None, met)), start=1)}


def _shown(
    row: RowMeta, column: ColumnMeta, cell: Cell, numbers: Mapping[str, int], explained: bool
) -> Shown:
    hole = cell.mean is None
    signed = row.difference

    def text(value: float | None, *, signed: bool = False) -> str:
        return "" if value is None else number_text(value, column.decimals, signed=signed)

    return Shown(
        value=text(cell.mean, signed=signed) or HOLE,
        std=text(cell.std),
        reference=text(cell.reference),
        marks="".join(MARKS[flag] for flag in _ON_CELLS if flag in cell.flags and not hole),
        number=0 if hole and explained else numbers.get(cell.reason, 0),
        best=cell.best,
        verdict=cell.verdict,
        hole=hole,
        cell=cell,
    )


def row_marks(row: RowMeta) -> str:
    """Daggers behind a row's title."""
    return MARKS["reconstruction"] if row.reconstruction else ""


def column_marks(column: ColumnMeta) -> str:
    """Daggers behind a column's title."""
    return MARKS["assumed"] if column.assumed else ""


def _spans(groups: Iterable[str]) -> list[tuple[str, int]]:
    return [(name, len(list(same))) for name, same in groupby(groups)]


def _row_groups(rows: Sequence[RowMeta]) -> list[tuple[str, tuple[RowMeta, ...]]]:
    by_group: Callable[[RowMeta], str] = lambda row: row.group  # noqa: E731
    return [(name, tuple(same)) for name, same in groupby(rows, key=by_group)]


def _legend(table: Table) -> list[tuple[str, str]]:
    used = {flag for _, _, cell in table if cell.mean is not None for flag in cell.flags}
    used |= {"reconstruction" for row in table.rows if row.reconstruction}
    used |= {"assumed" for column in table.columns if column.assumed}
    return [(mark, LEGEND[flag]) for flag, mark in MARKS.items() if flag in used]


def _footer(table: Table) -> list[str]:
    """Conventions first, then warnings, then where the numbers come from."""
    cells = [cell for _, _, cell in table]
    lines = []
    if any(cell.std is not None for cell in cells):
        lines.append("±: sample standard deviation over seeds.")
    if any(cell.best for cell in cells):
        lines.append("Bold: best by more than both spreads.")
    if any(cell.reference is not None for cell in cells):
        sources = {c.reference_source for c in cells if c.reference_source} - {table.against}
        stated = f" ({', '.join(sorted(sources))})" if sources else ""
        lines.append(f"In brackets: reference, {table.against or 'as stated'}{stated}.")
    lines += filter(None, (summary(table.orderings), *table.notes))
    if table.footer.embedded:
        lines.append("Embedded world: not comparable with published numbers.")
    return [*lines, _origin(table)]


def _origin(table: Table) -> str:
    """Suite, profile, seeds, version, commit and date in one line."""
    footer = table.footer
    commit = footer.commit[:12] + (" with uncommitted changes" if footer.dirty else "")
    parts = (
        table.suite,
        f"profile: {table.profile}",
        f"seeds: {', '.join(map(str, footer.seeds))}" if footer.seeds else "",
        f"lima-bench {footer.version}",
        f"commit {commit}" if footer.commit else "",
        footer.date,
    )
    return " · ".join(filter(None, parts))
