"""A table for the terminal, as wide as there is room."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.measure import Measurement
from rich.table import Table as Grid
from rich.text import Text

from lima_bench.results.table import ColumnMeta, Ordering, Table
from lima_bench.results.verdict import Verdict
from lima_bench.results.view import HOLE, Shown, View, column_marks, row_marks, view

_STYLES = {
    Verdict.REPRODUCED: "green",
    Verdict.ABOVE: "cyan",
    Verdict.BELOW: "red",
    Verdict.FAILED: "red",
}
_SIGNS = {
    "holds": ("✓", "green"),
    "leans": ("~", "yellow"),
    "fails": ("✗", "red"),
}


def to_terminal(table: Table) -> RenderableType:
    """The table with its notes, orderings, costs and splits, for a `rich` console."""
    shown = view(table)
    parts: list[RenderableType] = [Text(table.title, style="bold"), *_blocks(shown)]
    if tested := [ordering for ordering in table.orderings if ordering.outcome != "untested"]:
        parts += [Text("\nPublished orderings", style="bold"), *map(_ordering, tested)]
    if shown.costs:
        parts += [Text("\nCost of pretraining", style="bold"), _costs(shown)]
    if table.splits:
        splits = view(table.splits)
        parts += [Text(f"\n{table.splits.title}", style="bold"), _Fitting(splits), *_notes(splits)]
        parts += [Text(note, style="dim") for note in table.splits.notes]
    return Group(*parts)


def to_text(table: Table, *, width: int = 120) -> str:
    """The same as plain text of at most `width` characters a line."""
    console = Console(file=io.StringIO(), width=width, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(to_terminal(table))
    return capture.get()


class _Fitting:
    """A grid with the spread beside the mean if there is room, else below it, else in parts."""

    def __init__(self, shown: View) -> None:
        self.shown = shown

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        columns = self.shown.table.columns
        for tall in (False, True):
            grid = _grid(self.shown, columns, tall=tall)
            if _fits(grid, console, options):
                yield grid
                return
        n_grids = 2
        while n_grids < len(columns) and not all(
            _fits(_grid(self.shown, part, tall=True), console, options)
            for part in _parts(columns, n_grids)
        ):
            n_grids += 1
        for part in _parts(columns, n_grids):
            yield _grid(self.shown, part, tall=True)


def _fits(grid: Grid, console: Console, options: ConsoleOptions) -> bool:
    unbound = options.update(max_width=10_000)
    return Measurement.get(console, unbound, grid).maximum <= options.max_width


def _parts(columns: Sequence[ColumnMeta], n_parts: int) -> list[Sequence[ColumnMeta]]:
    size = -(-len(columns) // n_parts)
    return [columns[start : start + size] for start in range(0, len(columns), size)]


def _grid(shown: View, columns: Sequence[ColumnMeta], *, tall: bool) -> Grid:
    grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    grid.add_column("", no_wrap=True)
    last_group = ""
    for column in columns:
        title = _header(shown, column, show_group=column.group != last_group)
        grid.add_column(title, justify="right", no_wrap=True)
        last_group = column.group
    for n, (name, rows) in enumerate(shown.row_groups):
        if n:
            grid.add_section()
        if name and len(shown.row_groups) > 1:
            grid.add_row(Text(name, style="italic dim"))
        for row in rows:
            text = row.title + row_marks(row) + _number(shown.row_number.get(row.id, 0))
            style = "dim" if all(shown.shown(row, column).hole for column in columns) else ""
            cells = (_cell(shown.shown(row, column), tall=tall) for column in columns)
            grid.add_row(Text(text, style=style), *cells)
    if any(column.id in shown.protocols for column in columns):
        under = (shown.protocols.get(column.id, "") for column in columns)
        grid.add_section()
        grid.add_row("protocol", *under, style="dim italic")
    return grid


def _header(shown: View, column: ColumnMeta, *, show_group: bool) -> Text:
    number = _number(shown.column_number.get(column.id, 0))
    title = column.heading + column_marks(column) + number
    grouped = any(name for name, _ in shown.column_groups)
    above = f"{column.group if show_group else ''}\n" if grouped else ""
    return Text.assemble((above, "dim"), title)


def _cell(cell: Shown, *, tall: bool) -> Text:
    style = "bold" if cell.best else "dim" if cell.hole else ""
    text = Text.assemble((cell.value, style), cell.marks + _number(cell.number))
    if cell.std:
        text.append(f"{chr(10) if tall else ' '}± {cell.std}", style="dim")
    if cell.reference:
        glyph = f" {cell.glyph}" if cell.glyph else ""
        apart = " " if cell.hole else "\n"
        text.append(
            f"{apart}({cell.reference}{glyph})", style=_STYLES.get(cell.cell.verdict, "dim")
        )
    return text


def _number(number: int) -> str:
    return str(number).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")) if number else ""


def _blocks(shown: View) -> Iterator[RenderableType]:
    yield _Fitting(shown)
    yield from _notes(shown)
    yield Text("\n".join(shown.footer), style="dim")


def _notes(shown: View) -> Iterator[RenderableType]:
    lines = [f"{mark} {text}" for mark, text in shown.legend]
    lines += [f"{_number(n)} {text}" for n, text in enumerate(shown.reasons, start=1)]
    if lines:
        yield Text("\n".join(lines))


def _ordering(ordering: Ordering) -> RenderableType:
    sign, style = _SIGNS[ordering.outcome]
    return Text.assemble((sign, style), f" {ordering.text}  ", (ordering.detail, "dim"))


def _costs(shown: View) -> Grid:
    grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False)
    grid.add_column("", no_wrap=True)
    for title, _ in shown.costs:
        grid.add_column(title, justify="right")
    for row in shown.table.rows:
        if row.id in shown.table.costs:
            grid.add_row(row.title, *(texts.get(row.id, HOLE) for _, texts in shown.costs))
    return grid
