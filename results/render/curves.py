"""A table as curves: scores and costs against frames, scores against the share of labels. Pure.

Offers `figures_of` (name to figure). Equal tables give equal bytes.

Costs begin at zero, so that what looks flat is flat; scores do not, for their differences are
small beside their size. What is stale or was measured beside other work is drawn pale.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from lima_bench.results.render.labelling import Name, place_names
from lima_bench.results.render.looks import look_of
from lima_bench.results.render.pages import finish_page, new_page, styled
from lima_bench.results.render.strokes import (
    Point,
    draw_line,
    draw_points,
    draw_published,
    scale_axis,
)
from lima_bench.results.table import ColumnMeta, RowMeta, Table
from lima_bench.results.verdict import State

_OWN_TIME = "without shared stages"

Series = dict[tuple[str, str, str], list[RowMeta]]
"""Rows that differ in frames alone, by method, teacher and name."""


def figures_of(table: Table) -> dict[str, Figure]:
    """Every figure that the table has numbers for: ``frames`` and ``labels``; empty if none."""
    with styled():
        drawn = {"frames": frames_figure(table), "labels": labels_figure(table)}
    return {name: figure for name, figure in drawn.items() if figure is not None}


def frames_figure(table: Table) -> Figure | None:
    """A panel per column over the number of frames, None where nothing is shown at two of them.

    Rows that differ in frames alone are a curve; another row is a point with its name. Published
    numbers are hollow.
    """
    series = _series(table)
    rows = [row for mine in series.values() for row in mine]
    columns = [column for column in table.columns if _has_numbers(table, rows, column)]
    if not columns or not any(map(_is_curve, series.values())):
        return None
    figure, panels = new_page(len(columns))
    pairs = list(zip(panels, columns, strict=True))
    names = [_frames_panel(panel, table, series, column) for panel, column in pairs]
    finish_page(figure, table)
    figure.draw_without_rendering()  # gives panels their size, which names need
    for panel, mine in zip(panels, names, strict=True):
        place_names(panel, mine)
    return figure


def labels_figure(table: Table) -> Figure | None:
    """A panel per data set, score and group of rows over the share of labels, a line per row.

    None where no data set is asked with two shares.
    """
    columns: dict[tuple[str, str], list[ColumnMeta]] = {}
    for column in table.columns:
        if _share(column) is not None and not column.quantity:
            # Where scores stand side by side under a share, the group is the share itself.
            name = column.title if column.group == column.setting else column.group
            columns.setdefault((name or column.dataset, column.metric), []).append(column)
    groups = list(dict.fromkeys(row.group for row in table.rows if row.group)) or [""]
    wanted = [
        (f"{title}, {group}" if len(groups) > 1 else title, part, rows)
        for (title, _), part in columns.items()
        for group in groups
        if len(part) > 1 and (rows := [row for row in table.rows if row.group in ("", group)])
    ]
    drawn = [w for w in wanted if any(_has_numbers(table, w[2], column) for column in w[1])]
    if not drawn:
        return None
    figure, panels = new_page(len(drawn), legends=True)
    for panel, (title, part, rows) in zip(panels, drawn, strict=True):
        _labels_panel(panel, table, rows, part)
        panel.set_title(title)
    finish_page(figure, table)
    return figure


def _frames_panel(panel: Any, table: Table, series: Series, column: ColumnMeta) -> list[Name]:
    """Draw all but names; returns those, curves first."""
    names: list[Name] = []
    for order, ((method, _, name), rows) in enumerate(series.items()):
        ours, theirs = _points(table, rows, column), _published(table, rows, column)
        look, curve = look_of(method, order), _is_curve(rows)
        if curve:
            draw_line(panel, ours, look, name)
            names += _draw_own_time(panel, table, rows, column, look.colour)
        else:
            draw_points(panel, ours, look)
        if ends := ours or theirs:
            names.append(Name(name, ends[-1].x, ends[-1].y, look.colour, bold=curve))
        draw_published(panel, theirs, look, line=curve)
    frames = [row.frames or 0 for rows in series.values() for row in rows]
    panel.set_xticks(range(min(frames), max(frames) + 1))
    panel.set_xlim(min(frames) - 0.5, max(frames) + 0.5)
    panel.set_xlabel("frames")
    panel.set_title(f"{column.group}: {column.title}" if column.group else column.title)
    scale_axis(panel, column)
    return sorted(names, key=lambda name: (not name.bold, name.text == _OWN_TIME))


def _labels_panel(
    panel: Any, table: Table, rows: Sequence[RowMeta], columns: Sequence[ColumnMeta]
) -> None:
    found = [(share, c) for c in columns if (share := _share(c)) is not None]
    shares = sorted(found, key=lambda pair: pair[0])
    for order, row in enumerate(rows):
        look = look_of(row.method, order)
        ours = [p for share, c in shares for p in _points(table, [row], c, at=share)]
        theirs = [p for share, c in shares for p in _published(table, [row], c, at=share)]
        draw_line(panel, ours, look, row.title)
        draw_published(panel, theirs, look, line=False)
    ticks = [share for share, _ in shares]
    panel.set_xscale("log")
    panel.set_xticks(ticks, [f"{share:g} %" for share in ticks])
    panel.minorticks_off()
    panel.set_xlabel("labels")
    scale_axis(panel, columns[0])
    handles, names = panel.get_legend_handles_labels()
    if names:
        panel.legend(handles, names, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _draw_own_time(
    panel: Any, table: Table, rows: Sequence[RowMeta], column: ColumnMeta, colour: str
) -> list[Name]:
    """Below a time that counts shared stages in: the pretraining by itself; returns its name."""
    if column.metric != "wall_hours_with_shared":
        return []
    own = {row.frames or 0: table.costs[row.id].wall_hours for row in rows if row.id in table.costs}
    points = [(x, y * column.scale) for x, y in own.items() if y is not None]
    if len(points) < 2:
        return []
    xs, ys = zip(*points, strict=True)
    panel.plot(xs, ys, ":", color=colour, linewidth=1.3, zorder=2)
    middle = len(xs) // 2
    return [Name(_OWN_TIME, xs[middle], ys[middle], colour)]


def _series(table: Table) -> Series:
    """Rows that see frames, in order of frames; a title is a name and, after a comma, the rest."""
    found: Series = {}
    for row in sorted(table.rows, key=lambda row: row.frames or 0):
        if row.frames is not None and not row.difference:
            key = (row.method, row.teacher, row.title.partition(",")[0])
            found.setdefault(key, []).append(row)
    return found


def _is_curve(rows: Sequence[RowMeta]) -> bool:
    return len({row.frames for row in rows}) > 1


def _points(
    table: Table, rows: Sequence[RowMeta], column: ColumnMeta, *, at: float | None = None
) -> list[Point]:
    """The rows' cells that have a number, over frames, or all `at` one place."""
    found = []
    for row in rows:
        cell = table.cell(row, column)
        if cell.mean is not None:
            sound = cell.state not in (State.STALE, State.DISTURBED)
            std = (cell.std or 0.0) * column.scale
            found.append(Point(_place(row, at), cell.mean * column.scale, std, sound))
    return found


def _published(
    table: Table, rows: Sequence[RowMeta], column: ColumnMeta, *, at: float | None = None
) -> list[Point]:
    """What publications say of the rows; golden numbers are ours and stay out."""
    if table.against != "paper":
        return []
    cells = ((row, table.cell(row, column).reference) for row in rows)
    return [Point(_place(row, at), v * column.scale) for row, v in cells if v is not None]


def _place(row: RowMeta, at: float | None) -> float:
    return float(row.frames or 0) if at is None else at


def _share(column: ColumnMeta) -> float | None:
    """The percentage of labels that a column learns from; None for linear probing."""
    number, percent, rest = column.setting.partition("%")
    return float(number) if percent and not rest else None


def _has_numbers(table: Table, rows: Sequence[RowMeta], column: ColumnMeta) -> bool:
    published = table.against == "paper"
    cells = [table.cell(row, column) for row in rows]
    return any(c.mean is not None or (published and c.reference is not None) for c in cells)
