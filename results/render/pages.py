"""The page of a figure: panels, title, small print, and its bytes as PNG and SVG. Pure.

Offers `new_page`, `finish_page`, `as_png`, `as_svg` and `styled`. Nothing here touches pyplot,
whose figures live in a state that all share.
"""

from __future__ import annotations

import contextlib
import io
import textwrap
from collections.abc import Mapping
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from lima_bench.results.notes import footer
from lima_bench.results.render.looks import PAGE
from lima_bench.results.table import Table
from lima_bench.results.verdict import State

_PANEL_INCHES = (3.3, 2.75)
_LEGEND_ROOM = 1.55
_TITLE, _SMALL = 11.0, 7.0


def styled() -> contextlib.AbstractContextManager[None]:
    """Our settings of matplotlib for as long as something is drawn."""
    settings: Any = dict(PAGE)
    return matplotlib.rc_context(settings)


def new_page(n_panels: int, *, legends: bool = False) -> tuple[Figure, list[Any]]:
    """A figure with so many panels, three in a line, or two with room for a legend each."""
    a_line = min(2 if legends else 3, n_panels)
    lines = -(-n_panels // a_line)
    width, height = _PANEL_INCHES
    width *= _LEGEND_ROOM if legends else 1.0
    figure = Figure(figsize=(a_line * width, lines * height + 0.5), layout="constrained")
    grid = figure.subplots(lines, a_line, squeeze=False)
    panels = [panel for line in grid for panel in line]
    for panel in panels[n_panels:]:
        panel.set_axis_off()
    return figure, panels[:n_panels]


def finish_page(figure: Figure, table: Table) -> None:
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


def as_png(figure: Figure, *, dots_per_inch: int = 200) -> bytes:
    """The figure as pixels."""
    return _saved(figure, "png", dpi=dots_per_inch, metadata={"Software": None})


def as_svg(figure: Figure) -> bytes:
    """The figure as vectors, letters as outlines: it looks the same wherever it is shown."""
    return _saved(figure, "svg", metadata={"Date": None})


def _wrapped(figure: Figure, text: str, size: float) -> str:
    """`text` in lines as wide as the page."""
    return textwrap.fill(text, int(figure.get_figwidth() * 72.0 / (0.56 * size)))


def _saved(figure: Figure, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    with styled():
        figure.savefig(buffer, format=kind, **options)
    return buffer.getvalue()
