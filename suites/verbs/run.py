"""``lima-bench run`` and ``prepare``: do what is missing, then print and write the table."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

import typer

from lima_bench.common.errors import UserError
from lima_bench.results.export import write_all
from lima_bench.results.table import Table
from lima_bench.suites.code import module_names
from lima_bench.suites.executors.base import make_executor
from lima_bench.suites.machine import checkout, core_count, devices_for
from lima_bench.suites.plan import Plan
from lima_bench.suites.progress import make_listener
from lima_bench.suites.run import Report, Setup, execute
from lima_bench.suites.session import Request, Session, open_session
from lima_bench.suites.stages import PRELOAD, STAGE_FUNCTIONS
from lima_bench.suites.tables import table_of
from lima_bench.suites.verbs.show import print_table, table_json

CACHED_STAGES = ("world", "features", "superpixels", "clusters")


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How a run goes, which changes no number.

    Attributes:
        jobs: Jobs at a time; None: one per core, or per GPU.
        executor: ``inline`` or ``process``.
        device: ``cpu`` or ``cuda``.
        accept_stale: Use records that other code made.
        quiet: No progress, no table.
        as_json: The table as JSON on standard output, nothing else there.
    """

    jobs: int | None = None
    executor: str = "process"
    device: str = "cpu"
    accept_stale: bool = False
    quiet: bool = False
    as_json: bool = False


def run(request: Request, manner: Manner) -> int:
    """Do every job that a cell waits for; print and write the table; returns the exit code."""
    session, report = _work(request, manner, targets=None)
    plan = session.plan(accept_stale=manner.accept_stale)
    table = table_of(session, plan)
    paths = write_all(_whole_table(session, table, manner), session.store.tables)
    _tell(session, table, paths, manner)
    _explain(session, report)
    return report.exit_code


def prepare(request: Request, manner: Manner) -> int:
    """Render or verify the data, fill every cache that jobs read; returns the exit code."""
    session, report = _work(request, manner, targets=CACHED_STAGES)
    plan = session.plan(accept_stale=manner.accept_stale, targets=CACHED_STAGES)
    if not manner.quiet:
        for step in plan.steps.values():
            if step.job.stage in CACHED_STAGES:
                typer.echo(f"{step.state:8}{step.job.title}")
    _explain(session, report)
    return report.exit_code


def _work(
    request: Request, manner: Manner, targets: Collection[str] | None
) -> tuple[Session, Report]:
    session = open_session(request, write=True, need_data=True)
    devices = devices_for(manner.device)
    jobs = _jobs(manner, devices)
    plan = session.plan(accept_stale=manner.accept_stale, targets=targets, with_costs=False)
    if not plan.todo:
        return session, Report()
    _must_have_weights(plan)
    plan = session.plan(accept_stale=manner.accept_stale, targets=targets, with_costs=True)
    commit, dirty = checkout()
    setup = Setup(
        store=session.store,
        stages=STAGE_FUNCTIONS,
        code=session.code,
        jobs=jobs,
        # On the CPU a job is one thread, so more cores than jobs would only blur --jobs.
        cores=jobs if manner.device == "cpu" else core_count(),
        devices=devices,
        workers=0 if manner.device == "cpu" else max(0, core_count() // jobs - 1),
        data=session.data,
        plugs=tuple(path.resolve() for path in request.plugs),
        commit=commit,
        dirty=dirty,
    )
    if manner.executor == "inline" and any(step.job.key in plan.timed for step in plan.todo):
        compile_ahead()
    executor = make_executor(manner.executor, jobs, preload())
    listener = make_listener(quiet=manner.quiet or manner.as_json)
    return session, execute(plan, setup, executor, listener)


def preload() -> list[str]:
    """Modules that workers find loaded, in this order."""
    return [*PRELOAD, *module_names(), "lima_bench.suites.executors.warmed"]


def compile_ahead() -> None:
    """Have numba's machine code on disk before times are taken in this process.

    Otherwise the first job after a change of code compiles it, and its time and memory would be
    the compiler's. In a process of its own, whose memory is no job's.
    """
    subprocess.run([sys.executable, "-m", "lima_bench.lima.warm"], check=True)


def _whole_table(session: Session, table: Table, manner: Manner) -> Table:
    """The table without ``--only`` and ``--columns``: files always hold all that is known."""
    request = session.request
    if (request.only, request.columns) == ("*", "*"):
        return table
    whole = open_session(replace(request, only="*", columns="*"), write=True, need_data=True)
    return table_of(whole, whole.plan(accept_stale=manner.accept_stale))


def _jobs(manner: Manner, devices: tuple[str, ...]) -> int:
    if manner.jobs is None:
        return len(devices) if manner.device == "cuda" else core_count()
    if manner.jobs < 1:
        raise UserError(f"--jobs {manner.jobs}", "At least one job must run.", "--jobs 1")
    return manner.jobs


def _must_have_weights(plan: Plan) -> None:
    """Find out before hours are spent that a teacher's file is not there.

    Raises:
        UserError: It is not; says where to get it.
    """
    from lima_bench.lima.teachers.catalogue import TEACHERS
    from lima_bench.lima.teachers.files import find_weights

    names = {s.job.config["teacher"]["name"] for s in plan.todo if s.job.stage == "features"}
    for name in sorted(names):
        find_weights(TEACHERS.get(name))


def _tell(session: Session, table: Table, paths: Collection[Path], manner: Manner) -> None:
    if manner.as_json:
        typer.echo(json.dumps(table_json(table)))
    elif not manner.quiet:
        print_table(table)
        folder = session.store.tables
        names = ", ".join(path.name for path in paths)
        typer.echo(f"\nWritten to {folder}: {names}")


def _explain(session: Session, report: Report) -> None:
    """What failed, on standard error: a remedy where there is one, else where the traceback is."""
    for key, event in report.failed.items():
        job = session.expansion.jobs[key]
        typer.echo(f"\n{job.title} failed:", err=True)
        if event.kind == "mendable":
            typer.echo(event.message, err=True)
            continue
        last = event.message.strip().splitlines()[-1:] or ["no message"]
        place = session.store.partial(key) / "error.txt"
        log = f" (traceback: {place})" if place.is_file() else ""
        typer.echo(f"  {last[0]}{log}", err=True)
    if report.skipped:
        typer.echo(f"\n{len(report.skipped)} jobs were skipped because of this.", err=True)
    sys.stderr.flush()
