"""Tells a person how a run goes: bars on a terminal, plain lines elsewhere, or nothing.

Offers `make_listener` and `Clock` (how much is done, how long the rest takes).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

from lima_bench.suites.job import Job
from lima_bench.suites.order import Event
from lima_bench.suites.run import Listener

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_TOO_EARLY_S = 5.0

_WORDS = {
    "done": "done",
    "busy": "another run is at it:",
    "mendable": "failed",
    "failed": "failed",
    "died": "died",
}


def make_listener(*, quiet: bool, stream: TextIO | None = None) -> Listener:
    """Bars on a terminal, else lines on `stream` (standard error); nothing if quiet."""
    stream = stream or sys.stderr
    if quiet:
        return Silent()
    return Bars() if stream.isatty() else Lines(stream)


@dataclass
class Clock:
    """How far a run is, in units of expected work.

    Attributes:
        work: Key to the work that it is expected to be.
        begun: When the run began, seconds of a clock that only goes forward.
        over: Keys that are done, failed or skipped.
        part: Key of a running job to the part of it that is done.
    """

    work: Mapping[str, float]
    begun: float = field(default_factory=time.monotonic)
    over: set[str] = field(default_factory=set)
    part: dict[str, float] = field(default_factory=dict)

    @property
    def fraction(self) -> float:
        """Of all work, how much is done."""
        total = sum(self.work.values())
        done = sum(self.work[key] for key in self.over)
        done += sum(self.work[k] * part for k, part in self.part.items() if k not in self.over)
        return done / total if total else 1.0

    def remaining_s(self, now: float) -> float | None:
        """Seconds until the end if it goes on like this; None while nobody can tell."""
        fraction, elapsed = self.fraction, now - self.begun
        if fraction <= 0.01 or elapsed < _TOO_EARLY_S:
            return None
        return elapsed * (1 - fraction) / fraction


class Silent:
    """Says nothing."""

    def begin(self, hours: Mapping[str, float]) -> None:
        """Nothing to say."""

    def started(self, job: Job) -> None:
        """Nothing to say."""

    def progress(self, job: Job, done: int, total: int) -> None:
        """Nothing to say."""

    def ended(self, job: Job, event: Event) -> None:
        """Nothing to say."""

    def skipped(self, job: Job, cause: Job) -> None:
        """Nothing to say."""

    def finish(self) -> None:
        """Nothing to say."""


class Lines(Silent):
    """One plain line for every job that is over."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._clock = Clock({})

    def begin(self, hours: Mapping[str, float]) -> None:
        """Say how much there is."""
        self._clock = Clock(hours)
        if hours:
            self._say(f"{len(hours)} jobs to do")

    def started(self, job: Job) -> None:
        """Forget the progress of an earlier attempt."""
        self._clock.part.pop(job.key, None)

    def progress(self, job: Job, done: int, total: int) -> None:
        """Count it, say nothing."""
        self._clock.part[job.key] = done / max(total, 1)

    def ended(self, job: Job, event: Event) -> None:
        """Say what became of the job."""
        if event.kind not in ("busy", "died"):
            self._clock.over.add(job.key)
        self._say(f"{self._count()} {_ending(job, event)}{self._rest()}")

    def skipped(self, job: Job, cause: Job) -> None:
        """Say why it is left out."""
        self._clock.over.add(job.key)
        self._say(f"{self._count()} skipped {job.title}: {cause.title} failed")

    def _count(self) -> str:
        return f"[{len(self._clock.over)}/{len(self._clock.work)}]"

    def _rest(self) -> str:
        rest = self._clock.remaining_s(time.monotonic())
        return "" if rest is None or self._clock.fraction >= 1 else f"   {span(rest)} to go"

    def _say(self, text: str) -> None:
        self._stream.write(text + "\n")
        self._stream.flush()


class Bars(Silent):
    """One bar for everything, with the time to go, and one for every running job."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[note]}"),
        )
        self._bars: Progress = Progress(*columns, console=Console(stderr=True), transient=True)
        self._clock = Clock({})
        self._whole: TaskID | None = None
        self._tasks: dict[str, TaskID] = {}

    def begin(self, hours: Mapping[str, float]) -> None:
        """Show the bars, if there is anything to do."""
        self._clock = Clock(hours)
        if hours:
            self._whole = self._bars.add_task(f"{len(hours)} jobs", total=1.0, note="")
            self._bars.start()

    def started(self, job: Job) -> None:
        """Give the job a bar."""
        self._clock.part.pop(job.key, None)
        self._tasks[job.key] = self._bars.add_task(f"  {job.title}", total=1.0, note="")

    def progress(self, job: Job, done: int, total: int) -> None:
        """Move its bar and the overall one."""
        self._clock.part[job.key] = done / max(total, 1)
        if job.key in self._tasks:
            note = f"{done}/{total}"
            self._bars.update(self._tasks[job.key], completed=done / max(total, 1), note=note)
        self._update()

    def ended(self, job: Job, event: Event) -> None:
        """Take its bar away and write a line above."""
        if job.key in self._tasks:
            self._bars.remove_task(self._tasks.pop(job.key))
        if event.kind not in ("busy", "died"):
            self._clock.over.add(job.key)
        self._bars.console.print(_ending(job, event), markup=False, highlight=False)
        self._update()

    def skipped(self, job: Job, cause: Job) -> None:
        """Write why it is left out."""
        self._clock.over.add(job.key)
        text = f"skipped {job.title}: {cause.title} failed"
        self._bars.console.print(text, markup=False, highlight=False)

    def finish(self) -> None:
        """Take the bars away."""
        self._bars.stop()

    def _update(self) -> None:
        if self._whole is not None:
            rest = self._clock.remaining_s(time.monotonic())
            counts = f"{len(self._clock.over)}/{len(self._clock.work)}"
            note = counts if rest is None else f"{counts}   {span(rest)} to go"
            self._bars.update(self._whole, completed=self._clock.fraction, note=note)


def span(seconds: float) -> str:
    """A length of time in the unit that suits it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def _ending(job: Job, event: Event) -> str:
    word = "measured" if event.facts.get("again") else _WORDS[event.kind]
    text = f"{word} {job.title}"
    if event.facts.get("found"):
        return f"{text}   by another run"
    if "hours" in event.facts:
        return f"{text}   {span(event.facts['hours'] * 3600)}"
    last = event.message.strip().splitlines()[-1:] if event.kind == "failed" else []
    if event.kind in ("mendable", "died"):
        last = [" ".join(event.message.split())]
    return ": ".join([text, *last])
