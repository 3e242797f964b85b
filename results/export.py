"""Writes a table to files, one per view, and its figures.

Offers `VIEWS` (ending to renderer), `write_view`, `write_all` and `write_figures`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lima_bench.common.errors import UserError
from lima_bench.common.files import write_atomic
from lima_bench.results.render.csv import to_csv
from lima_bench.results.render.html import to_html
from lima_bench.results.render.latex import to_latex
from lima_bench.results.render.markdown import to_markdown
from lima_bench.results.table import Table

VIEWS: dict[str, Callable[[Table], str]] = {
    "csv": to_csv,
    "tex": to_latex,
    "md": to_markdown,
    "html": to_html,
}


def write_all(table: Table, folder: Path) -> tuple[Path, ...]:
    """Write ``<suite>.<profile>.{csv,tex,md,html}`` and, with splits, ``….splits.csv``.

    Raises:
        UserError: The disk is full or the place is read-only.
    """
    name = f"{table.suite}.{table.profile}"
    paths = [write_view(table, folder / f"{name}.{ending}") for ending in VIEWS]
    if table.splits:
        paths.append(write_view(table.splits, folder / f"{name}.splits.csv"))
    return tuple(paths)


def write_view(table: Table, path: Path, ending: str = "") -> Path:
    """Write one view, chosen by `ending` or by that of `path`; returns `path`.

    Raises:
        UserError: The disk is full or the place is read-only.
        KeyError: No view of that ending.
    """
    write_atomic(path, VIEWS[ending or path.suffix.removeprefix(".")](table))
    return path


def write_figures(table: Table, folder: Path, *, needed: bool = True) -> tuple[Path, ...]:
    """Write every figure of the table as ``<suite>.<profile>.<figure>.{png,svg}``.

    Args:
        table: What is drawn.
        folder: Where to write.
        needed: Whether a table with nothing to draw is an error.

    Raises:
        UserError: A figure is needed and there is nothing to draw, the disk is full or the place
            is read-only.
    """
    from lima_bench.results.render.curves import figures_of  # loads matplotlib
    from lima_bench.results.render.pages import as_png, as_svg

    figures = figures_of(table)
    if not figures and needed:
        what = (
            f"The table {table.suite} has nothing to draw yet: no method with two numbers of"
            " frames, and no data set with two label shares, has a number."
        )
        how = f"lima-bench run {table.suite} --profile {table.profile}, or export efficiency."
        raise UserError("--figures", what, how)
    paths = []
    for name, figure in figures.items():
        for ending, drawn in (("png", as_png), ("svg", as_svg)):
            path = folder / f"{table.suite}.{table.profile}.{name}.{ending}"
            write_atomic(path, drawn(figure))
            paths.append(path)
    return tuple(paths)
