"""A table as curves: scores and costs against frames, scores against the share of labels. Pure.

Offers `figures_of` (name to figure) and `as_png`, `as_svg`. Figures are drawn by themselves,
without the state that pyplot keeps; equal tables give equal bytes.

Costs begin at zero, so that what looks flat is flat; scores do not, for their differences are
small beside their size. What is stale or was measured beside other work is drawn pale.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from lima_bench.results.notes import footer
from lima_bench.results.render.labelling import Name, place_names
from lima_bench.results.render.looks import PAGE, look_of
from lima_bench.results.table import ColumnMeta, RowMeta, Table
from lima_bench.results.verdict import State

_PALE = 0.35
_PANEL_INCHES = (3.3, 2.75)
_PANELS_A_LINE = 3
_TITLE, _SMALL = 11.0, 7.0


@dataclass(frozen=True)
class Point:
    """One cell as a point.

    Attributes:
        x: Frames, or the share of labels in percent.
        y: In the column's printed unit.
        std: Likewise; 0 where it is unknown.
        sound: Neither stale nor disturbed.
    """

    x: float
    y: float
    std: float = 0.0
    sound: bool = True


def figures_of(table: Table) -> dict[str, Figure]:
    """Every figure that the table has numbers for: ``frames`` and ``labels``; empty if none."""
    with matplotlib.rc_context(dict(PAGE)):
        drawn = {"frames": frames_figure(table), "labels": labels_figure(table)}
    return {name: figure for name, figure in drawn.items() if figure is not None}


def as_png(figure: Figure) -> bytes:
    """The figure at 200 dots an inch."""
    return _saved(figure, "png", dpi=200, metadata={"Software": None})


def as_svg(figure: Figure) -> bytes:
    """The figure as vectors, letters as outlines: it looks the same wherever it is shown."""
    return _saved(figure, "svg", metadata={"Date": None})


def frames_figure(table: Table) -> Figure | None:
    """A panel per column over the number of frames, None where no method has two of them.

    A method with several rows is a curve; one with a single row is a point with its name.
    Published numbers are hollow.
    """
    rows = [row for row in table.rows if row.frames is not None and not row.difference]
    lengths: dict[str, set[int | None]] = {}
    for row in rows:
        lengths.setdefault(row.method, set()).add(row.frames)
    columns = [column for column in table.columns if _has_numbers(table, rows, column)]
    if not columns or max(map(len, lengths.values()), default=0) < 2:
        return None
    figure, panels = _page(len(columns))
    pairs = list(zip(panels, columns, strict=True))
    names = [_frames_panel(panel, table, rows, column) for panel, column in pairs]
    _finish(figure, table)
    figure.draw_without_rendering()  # gives panels their size, which names need
    for panel, mine in zip(panels, names, strict=True):
        place_names(panel, mine)
    return figure


def labels_figure(table: Table) -> Figure | None:
    """A panel per data set and group of rows over the share of labels, a line per row.

    None where no data set is asked with two shares.
    """
    columns: dict[str, list[ColumnMeta]] = {}
    for column in table.columns:
        if _share(column) is not None and not column.quantity:
            columns.setdefault(column.group or column.dataset, []).append(column)
    groups = dict.fromkeys(row.group for row in table.rows if row.group) or {"": None}
    wanted = [
        (title, part, [row for row in table.rows if row.group in ("", group)])
        for title, part in columns.items()
        for group in groups
        if len(part) > 1
    ]
    drawn = [w for w in wanted if any(_has_numbers(table, w[2], column) for column in w[1])]
    if not drawn:
        return None
    figure, panels = _page(len(drawn), wide=True)
    named = len(groups) > 1
    for panel, (title, part, rows) in zip(panels, drawn, strict=True):
        _labels_panel(panel, table, rows, part)
        group = next((row.group for row in rows if row.group), "")
        panel.set_title(f"{title}, {group}" if named and group else title)
    _finish(figure, table)
    return figure


def _frames_panel(
    panel: Any, table: Table, rows: Sequence[RowMeta], column: ColumnMeta
) -> list[Name]:
    """Draw all but names; returns those, curves first."""
    names: list[Name] = []
    series: dict[str, list[RowMeta]] = {}
    for row in rows:
        series.setdefault(row.method, []).append(row)
    curves = [m for m, mine in series.items() if len({row.frames for row in mine}) > 1]
    for order, (method, mine) in enumerate(series.items()):
        ours = _points(table, mine, column, _frames_of)
        theirs = _published(table, mine, column, _frames_of)
        look, name = look_of(method, order), mine[0].title.partition(",")[0]
        if method in curves:
            _draw_line(panel, ours, look, name)
            names += _draw_own_time(panel, table, mine, column, look.colour)
        else:
            _draw_points(panel, ours, look)
        if ends := ours or theirs:
            bold = method in curves
            names.append(Name(name, ends[-1].x, ends[-1].y, look.colour, bold))
        _draw_published(panel, theirs, look, line=method in curves)
    frames = sorted({row.frames for row in rows if row.frames is not None})
    panel.set_xticks(range(frames[0], frames[-1] + 1))
    panel.set_xlim(frames[0] - 0.5, frames[-1] + 0.5)
    panel.set_xlabel("frames")
    panel.set_title(f"{column.group}: {column.title}" if column.group else column.title)
    _scale(panel, column)
    return sorted(names, key=lambda name: not name.bold)


def _labels_panel(
    panel: Any, table: Table, rows: Sequence[RowMeta], columns: Sequence[ColumnMeta]
) -> None:
    for order, row in enumerate(rows):
        look = look_of(row.method, order)
        ours: list[Point] = []
        theirs: list[Point] = []
        for column in columns:
            share = _share(column) or 0.0
            ours += _points(table, [row], column, lambda _, share=share: share)
            theirs += _published(table, [row], column, lambda _, share=share: share)
        _draw_line(panel, sorted(ours, key=lambda p: p.x), look, row.title)
        _draw_published(panel, sorted(theirs, key=lambda p: p.x), look, line=False)
    shares = sorted({share for column in columns if (share := _share(column)) is not None})
    panel.set_xscale("log")
    panel.set_xticks(shares, [f"{share:g} %" for share in shares])
    panel.minorticks_off()
    panel.set_xlabel("labels")
    _scale(panel, columns[0])
    handles, names = panel.get_legend_handles_labels()
    if names:
        panel.legend(handles, names, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _draw_line(panel: Any, points: Sequence[Point], look: Any, name: str) -> None:
    """Line, markers and the band of one standard deviation; unsound points are pale."""
    if not points:
        return
    xs, ys = [p.x for p in points], [p.y for p in points]
    panel.plot(
        xs, ys, linestyle=look.line, marker=look.marker, color=look.colour, label=name, zorder=3
    )
    if any(p.std for p in points):
        low, high = [p.y - p.std for p in points], [p.y + p.std for p in points]
        panel.fill_between(xs, low, high, color=look.colour, alpha=0.16, linewidth=0, zorder=1)
    _draw_points(panel, points, look, with_std=False)


def _draw_points(panel: Any, points: Sequence[Point], look: Any, *, with_std: bool = True) -> None:
    for point in points:
        # A white disc below: a pale marker would let the line shine through.
        panel.plot(point.x, point.y, look.marker, color="white", zorder=4)
        alpha = 1.0 if point.sound else _PALE
        panel.plot(point.x, point.y, look.marker, color=look.colour, alpha=alpha, zorder=5)
        if with_std and point.std:
            panel.errorbar(
                point.x, point.y, point.std, color=look.colour, capsize=2.5, linewidth=1.2
            )


def _draw_published(panel: Any, points: Sequence[Point], look: Any, *, line: bool) -> None:
    if not points:
        return
    xs, ys = [p.x for p in points], [p.y for p in points]
    if line:
        panel.plot(xs, ys, "--", color=look.colour, linewidth=1.0, alpha=0.6, zorder=2)
    marker = look.marker if look.marker not in "x1234" else "o"
    panel.plot(
        xs, ys, marker, markerfacecolor="white", markeredgecolor=look.colour, linestyle="", zorder=4
    )


def _draw_own_time(
    panel: Any, table: Table, rows: Sequence[RowMeta], column: ColumnMeta, colour: str
) -> list[Name]:
    """Below a time that counts shared stages in: the pretraining by itself; returns its name."""
    if column.metric != "wall_hours_with_shared":
        return []
    own = {row.frames: table.costs[row.id].wall_hours for row in rows if row.id in table.costs}
    points = [(x, y * column.scale) for x, y in own.items() if x is not None and y is not None]
    if len(points) < 2:
        return []
    xs, ys = zip(*sorted(points), strict=True)
    panel.plot(xs, ys, ":", color=colour, linewidth=1.3, zorder=2)
    middle = len(xs) // 2
    return [Name("without shared stages", xs[middle], ys[middle], colour)]


def _points(
    table: Table, rows: Sequence[RowMeta], column: ColumnMeta, place: Callable[[RowMeta], float]
) -> list[Point]:
    """The rows' cells that have a number."""
    found = []
    for row in rows:
        cell = table.cell(row, column)
        if cell.mean is not None:
            sound = cell.state not in (State.STALE, State.DISTURBED)
            std = (cell.std or 0.0) * column.scale
            found.append(Point(place(row), cell.mean * column.scale, std, sound))
    return found


def _published(
    table: Table, rows: Sequence[RowMeta], column: ColumnMeta, place: Callable[[RowMeta], float]
) -> list[Point]:
    """What publications say of the rows; golden numbers are ours and stay out."""
    if table.against != "paper":
        return []
    cells = ((row, table.cell(row, column).reference) for row in rows)
    return [Point(place(row), value * column.scale) for row, value in cells if value is not None]


def _frames_of(row: RowMeta) -> float:
    return float(row.frames or 0)


def _share(column: ColumnMeta) -> float | None:
    """The percentage of labels that a column learns from; None for linear probing."""
    try:
        return float(column.setting.removesuffix("%")) if column.setting.endswith("%") else None
    except ValueError:
        return None


def _has_numbers(table: Table, rows: Sequence[RowMeta], column: ColumnMeta) -> bool:
    published = table.against == "paper"
    cells = [table.cell(row, column) for row in rows]
    return any(c.mean is not None or (published and c.reference is not None) for c in cells)


def _scale(panel: Any, column: ColumnMeta) -> None:
    low, high = panel.get_ylim()
    if column.quantity:
        panel.set_ylim(0.0, high * 1.15)
        panel.set_ylabel(f"{column.title} ({column.unit})")
    else:
        room = 0.12 * (high - low)
        panel.set_ylim(low - room, high + room)
        panel.set_ylabel("mIoU (%)" if column.metric == "miou" else column.metric)


def _page(n_panels: int, *, wide: bool = False) -> tuple[Figure, list[Any]]:
    """A figure with so many panels, three in a line; `wide` leaves room for a legend each."""
    a_line = min(2 if wide else _PANELS_A_LINE, n_panels)
    lines = -(-n_panels // a_line)
    width, height = _PANEL_INCHES
    width *= 1.55 if wide else 1.0
    figure = Figure(figsize=(a_line * width, lines * height + 0.5), layout="constrained")
    grid = figure.subplots(lines, a_line, squeeze=False)
    panels = [panel for line in grid for panel in line]
    for panel in panels[n_panels:]:
        panel.set_axis_off()
    return figure, panels[:n_panels]


def _finish(figure: Figure, table: Table) -> None:
    """Title, and in small print what the marks mean and where the numbers come from."""
    figure.suptitle(_wrapped(figure, table.title, _TITLE), fontsize=_TITLE, x=0.01, ha="left")
    cells = [cell for _, _, cell in table if cell.mean is not None]
    said: Mapping[str, bool] = {
        "Bands and bars: one standard deviation over seeds.": any(cell.std for cell in cells),
        "Hollow: published.": table.against == "paper",
        "Pale: stale, or measured beside other work.": any(
            cell.state in (State.STALE, State.DISTURBED) for cell in cells
        ),
        "Embedded world: not comparable with published numbers.": table.footer.embedded,
    }
    notes = " ".join(text for text, true in said.items() if true)
    text = "\n".join(_wrapped(figure, line, _SMALL) for line in (notes, footer(table, {})[-1]))
    figure.supxlabel(text.strip(), fontsize=_SMALL, color="#646B78", x=0.01, ha="left")


def _wrapped(figure: Figure, text: str, size: float) -> str:
    """`text` in lines as wide as the page."""
    return textwrap.fill(text, int(figure.get_figwidth() * 72.0 / (0.56 * size)))


def _saved(figure: Figure, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    with matplotlib.rc_context(dict(PAGE)):
        figure.savefig(buffer, format=kind, **options)
    return buffer.getvalue()
