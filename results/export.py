"""Writes a table to files, one per view.

Offers `VIEWS` (ending to renderer), `write_view` and `write_all`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

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
