"""What travels between the driver and a worker: an `Order` to do one job, `Event`s back.

Light: a worker unpickles an order before it loads anything heavy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from lima_bench.suites.job import Job


@dataclass(frozen=True)
class Order:
    """Everything a worker needs to do one job.

    Attributes:
        job: What to do.
        stages: Stage to ``"module:function"``; see `lima_bench.suites.stages`.
        store: The store's folder.
        inputs: Role to the job whose artifacts are read.
        own_code: Digest of the code that does the job.
        wanted_code: Lineage that a record must have to count as done; None: any counts.
        data: The data root, where recordings are not rendered.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        processes: How many processes the job may use.
        workers: How many of them load data beside a GPU.
        timed: Whether its time is asked for: a record made beside other work does not do.
        plugs: Plug-in files to import first.
        commit: Of the checkout, empty outside one.
        dirty: Whether the checkout held changes beyond that commit.
    """

    job: Job
    stages: Mapping[str, str]
    store: Path
    inputs: Mapping[str, Job] = field(default_factory=dict)
    own_code: str = ""
    wanted_code: str | None = None
    data: Path | None = None
    device: str = "cpu"
    processes: int = 1
    workers: int = 0
    timed: bool = False
    plugs: tuple[Path, ...] = ()
    commit: str = ""
    dirty: bool = False


@dataclass(frozen=True)
class Event:
    """What a worker tells.

    Attributes:
        key: The job.
        kind: ``progress``; ``done`` (there is a good record now), ``busy`` (someone else holds
            the key), ``mendable`` (the user can fix it), ``failed`` (a defect), ``died``
            (no answer: killed by the system).
        done: Steps finished, for progress.
        total: Steps in all.
        message: For the user, where something is wrong.
        facts: Of a finished job: ``hours``, whether it was ``found`` rather than done, or
            done ``again`` to be measured.
    """

    key: str
    kind: Literal["progress", "done", "busy", "mendable", "failed", "died"]
    done: int = 0
    total: int = 0
    message: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
