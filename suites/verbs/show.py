"""``lima-bench show``, ``export`` and ``check``: the table as it stands; nothing runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from lima_bench.common.errors import UserError
from lima_bench.common.files import write_atomic
from lima_bench.results.export import write_figures, write_view
from lima_bench.results.golden_files import write_golden
from lima_bench.results.junit import to_junit
from lima_bench.results.table import Table
from lima_bench.results.verdict import exit_code
from lima_bench.results.view import printed
from lima_bench.suites.session import Request, Session, open_session
from lima_bench.suites.tables import Against, table_of


def show(request: Request, *, against: str | None, as_json: bool) -> int:
    """Print the table, holes included; returns the exit code."""
    table = current_table(request, against)
    if as_json:
        typer.echo(json.dumps(table_json(table)))
    else:
        print_table(table)
    return 0


@dataclass(frozen=True)
class Figures:
    """Where figures go, and what is drawn of detections.

    Attributes:
        folder: Of curves and pictures; None draws nothing.
        least: Score from which a detection is drawn; None: the usual one.
        n_frames: Frames that are drawn of each detector; None: the usual number.
    """

    folder: Path | None = None
    least: float | None = None
    n_frames: int | None = None


def export(
    request: Request,
    files: Mapping[str, Path],
    *,
    against: str | None,
    figures: Figures = Figures(),
) -> int:
    """Write the table to `files` (ending to path), its curves and pictures; returns the exit code.

    Raises:
        UserError: No file is named, or there is nothing to draw.
    """
    if not files and figures.folder is None:
        what = "Nothing says where to write."
        how = "Add --csv F, --latex F, --markdown F, --html F or --figures DIR."
        raise UserError("lima-bench export", what, how)
    session = open_session(request, write=False)
    table = _table(session, against)
    for ending, path in files.items():
        typer.echo(f"Written: {write_view(table, path, ending)}")
    if figures.folder is not None:
        _draw(session, table, figures, figures.folder)
    return 0


def _draw(session: Session, table: Table, figures: Figures, folder: Path) -> None:
    """Curves of the table, and pictures of what its detectors found."""
    from lima_bench.suites.pictures.detections import draw_detections  # loads recordings' readers

    drawn = draw_detections(session, folder, least=figures.least, n_frames=figures.n_frames)
    curves = write_figures(table, folder, needed=not (drawn.paths or drawn.notes))
    for path in (*curves, *drawn.paths):
        typer.echo(f"Written: {path}")
    for note in drawn.notes:
        typer.echo(f"Not drawn: {note}", err=True)


def check(request: Request, *, against: str | None, junit: Path | None, update: bool) -> int:
    """A verdict for every cell; returns 0 all fine, 1 one differs or failed, 4 some are open.

    Args:
        request: What is checked.
        against: ``paper``, ``golden``, or what the profile says.
        junit: Where to write the verdicts for continuous integration.
        update: Keep today's numbers as the golden ones instead.
    """
    session = open_session(request, write=False)
    table = _table(session, against)
    if update:
        path = write_golden(table, tolerance=session.loaded.suite.check.tolerance)
        typer.echo(f"Written: {path}")
        return 0
    if junit is not None:
        write_atomic(junit, to_junit(table))
    for row, column, cell in table:
        unit = f" {column.unit}" if column.unit else ""
        numbers = "" if cell.mean is None else f"{printed(column, cell.mean):>8}{unit}"
        theirs = "" if cell.reference is None else f" against {printed(column, cell.reference)}"
        note = f"  ({cell.reason})" if cell.reason else ""
        typer.echo(f"{cell.verdict:13}{row.id:24}{column.id:12}{numbers}{theirs}{note}")
    return exit_code(table.judged())


def current_table(request: Request, against: str | None = None) -> Table:
    """The table from the records of the store.

    Raises:
        UserError: What is asked for does not exist or is damaged.
    """
    return _table(open_session(request, write=False), against)


def _table(session: Session, against: str | None) -> Table:
    return table_of(session, session.plan(accept_stale=True), _against(against))


def _against(name: str | None) -> Against | None:
    if name is None:
        return None
    if name == "paper" or name == "golden":
        return name  # type: ignore[return-value]
    what = "There is nothing of that name to compare with."
    raise UserError(f"--against {name}", what, "--against paper or --against golden")


def print_table(table: Table) -> None:
    """The table on standard output, as wide as the terminal."""
    from rich.console import Console

    from lima_bench.results.render.terminal import to_terminal

    Console().print(to_terminal(table))


def table_json(table: Table) -> dict[str, Any]:
    """The table for programs."""
    return {
        "suite": table.suite,
        "profile": table.profile,
        "seeds": list(table.footer.seeds),
        "cells": [
            {
                "row": row.id,
                "column": column.id,
                "metric": column.metric,
                "value": cell.mean,
                "std": cell.std,
                "values": {str(seed): value for seed, value in cell.values.items()},
                "reference": cell.reference,
                "verdict": str(cell.verdict),
                "state": str(cell.state),
                "reason": cell.reason,
            }
            for row, column, cell in table
        ],
    }
