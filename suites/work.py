"""Does one job, wherever it runs: lock, stage function inside sacred, record.

Offers `perform`, and for stage functions `Context` and `Outcome`. A stage function is
``function(context) -> Outcome``; it writes below ``context.artifact`` and nothing else.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lima_bench.common.errors import UserError
from lima_bench.common.files import write_atomic
from lima_bench.common.progress import Report
from lima_bench.results.record import Record
from lima_bench.results.store import Store
from lima_bench.suites.code import lineage
from lima_bench.suites.job import SPREADING, Job
from lima_bench.suites.measure import Meter
from lima_bench.suites.measures import ran_alone, samples_of
from lima_bench.suites.order import Event, Order
from lima_bench.suites.repeats import must_repeat

Send = Callable[[Event], None]

_PACKAGES = (
    "torch",
    "numpy",
    "numba",
    "scipy",
    "scikit-image",
    "scikit-learn",
    "lightning-fabric",
    "lima-bench",
)


@dataclass(frozen=True)
class Context:
    """What a stage function is given.

    Attributes:
        job: What to do.
        artifact: Folder for what the job leaves; absent until the function makes it.
        state: Folder for the state of an unfinished run; what lies there is of the same code.
        inputs: Role to the job that was read.
        artifacts: Role to the folder of its artifact.
        report: Hears of progress and of scalars.
        data: The data root, where recordings are not rendered.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        processes: How many processes the job may use.
        workers: How many of them load data beside a GPU.
    """

    job: Job
    artifact: Path
    state: Path
    inputs: Mapping[str, Job]
    artifacts: Mapping[str, Path]
    report: Report
    data: Path | None
    device: str
    processes: int
    workers: int


@dataclass(frozen=True)
class Outcome:
    """What a stage function returns.

    Attributes:
        scores: Flat numbers.
        details: Per-class scores, splits, counts, digests: JSON values that the seed fixes.
        provenance: What describes the place and changes no number on purpose: precision, engine.
    """

    scores: Mapping[str, float] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)


def perform(order: Order, send: Send, *, own_process: bool = False) -> None:
    """Do the job of `order` unless a good record exists or someone else is at it; tell by `send`.

    Never raises for a fault of the job: that is an event too.

    Args:
        order: What to do.
        send: Takes events.
        own_process: Whether this process does nothing else: what it prints then goes to a file
            beside the unfinished work instead of into the driver's progress bars.
    """
    key = order.job.key
    try:
        store = Store.open(order.store)
        with store.lock(key) as mine:
            if not mine:
                send(Event(key, "busy"))
            elif found(store, order):
                send(Event(key, "done", facts={"found": True}))
            else:
                again = good_record(store, order)
                record = _do(store, order, send, own_process=own_process, again=again)
                facts = {"hours": record.measured["wall_hours"], "again": again is not None}
                send(Event(key, "done", facts=facts))
    except UserError as error:
        _note(order, error.what, str(error))
        send(Event(key, "mendable", message=str(error)))
    except Exception as error:
        text = traceback.format_exc()
        _note(order, f"{type(error).__name__}: {error}", text)
        send(Event(key, "failed", message=text))


def found(store: Store, order: Order) -> bool:
    """Whether the store holds what the order asks for: a good record, of the right manner."""
    record = good_record(store, order)
    return record is not None and (not order.timed or ran_alone(record))


def good_record(store: Store, order: Order) -> Record | None:
    """The record of the order's job, if the wanted code made it and its artifact lies there."""
    record = store.get(order.job.stage, order.job.key)
    if record is None or order.wanted_code not in (None, record.provenance.get("code")):
        return None
    whole = not record.details.get("artifact") or store.artifact(order.job.key).is_dir()
    return record if whole else None


def _do(
    store: Store, order: Order, send: Send, *, own_process: bool, again: Record | None
) -> Record:
    """Run the stage function and keep its record.

    Args:
        store: Where.
        order: What.
        send: Takes events.
        own_process: See `perform`.
        again: The good record that was made beside other work: the job is repeated on the side to
            be measured, must give the same again, and changes nothing but the measures.
    """
    from lima_bench.suites import observe

    _load_plugs(order)
    job, codes = order.job, _input_codes(store, order)
    code = lineage(order.own_code, codes)
    state = _fresh_state(store, job.key, code)
    if own_process:
        _print_into(state / "output.txt")
    artifact = store.artifact(job.key) if again is None else state / "again"
    shutil.rmtree(artifact, ignore_errors=True)
    module, name = order.stages[job.stage].split(":")
    function: Callable[[Context], Outcome] = getattr(importlib.import_module(module), name)
    meter = _meter(order, state, own_process)

    def run(report: Report) -> Outcome:
        return function(_context(store, order, state, artifact, report))

    try:
        outcome = observe.observed(order, store, run, _throttled(job.key, send, meter))
        measured = meter.measured(artifact, samples=samples_of(job, outcome.scores, _world_size()))
    finally:
        meter.close()
    record = Record(
        key=job.key,
        stage=job.stage,
        version=job.version,
        config=job.config,
        seed=job.seed,
        inputs=job.inputs,
        scores=outcome.scores,
        details={**outcome.details, "artifact": artifact.is_dir()},
        provenance={**_provenance(order, code), **outcome.provenance},
        measured=measured,
    )
    if again is not None:
        must_repeat(store, record, again)
        record = replace(again, measured=measured)
    store.put(record)
    store.clear_partial(job.key)
    return record


def _meter(order: Order, state: Path, own_process: bool) -> Meter:
    spread = order.processes if order.job.stage in SPREADING else 1
    cores = max(spread, 1 + order.workers)
    return Meter(state, device=order.device, cores=cores, own_process=own_process)


def _context(store: Store, order: Order, state: Path, artifact: Path, report: Report) -> Context:
    artifact.parent.mkdir(parents=True, exist_ok=True)
    return Context(
        job=order.job,
        artifact=artifact,
        state=state,
        inputs=order.inputs,
        artifacts={role: store.artifact(key) for role, key in order.job.inputs.items()},
        report=report,
        data=order.data,
        device=order.device,
        processes=order.processes,
        workers=order.workers,
    )


def _load_plugs(order: Order) -> None:
    if order.plugs:
        from lima_bench.lima.api import load_plugin

        for path in order.plugs:
            load_plugin(path)


def _input_codes(store: Store, order: Order) -> dict[str, str]:
    """The lineage of each input as it lies there, which may be older than today's code."""
    codes = {}
    for role, job in order.inputs.items():
        record = store.get(job.stage, job.key)
        if record is None:
            raise UserError(
                f"input {role} of {order.job.title}",
                "Its record has vanished from the store.",
                "Run the same command again; do not delete from a store that is in use.",
            )
        codes[role] = str(record.provenance.get("code", ""))
    return codes


def _fresh_state(store: Store, key: str, code: str) -> Path:
    """The folder of the unfinished run, emptied if other code left it."""
    folder = store.partial(key)
    marker = folder / "code"
    if not marker.is_file() or marker.read_text() != code:
        store.clear_partial(key)
        write_atomic(marker, code)
    return folder


def _print_into(path: Path) -> None:
    """Send what this process and its libraries print to the end of `path`."""
    sys.stdout.flush()
    sys.stderr.flush()
    with path.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)


def _note(order: Order, reason: str, text: str) -> None:
    """Keep why a job failed; a store that takes no notes hides no error."""
    try:
        store = Store.open(order.store)
        write_atomic(store.partial(order.job.key) / "error.txt", text)
        store.note_failure(order.job.key, " ".join(reason.split()))
    except (UserError, OSError):
        return


def _throttled(key: str, send: Send, meter: Meter) -> Report:
    """Progress, five times a second at most and always at the end."""
    last = 0.0

    def report(done: int, total: int, metrics: Mapping[str, float] | None = None) -> None:
        nonlocal last
        del metrics
        meter.tick()
        now = time.monotonic()
        if now - last > 0.2 or done == total:
            last = now
            send(Event(key, "progress", done=done, total=total))

    return report


def _provenance(order: Order, code: str) -> dict[str, Any]:
    return {
        "code": code,
        "commit": order.commit,
        "dirty": order.dirty,
        "device": order.device.split(":")[0],
        "machine": platform.machine(),
        "world_size": _world_size(),
        "python": platform.python_version(),
        "packages": _versions(),
        **{name: value for name, value in order.job.runtime.items() if name == "precision"},
    }


def _world_size() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
