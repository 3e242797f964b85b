"""Walks a plan: starts what is ready, longest chain first, and hears how it goes.

Offers `execute`, its `Setup` and its `Report` of what happened. Every finished job is in the store
before the next begins, so a run may be interrupted anywhere and begun again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from lima_bench.results.store import Store
from lima_bench.suites import work
from lima_bench.suites.code import CodeKeys
from lima_bench.suites.executors.base import Executor
from lima_bench.suites.job import Job
from lima_bench.suites.order import Event, Order
from lima_bench.suites.plan import Plan, Step, expected_hours, priorities
from lima_bench.suites.schedule import Schedule

RETRIES = 2
"""How often a job is begun again whose worker died without a word (memory, a lost node)."""

_POLL_S = 1.0


class Listener(Protocol):
    """Hears of a run as it goes: progress bars, lines, nothing."""

    def begin(self, hours: Mapping[str, float]) -> None:
        """These keys are to be done and will take about so long, in some unit."""

    def started(self, job: Job) -> None:
        """A job has begun."""

    def progress(self, job: Job, done: int, total: int) -> None:
        """A job is at step `done` of `total`."""

    def ended(self, job: Job, event: Event) -> None:
        """A job is over, is held by another driver (``busy``), or died and begins again."""

    def skipped(self, job: Job, cause: Job) -> None:
        """A job cannot be done because `cause` failed."""

    def finish(self) -> None:
        """The run is over."""


@dataclass(frozen=True)
class Setup:
    """How jobs are done, which changes no number.

    Attributes:
        store: Where records go.
        stages: Stage to ``"module:function"``.
        code: Today's code.
        jobs: Jobs at a time.
        cores: Cores that they share.
        devices: Devices that jobs take in turn.
        workers: Processes of each job that load data, where a GPU does the rest.
        data: The data root, where recordings are not rendered.
        plugs: Plug-in files.
        commit: Of the checkout.
        dirty: Whether it held changes.
    """

    store: Store
    stages: Mapping[str, str]
    code: CodeKeys
    jobs: int = 1
    cores: int = 1
    devices: tuple[str, ...] = ("cpu",)
    workers: int = 0
    data: Path | None = None
    plugs: tuple[Path, ...] = ()
    commit: str = ""
    dirty: bool = False


@dataclass
class Report:
    """What came of a run.

    Attributes:
        done: Keys that have a good record now.
        failed: Key to the last event of jobs that did not work.
        skipped: Keys that could not begin because an input failed.
    """

    done: list[str] = field(default_factory=list)
    failed: dict[str, Event] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0 fine, 2 the user can fix all that failed, 3 a job has a defect."""
        kinds = {event.kind for event in self.failed.values()}
        return 0 if not kinds else 2 if kinds == {"mendable"} else 3


def execute(plan: Plan, setup: Setup, executor: Executor, listener: Listener) -> Report:
    """Do everything that the plan says must run.

    A job that fails takes those that read it along; all others go on.

    Whatever ends it early (Ctrl-C), workers are stopped and finished work is kept.
    """
    run = _Run(plan, setup, executor, listener)
    listener.begin(expected_hours(plan))
    try:
        while not run.schedule.over:
            run.turn()
    finally:
        executor.stop()
        listener.finish()
    return run.report


class _Run:
    """The moving parts of one run."""

    def __init__(self, plan: Plan, setup: Setup, executor: Executor, listener: Listener) -> None:
        self.plan, self.setup, self.executor, self.listener = plan, setup, executor, listener
        jobs = {step.job.key: step.job for step in plan.todo}
        self.schedule = Schedule(jobs, priorities(plan), plan.timed)
        self.report = Report()
        self.deaths: dict[str, int] = {}
        self.places: dict[str, int] = {}
        self.looked = time.monotonic()

    def turn(self) -> None:
        """Start what may start, then hear what happened."""
        while self.executor.free > 0 and (key := self.schedule.next()) is not None:
            self.start(key)
        idle = not self.schedule.having("running")
        if idle and not self.schedule.having("postponed") and not self.schedule.over:
            raise RuntimeError("no job can start although some wait")
        for event in self.executor.wait(_POLL_S):
            self.hear(event)
        if time.monotonic() - self.looked >= _POLL_S:
            self.looked = time.monotonic()
            self.look_again()

    def start(self, key: str) -> None:
        """Hand a job to the executor."""
        job = self.schedule.jobs[key]
        taken = {self.places[k] for k in self.schedule.having("running")}
        self.places[key] = next(n for n in range(len(taken) + 1) if n not in taken)
        self.schedule.move(key, "running")
        self.listener.started(job)
        self.executor.start(self.order(self.plan.steps[key]))

    def order(self, step: Step) -> Order:
        """What a worker must know of a step."""
        setup, job = self.setup, step.job
        place = self.places[job.key] % len(setup.devices)
        alone = self.schedule.goes_alone(job.key)
        return Order(
            job=job,
            stages=setup.stages,
            store=setup.store.root,
            inputs={role: self.plan.steps[key].job for role, key in job.inputs.items()},
            own_code=setup.code.own(job),
            wanted_code=None if self.plan.accept_stale else step.code,
            data=setup.data,
            device=setup.devices[place],
            processes=setup.cores if alone else max(1, setup.cores // setup.jobs),
            workers=setup.workers,
            # A stale record that is accepted stays as it is: a repeat would measure other code.
            timed=job.key in self.plan.timed and step.state != "stale",
            plugs=setup.plugs,
            commit=setup.commit,
            dirty=setup.dirty,
        )

    def hear(self, event: Event) -> None:
        """Take note of what a worker tells."""
        job = self.schedule.jobs[event.key]
        if event.kind == "progress":
            self.listener.progress(job, event.done, event.total)
            return
        self.listener.ended(job, event)
        if event.kind == "done":
            self.schedule.move(event.key, "done")
            self.report.done.append(event.key)
        elif event.kind == "busy":
            self.schedule.move(event.key, "postponed")
        elif event.kind == "died" and self.deaths.get(event.key, 0) < RETRIES:
            self.deaths[event.key] = self.deaths.get(event.key, 0) + 1
            self.schedule.move(event.key, "waiting")
        else:
            self.fail(event)

    def fail(self, event: Event) -> None:
        """A job did not work, for good; neither can those that read it."""
        self.report.failed[event.key] = event
        cause = self.schedule.jobs[event.key]
        for key in self.schedule.move(event.key, "failed"):
            self.report.skipped.append(key)
            self.listener.skipped(self.schedule.jobs[key], cause)

    def look_again(self) -> None:
        """Jobs of another driver: done by it, or free again because it stopped."""
        store = self.setup.store
        for key in self.schedule.having("postponed"):
            step = self.plan.steps[key]
            if work.found(store, self.order(step)):
                self.hear(Event(key, "done", facts={"found": True}))
                continue
            with store.lock(key) as free:
                if free:
                    self.schedule.move(key, "waiting")
