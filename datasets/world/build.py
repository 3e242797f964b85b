"""Writes the built-in world to disk, once, as the data sets that it stands in for.

Offers `build_world`. Child processes render and write one recording each; the
parent writes the tables. A data set's folder appears when it is complete, with a ``manifest.json``
that says of which world it is and what every file holds.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from lima_bench.common.errors import UserError
from lima_bench.common.files import filling, write_atomic
from lima_bench.common.hashing import file_digest
from lima_bench.common.locks import locked
from lima_bench.common.progress import Report, silent
from lima_bench.datasets.world.drives import DatasetId
from lima_bench.datasets.world.spec import SETS, VERSION, WorldSpec

Job = tuple[DatasetId, int]
"""A data set, and the place of one of its trips."""

MANIFEST = "manifest.json"


def build_world(
    spec: WorldSpec,
    folder: Path,
    *,
    processes: int = 1,
    report: Report = silent,
    datasets: Sequence[DatasetId] = SETS,
) -> Path:
    """Have the world of `spec` on disk below `folder`, one folder per data set.

    What already lies there is kept; several callers may ask at once, one of them renders.

    Args:
        spec: The world.
        folder: The data root; made if absent.
        processes: Children that render; 1 renders in this process.
        report: Hears of every finished recording.
        datasets: Which data sets to write.

    Returns:
        `folder`.

    Raises:
        UserError: Another world lies there, files of it are missing, or one cannot write there.
    """
    total = sum(len(_jobs(spec, name)) for name in datasets)
    done = 0
    with contextlib.ExitStack() as stack:
        workers = _Workers(processes, stack)
        for name in datasets:
            with locked(folder / f".{name}.lock", wait=True):
                if not _is_complete(spec.digest_of(name), folder / name):
                    told = partial(_shifted, report, done, total)
                    _fill(spec, folder / name, name, workers, told)
            done += len(_jobs(spec, name))
            report(done, total)
    return folder


class _Workers:
    """Processes that start when first needed and end with `stack`."""

    def __init__(self, processes: int, stack: contextlib.ExitStack) -> None:
        self._processes, self._stack = processes, stack
        self._pool: ProcessPoolExecutor | None = None

    def map(self, work: Callable[[Job], Any], jobs: list[Job]) -> Iterator[Any]:
        """Results of `work` on every job, in order."""
        if self._processes == 1:
            return map(work, jobs)
        if self._pool is None:
            # Fresh interpreters: a fork would copy the threads that torch holds in the caller.
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(
                self._processes, mp_context=context, initializer=_prepare_child
            )
            self._stack.callback(self.stop)
        return self._pool.map(work, jobs)

    def stop(self) -> None:
        """Give up waiting jobs and wait for the running ones."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None


def _shifted(report: Report, before: int, total: int, done: int) -> None:
    report(before + done, total)


def _jobs(spec: WorldSpec, name: DatasetId) -> list[Job]:
    """Every recording of one data set, in the order of its tables."""
    from lima_bench.datasets.world.expedition import expedition_of

    return [(name, place) for place in range(len(expedition_of(spec, name).trips))]


def _is_complete(digest: str, root: Path) -> bool:
    """Whether the data set lies at `root`, of this world and whole."""
    if not root.exists():
        return False
    remedy = "Remove the folder, or choose another one."
    try:
        manifest = json.loads((root / MANIFEST).read_text())
    except (OSError, ValueError) as error:
        raise UserError(root, "Something that is no built-in world lies here.", remedy) from error
    if manifest.get("spec_digest") != digest:
        raise UserError(root, "The built-in world here has other settings.", remedy)
    missing = [name for name in manifest["files"] if not (root / name).is_file()]
    if missing:
        raise UserError(root / missing[0], "This file of the built-in world is gone.", remedy)
    return True


def _fill(
    spec: WorldSpec,
    root: Path,
    name: DatasetId,
    workers: _Workers,
    report: Callable[[int], None],
) -> None:
    """Render every recording, then write the tables and the manifest."""
    with filling(root) as draft:
        tables = []
        try:
            written = workers.map(partial(_record, spec, draft), _jobs(spec, name))
            for done, part in enumerate(written, start=1):
                tables.append(part)
                report(done)
        except BaseException:
            workers.stop()  # before the draft goes: nobody may write into it any more
            raise
        _write_tables(spec, name, tables, draft)
        files = sorted(path for path in draft.rglob("*") if path.is_file())
        manifest = {
            "world_version": VERSION,
            "spec_digest": spec.digest_of(name),
            "spec": spec.part(name),
            "files": {path.relative_to(draft).as_posix(): file_digest(path) for path in files},
        }
        write_atomic(draft / MANIFEST, json.dumps(manifest, indent=1, sort_keys=True))


def _prepare_child() -> None:
    """One thread, set before numpy is imported; an interrupt is the parent's to answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")


def _record(spec: WorldSpec, root: Path, job: Job) -> Any:
    """Render one recording and write its sensor files; give its table rows."""
    from lima_bench.datasets.world.drive import record
    from lima_bench.datasets.world.expedition import expedition_of

    name, place = job
    expedition = expedition_of(spec, name)
    recording = record(spec, expedition, expedition.trips[place])
    return _writer(name).write_recording(recording, root)


def _write_tables(spec: WorldSpec, name: DatasetId, tables: list[Any], root: Path) -> None:
    from lima_bench.datasets.world.expedition import expedition_of

    pretrain = expedition_of(spec, name).pretrain
    _writer(name).write_tables(tables, root, pretrain=pretrain)


def _writer(name: DatasetId) -> Any:
    return importlib.import_module(f"lima_bench.datasets.{name}.writer")
