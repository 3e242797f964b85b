"""Groups the points of every frame once and keeps the labels: Source -> clusters stage -> store.

Offers `build_clusters`. Frames are loaded here, in order; the grouping runs in as many processes
as are given. Labels depend on points, poses, settings and frame ids alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from lima_bench.common.errors import UserError
from lima_bench.common.progress import Report, silent
from lima_bench.common.seeds import derive_seed
from lima_bench.datasets.sample import Frame, Int64, Source
from lima_bench.lima.align import PlacedCloud
from lima_bench.lima.cache import ByteCache
from lima_bench.lima.clusters.ground import ground_mask
from lima_bench.lima.clusters.kinds import KINDS, Kind
from lima_bench.lima.clusters.pseudo_instances import pseudo_instances
from lima_bench.lima.clusters.segments import segment_labels
from lima_bench.lima.clusters.store import Clusters, Entry, write_clusters
from lima_bench.lima.company import Cast, Company
from lima_bench.lima.in_order import in_order
from lima_bench.lima.recipes import ClusterSettings

_CACHE_BYTES = 64 << 20
"""Of loaded scans: neighbours of a frame are frames themselves a moment later."""


@dataclass(frozen=True)
class Task:
    """What one process is given.

    Attributes:
        frames: Ids of the scans whose points are labelled: the frame, then its company.
        scans: Their points.
        witnesses: Scans that are only looked at.
    """

    frames: tuple[str, ...]
    scans: tuple[PlacedCloud, ...]
    witnesses: tuple[PlacedCloud, ...]


def build_clusters(
    source: Source,
    kind: str,
    settings: ClusterSettings,
    folder: Path,
    report: Report = silent,
    *,
    processes: int = 1,
) -> Clusters:
    """Group every frame of `source`; the result does not depend on the number of processes.

    Args:
        source: Frames with poses.
        kind: One of `KINDS`.
        settings: Of ground and grouping.
        folder: Where the labels will lie; kept if it is there already.
        report: Hears of every finished frame.
        processes: Frames grouped at the same time: a pair of full-size scans takes seconds.

    Raises:
        UserError: A file is missing or broken, a frame has no pose, or the disk refuses.
    """
    if not folder.exists():
        tasks = _tasks(source, KINDS[kind])
        work = partial(grouped, kind=kind, settings=settings)
        with contextlib.closing(in_order(work, tasks, processes)) as done:
            entries = _told(done, report, len(source.frames))
            write_clusters(folder, entries, {"kind": kind, **KINDS[kind].facts})
    return Clusters(folder)


def grouped(task: Task, *, kind: str, settings: ClusterSettings) -> Entry:
    """The labels of one frame and its company."""
    grounds = [
        ground_mask(scan.xyz, settings.ground, derive_seed("ground", frame))
        for frame, scan in zip(task.frames, task.scans, strict=True)
    ]
    if kind == "segments":
        labels = segment_labels(task.scans, grounds, settings.segments)
    else:
        labels = pseudo_instances(
            task.scans[0], grounds[0], task.witnesses, settings.pseudo_instances
        )
    stops = np.cumsum([len(scan.xyz) for scan in task.scans])
    parts: Sequence[Int64] = np.split(labels, stops[:-1])
    return Entry(task.frames, tuple(parts))


def _told(entries: Iterator[Entry], report: Report, total: int) -> Iterator[Entry]:
    for number, entry in enumerate(entries):
        report(number, total)
        yield entry
    report(total, total)


def _tasks(source: Source, kind: Kind) -> Iterator[Task]:
    """One per frame, in order."""
    loaded: ByteCache[PlacedCloud] = ByteCache(_CACHE_BYTES)
    company = Cast(kind.company, source.frames)
    around = Cast(Company(offsets=kind.witnesses), source.frames)

    def cloud(number: int) -> PlacedCloud:
        return loaded.get(number, lambda: _placed(source, source.frames[number]))

    for number in range(len(source.frames)):
        members = [member.frame for member in company.members([number])]
        # A keyframe that is not there is stood in for by the frame itself: no witness.
        near = [m.frame for m in around.members([number])[1:] if m.frame != number]
        yield Task(
            frames=tuple(source.frames[member].id for member in members),
            scans=tuple(map(cloud, members)),
            witnesses=tuple(map(cloud, near)),
        )


def _placed(source: Source, frame: Frame) -> PlacedCloud:
    sample = source.load(frame)
    if sample.lidar_to_global is None:
        raise UserError(
            f"frame {frame.id}", "It has no pose.", "Pretrain on a data set that has poses."
        )
    return PlacedCloud(sample.points, sample.lidar_to_global)
