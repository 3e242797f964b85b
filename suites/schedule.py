"""Which job may start next: the state of a run, without clock, disk or processes. Pure.

Offers `Schedule` and `fills_all_cores`. A job is *waiting* for its inputs, *ready*, *running*,
*postponed* (another driver holds its key) or over: *done*, *failed* or *skipped* because an input
failed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

from lima_bench.suites.costs import rough_weight
from lima_bench.suites.job import Job

Status = Literal["waiting", "running", "postponed", "done", "failed", "skipped"]

_LARGE_WORLD = 400.0
"""Twenty seconds of rendering: worth the start of processes that share it."""


def fills_all_cores(job: Job) -> bool:
    """Whether the work spreads over all cores by itself."""
    return job.stage == "world" and rough_weight(job.stage, job.config) > _LARGE_WORLD


@dataclass
class Schedule:
    """The jobs of one run.

    Attributes:
        jobs: Key to job, inputs first; inputs that are not among them are done already.
        priority: Key to how early it should go, larger first.
        timed: Keys of jobs whose time is asked for: nothing runs beside them.
        status: Key to where it stands.
    """

    jobs: Mapping[str, Job]
    priority: Mapping[str, float]
    timed: Collection[str] = ()
    status: dict[str, Status] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.status = {key: "waiting" for key in self.jobs}

    def next(self) -> str | None:
        """The ready job that should start now, None if none may."""
        running = self.having("running")
        if any(map(self.goes_alone, running)):
            return None
        ready = [key for key in self.having("waiting") if self._is_ready(key)]
        alone = [key for key in ready if self.goes_alone(key)]
        if alone:
            return None if running else alone[0]
        return max(ready, key=lambda key: self.priority.get(key, 0.0), default=None)

    def goes_alone(self, key: str) -> bool:
        """Whether nothing else may run beside the job: it fills all cores, or its time counts."""
        return key in self.timed or fills_all_cores(self.jobs[key])

    def having(self, *statuses: Status) -> list[str]:
        """Keys with one of these statuses, inputs first."""
        return [key for key, status in self.status.items() if status in statuses]

    @property
    def over(self) -> bool:
        """Whether nothing is left to do."""
        return not self.having("waiting", "running", "postponed")

    def move(self, key: str, status: Status) -> list[str]:
        """Put a job into `status`; returns the jobs that are skipped because of it."""
        self.status[key] = status
        if status not in ("failed", "skipped"):
            return []
        lost: list[str] = []
        for other, job in self.jobs.items():
            if key in job.inputs.values() and self.status[other] in ("waiting", "postponed"):
                lost += [other, *self.move(other, "skipped")]
        return lost

    def _is_ready(self, key: str) -> bool:
        return self._all_done(self.jobs[key].inputs.values())

    def _all_done(self, keys: Collection[str]) -> bool:
        return all(self.status.get(key, "done") == "done" for key in keys)
