"""Writes the built-in world to disk, once, as the data sets that it stands in for.

Offers `build_world` and `DATASETS`. Child processes render and write one recording each; the
parent writes the tables. A data set's folder appears when it is complete, with a ``manifest.json``
that says of which world it is and what every file holds.
"""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Literal

from lima_bench.common.errors import UserError
from lima_bench.common.files import filling, write_atomic
from lima_bench.common.hashing import file_digest
from lima_bench.common.locks import locked
from lima_bench.common.progress import Report, silent
from lima_bench.datasets.world.spec import TRAIN_SEQUENCES, VERSION, WorldSpec

DatasetId = Literal["nuscenes", "semantickitti"]
Job = tuple[DatasetId, Literal["train", "val"], int]

DATASETS: tuple[DatasetId, ...] = ("nuscenes", "semantickitti")
MANIFEST = "manifest.json"


def build_world(
    spec: WorldSpec,
    folder: Path,
    *,
    processes: int = 1,
    report: Report = silent,
    datasets: Sequence[DatasetId] = DATASETS,
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
    for name in datasets:
        with locked(folder / f".{name}.lock", wait=True):
            if not _is_complete(spec, folder / name):
                _fill(spec, folder / name, name, processes, partial(_shifted, report, done, total))
        done += len(_jobs(spec, name))
        report(done, total)
    return folder


def _shifted(report: Report, before: int, total: int, done: int) -> None:
    report(before + done, total)


def _jobs(spec: WorldSpec, name: DatasetId) -> list[Job]:
    """Every recording of one data set, in the order of its tables."""
    from lima_bench.datasets.world.drive import recording_count

    splits: tuple[Literal["train", "val"], ...] = ("train", "val")
    return [(name, split, i) for split in splits for i in range(recording_count(spec, name, split))]


def _is_complete(spec: WorldSpec, root: Path) -> bool:
    """Whether the data set lies at `root`, of this world and whole."""
    if not root.exists():
        return False
    remedy = "Remove the folder, or choose another one."
    try:
        manifest = json.loads((root / MANIFEST).read_text())
    except (OSError, ValueError) as error:
        raise UserError(root, "Something that is no built-in world lies here.", remedy) from error
    if manifest.get("spec_digest") != spec.digest:
        raise UserError(root, "The built-in world here has other settings.", remedy)
    missing = [name for name in manifest["files"] if not (root / name).is_file()]
    if missing:
        raise UserError(root / missing[0], "This file of the built-in world is gone.", remedy)
    return True


def _fill(spec: WorldSpec, root: Path, name: DatasetId, processes: int, report: Any) -> None:
    """Render every recording, then write the tables and the manifest."""
    with filling(root) as draft:
        tables = []
        for done, part in enumerate(_written(spec, draft, _jobs(spec, name), processes), start=1):
            tables.append(part)
            report(done)
        _write_tables(spec, name, tables, draft)
        files = sorted(path for path in draft.rglob("*") if path.is_file())
        manifest = {
            "world_version": VERSION,
            "spec_digest": spec.digest,
            "spec": spec.model_dump(mode="json"),
            "files": {path.relative_to(draft).as_posix(): file_digest(path) for path in files},
        }
        write_atomic(draft / MANIFEST, json.dumps(manifest, indent=1, sort_keys=True))


def _written(spec: WorldSpec, root: Path, jobs: list[Job], processes: int) -> Iterator[Any]:
    """Table rows of every recording, in order."""
    if processes == 1:
        yield from (_record(spec, root, job) for job in jobs)
        return
    # Fresh interpreters: a fork would copy the threads that torch holds in the caller.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(
        min(processes, len(jobs) or 1), mp_context=context, initializer=_one_thread
    )
    try:
        yield from pool.map(partial(_record, spec, root), jobs)
    finally:
        pool.shutdown(cancel_futures=True)


def _one_thread() -> None:
    """Called before numpy is imported: children share the cores, so none may take them all."""
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")


def _record(spec: WorldSpec, root: Path, job: Job) -> Any:
    """Render one recording and write its sensor files; give its table rows."""
    from lima_bench.datasets.world.drive import drive

    name, split, index = job
    recording = drive(spec, name, split, index)
    if name == "nuscenes":
        from lima_bench.datasets.nuscenes import writer as nuscenes

        return nuscenes.write_recording(recording, root)
    from lima_bench.datasets.semantickitti import writer as semantickitti

    return semantickitti.write_recording(recording, root)


def _write_tables(spec: WorldSpec, name: DatasetId, tables: list[Any], root: Path) -> None:
    if name == "nuscenes":
        from lima_bench.datasets.nuscenes import writer as nuscenes

        scenes = [tables[i].name for i in sorted(spec.nuscenes.pretrain_indices)]
        nuscenes.write_tables(tables, root, pretrain=scenes)
        return
    from lima_bench.datasets.semantickitti import writer as semantickitti

    semantickitti.write_tables(tables, root, pretrain=TRAIN_SEQUENCES)
