"""``lima-bench why``: the chain behind one number, or what differs between two."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import typer

from lima_bench.common.errors import UserError, unknown_name
from lima_bench.suites.expand import CellPlan
from lima_bench.suites.plan import Plan
from lima_bench.suites.session import Request, open_session


def why(request: Request, row: str, column: str, other: str | None) -> int:
    """Print the chain of jobs behind a cell, or the settings in which two differ."""
    session = open_session(request, write=False)
    plan = session.plan(accept_stale=True)
    cell = _cell(plan, row, column)
    for taught in plan.expansion.rows:
        if taught.row.id in (row, other) and taught.adopted:
            typer.echo(f"{taught.row.id} was taught elsewhere: {taught.adopted}")
    lines = _chain(plan, cell) if other is None else _differences(plan, cell, other)
    for line in lines:
        typer.echo(line)
    return 0


def _cell(plan: Plan, row: str, column: str) -> CellPlan:
    rows = [taught.row.id for taught in plan.expansion.rows]
    columns = [asked.id for asked in plan.expansion.columns]
    if row not in rows:
        raise unknown_name(f"row {row}", "row", row, rows)
    if column not in columns:
        raise unknown_name(f"column {column}", "column", column, columns)
    cell = next(c for c in plan.expansion.cells if (c.row, c.column) == (row, column))
    if cell.missing:
        raise UserError(f"row {row}, column {column}", f"It cannot be run: {cell.missing}.")
    return cell


def _chain(plan: Plan, cell: CellPlan) -> Iterator[str]:
    for seed, target in cell.jobs.items():
        yield f"seed {seed}"
        for key in plan.expansion.upstream([target]):
            step, record = plan.steps[key], plan.records.get(key)
            yield f"  {step.state:8}{step.job.stage:14}{key[:12]}"
            if record is not None:
                made = record.provenance
                commit = str(made.get("commit", ""))[:12] or "none"
                dirty = " with changes" if made.get("dirty") else ""
                hours = record.measured.get("wall_hours", 0.0)
                yield f"          {hours * 3600:.1f} s   commit {commit}{dirty}"
            for name, value in sorted(flat(step.job.config).items()):
                yield f"          {name} = {value}"
        score = plan.records.get(target)
        if score is not None:
            for name, number in sorted(score.scores.items()):
                yield f"  {name} = {number:.4g}"


def _differences(plan: Plan, cell: CellPlan, other: str) -> Iterator[str]:
    rival = _cell(plan, other, cell.column)
    seed = next(iter(cell.jobs))
    ours, theirs = (_settings(plan, one.jobs[seed]) for one in (cell, rival))
    names = [name for name in sorted(ours.keys() | theirs.keys())]
    differing = [name for name in names if ours.get(name) != theirs.get(name)]
    if not differing:
        yield f"{cell.row} and {other} are the same work."
    for name in differing:
        yield f"{name}: {ours.get(name, 'none')}  against  {theirs.get(name, 'none')}"


def _settings(plan: Plan, key: str) -> dict[str, Any]:
    """Every setting of a chain, with the stage before its name; keys of inputs left out."""
    return {
        f"{job.stage}.{name}": value
        for job in plan.expansion.upstream([key]).values()
        for name, value in flat({**job.config, "version": job.version, "seed": job.seed}).items()
    }


def flat(settings: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Nested mappings as one, keys joined with dots."""
    result: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            result |= flat(value, f"{before}{name}.")
        else:
            result[f"{before}{name}"] = value
    return result
