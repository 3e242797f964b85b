"""What the eye needs of a table, said once for every renderer: texts of cells, marks, notes. Pure.

Offers `Shown` (one cell as texts), `View` (all of them, with headers and notes), `view` and
`printed` (one number).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from lima_bench.results.build import CellId
from lima_bench.results.notes import GLYPHS, MARKS, footer, legend
from lima_bench.results.table import Cell, ColumnMeta, Flag, Quantity, RowMeta, Table
from lima_bench.results.units import fitted
from lima_bench.results.verdict import Verdict

HOLE = "–"
MINUS = "−"
_MEASURES: Mapping[str, tuple[str, Quantity]] = {
    "wall time": ("wall_hours", "hours"),
    "CPU time": ("cpu_hours", "hours"),
    "shared stages": ("shared_wall_hours", "hours"),
    "CPU a scan": ("cpu_seconds_per_sample", "seconds"),
    "peak memory": ("peak_memory_gb", "gigabytes"),
}
_ON_CELLS: tuple[Flag, ...] = ("stale", "limited", "disturbed", "partial")


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
        glyph: The verdict as a sign beside the reference, empty without one.
        hole: There is no number.
        cell: All that is known.
    """

    value: str
    std: str
    reference: str
    marks: str
    number: int
    best: bool
    glyph: str
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
        costs: Title of a measure and its texts by row id; without measures that nobody took.
        protocols: What stands under the columns, by column id; empty if nothing does.
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
    costs: tuple[tuple[str, Mapping[str, str]], ...]
    protocols: Mapping[str, str]
    footer: tuple[str, ...]

    def shown(self, row: RowMeta, column: ColumnMeta) -> Shown:
        """The texts of the cell where they meet."""
        return self.cells[row.id, column.id]


def view(table: Table, *, glyphs: bool = True) -> View:
    """Prepare `table` for the eye.

    Args:
        table: What to show.
        glyphs: Whether the medium has signs for verdicts.
    """
    signs = GLYPHS if glyphs else {}
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
                row,
                column,
                cell,
                0
                if cell.mean is None and (row.id in rows_whole or column.id in columns_whole)
                else numbers.get(cell.reason, 0),
                signs,
            )
            for row, column, cell in table
        },
        row_number={row: numbers[reason] for row, reason in rows_whole.items()},
        column_number={column: numbers[reason] for column, reason in columns_whole.items()},
        reasons=tuple(numbers),
        legend=tuple(legend(table)),
        costs=tuple(_costs(table)),
        protocols={column.id: column.protocol for column in table.columns if column.protocol},
        footer=tuple(footer(table, signs)),
    )


def printed(column: ColumnMeta, value: float, *, signed: bool = False) -> str:
    """A number of the column in its unit and decimals."""
    decimals = 2 if column.decimals is None else column.decimals
    return number_text(value * column.scale, decimals, signed=signed)


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
    row: RowMeta, column: ColumnMeta, cell: Cell, number: int, signs: Mapping[Verdict, str]
) -> Shown:
    hole = cell.mean is None
    signed = row.difference

    def text(value: float | None, *, signed: bool = False) -> str:
        return "" if value is None else printed(column, value, signed=signed)

    return Shown(
        value=text(cell.mean, signed=signed) or HOLE,
        std=text(cell.std),
        reference=text(cell.reference),
        marks="".join(MARKS[flag] for flag in _ON_CELLS if flag in cell.flags and not hole),
        number=number,
        best=cell.best,
        glyph=signs.get(cell.verdict, "") if cell.reference is not None else "",
        hole=hole,
        cell=cell,
    )


def row_marks(row: RowMeta) -> str:
    """Daggers behind a row's title."""
    said = {"reconstruction": row.reconstruction, "adopted": bool(row.adopted)}
    return "".join(mark for flag, mark in MARKS.items() if said.get(flag))


def column_marks(column: ColumnMeta) -> str:
    """Daggers behind a column's title."""
    return MARKS["assumed"] if column.assumed else ""


def _spans(groups: Iterable[str]) -> list[tuple[str, int]]:
    return [(name, len(list(same))) for name, same in groupby(groups)]


def _row_groups(rows: Sequence[RowMeta]) -> list[tuple[str, tuple[RowMeta, ...]]]:
    by_group: Callable[[RowMeta], str] = lambda row: row.group  # noqa: E731
    return [(name, tuple(same)) for name, same in groupby(rows, key=by_group)]


def _costs(table: Table) -> Iterator[tuple[str, Mapping[str, str]]]:
    for title, (measure, quantity) in _MEASURES.items():
        found = {row: getattr(costs, measure) for row, costs in table.costs.items()}
        taken = {row: value for row, value in found.items() if value is not None}
        if taken:
            bare = ColumnMeta(id=measure, title=title, quantity=quantity, decimals=None)
            column = fitted(bare, taken.values())
            yield column.heading, {row: printed(column, value) for row, value in taken.items()}
