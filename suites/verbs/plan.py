"""``lima-bench plan``: what would run, what is done, what it would cost."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import typer

from lima_bench.common.errors import UserError
from lima_bench.suites.job import DOWNSTREAM, STAGES
from lima_bench.suites.plan import Plan, Step, within_budget
from lima_bench.suites.progress import span
from lima_bench.suites.session import Request, open_session


def plan(request: Request, *, budget: str | None, accept_stale: bool, as_json: bool) -> int:
    """Print the plan; returns the exit code."""
    hours = None if budget is None else budget_hours(budget)
    session = open_session(request, write=False)
    found = session.plan(accept_stale=accept_stale, with_costs=True)
    if as_json:
        typer.echo(json.dumps(plan_json(found, hours)))
        return 0
    for line in plan_lines(found):
        typer.echo(line)
    if hours is not None:
        for line in _budget_lines(found, hours):
            typer.echo(line)
    return 0


def plan_lines(plan: Plan) -> Iterator[str]:
    """Counts of cells, a line per stage, and reasons for what cannot run."""
    cells = plan.expansion.cells
    states: Counter[str] = Counter(plan.cell_state(cell) for cell in cells)
    order = ("done", "stale", "missing", "unavailable")
    counts = "   ".join(f"{states[state]} {state}" for state in order if states[state])
    suite, profile = plan.expansion.loaded.suite, plan.expansion.loaded.profile
    yield f"{suite.name}, {profile.name}   {len(cells)} cells   {counts}"
    for stage in STAGES:
        steps = [step for step in plan.steps.values() if step.job.stage == stage]
        if steps:
            yield f"  {stage:14}{_stage_line(steps)}"
    todo = plan.todo
    if todo:
        yield f"  {'to run':14}{len(todo):4} jobs   {_cost_line(todo)}"
    if plan.expansion.provisional:
        yield "  no data root is given: what lies there is guessed (--data DIR)"
    reasons = Counter(cell.missing for cell in cells if cell.missing)
    for reason, number in reasons.most_common():
        yield f"  {number:4} cells   {reason}"


def plan_json(plan: Plan, hours: float | None) -> dict[str, Any]:
    """The plan for programs."""
    result: dict[str, Any] = {
        "suite": plan.expansion.loaded.suite.name,
        "profile": plan.expansion.loaded.profile.name,
        "seeds": list(plan.expansion.seeds),
        "cells": [
            {
                "row": cell.row,
                "column": cell.column,
                "state": plan.cell_state(cell),
                "reason": cell.missing,
                "jobs": {str(seed): key for seed, key in cell.jobs.items()},
            }
            for cell in plan.expansion.cells
        ],
        "jobs": [_step_json(step) for step in plan.steps.values()],
    }
    if hours is not None:
        chosen, spent = within_budget(plan, hours)
        cells = [[cell.row, cell.column] for cell in chosen]
        result["budget"] = {"hours": hours, "spent": spent, "cells": cells}
    return result


def budget_hours(text: str) -> float:
    """``24h``, ``90min`` or ``2d`` in hours.

    Raises:
        UserError: It is something else.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(h|min|d)", text.strip())
    if match is None:
        raise UserError(f"--budget {text}", "This is no length of time.", "--budget 24h")
    return float(match[1]) * {"h": 1.0, "min": 1 / 60, "d": 24.0}[match[2]]


def _stage_line(steps: list[Step]) -> str:
    states = Counter(step.state for step in steps)
    running = [step for step in steps if step.runs]
    parts = [f"{len(steps):4} jobs"]
    parts += [f"{states[s]:4} {s}" for s in ("done", "stale", "missing") if states[s]]
    if running:
        parts.append(f"to run: {len(running)}   {_cost_line(running)}")
    if n_again := sum(step.again for step in running):
        parts.append(f"({n_again} only to be measured alone)")
    return "   ".join(parts)


def _cost_line(steps: list[Step]) -> str:
    known = [s.estimate.wall_hours for s in steps if s.estimate.wall_hours is not None]
    peaks = [s.estimate.peak_memory_gb for s in steps if s.estimate.peak_memory_gb is not None]
    disk = sum(step.estimate.disk_gb or 0.0 for step in steps)
    unknown = len(steps) - len(known)
    parts = [f"~ {span(sum(known) * 3600)} of work"] if known else []
    parts += [f"peak {max(peaks):.1f} GB"] if peaks else []
    parts += [f"disk {disk:.1f} GB"] if disk >= 0.05 else []
    if unknown and any(step.job.stage in DOWNSTREAM or step.job.inputs for step in steps):
        parts.append(f"({unknown} of unknown cost: no record yet)")
    return "   ".join(parts)


def _budget_lines(plan: Plan, hours: float) -> Iterator[str]:
    chosen, spent = within_budget(plan, hours)
    yield f"within {span(hours * 3600)}: {len(chosen)} cells, ~ {span(spent * 3600)} of work"
    for cell in chosen:
        yield f"  {cell.row}   {cell.column}"


def _step_json(step: Step) -> dict[str, Any]:
    return {
        "key": step.job.key,
        "stage": step.job.stage,
        "title": step.job.title,
        "seed": step.job.seed,
        "inputs": dict(step.job.inputs),
        "state": step.state,
        "runs": step.runs,
        "again": step.again,
        "wall_hours": step.estimate.wall_hours,
        "peak_memory_gb": step.estimate.peak_memory_gb,
        "disk_gb": step.estimate.disk_gb,
        "basis": step.estimate.basis,
    }
