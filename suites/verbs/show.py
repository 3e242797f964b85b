"""``lima-bench show``, ``export`` and ``check``: the table as it stands; nothing runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
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
from lima_bench.suites.session import Request, open_session
from lima_bench.suites.tables import Against, table_of


def show(request: Request, *, against: str | None, as_json: bool) -> int:
    """Print the table, holes included; returns the exit code."""
    table = current_table(request, against)
    if as_json:
        typer.echo(json.dumps(table_json(table)))
    else:
        print_table(table)
    return 0


def export(
    request: Request, files: Mapping[str, Path], *, against: str | None, figures: Path | None = None
) -> int:
    """Write the table to `files` (ending to path), its curves to `figures`; returns the exit code.

    Raises:
        UserError: No file is named, or there is nothing to draw.
    """
    if not files and figures is None:
        what = "Nothing says where to write."
        how = "Add --csv F, --latex F, --markdown F, --html F or --figures DIR."
        raise UserError("lima-bench export", what, how)
    table = current_table(request, against)
    for ending, path in files.items():
        typer.echo(f"Written: {write_view(table, path, ending)}")
    for path in write_figures(table, figures) if figures is not None else ():
        typer.echo(f"Written: {path}")
    return 0


def check(request: Request, *, against: str | None, junit: Path | None, update: bool) -> int:
    """A verdict for every cell; returns 0 all fine, 1 one differs or failed, 4 some are open.

    Args:
        request: What is checked.
        against: ``paper``, ``golden``, or what the profile says.
        junit: Where to write the verdicts for continuous integration.
        update: Keep today's numbers as the golden ones instead.
    """
    session = open_session(request, write=False)
    table = table_of(session, session.plan(accept_stale=True), _against(against))
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
    session = open_session(request, write=False)
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
