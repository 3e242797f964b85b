"""Recordings of the built-in world as ScribbleKITTI on disk: scans, scribbles, dense labels of val.

Offers `write_recording` (one sequence; run many at once) and `write_tables` (nothing to write: the
sequences are the published ones, so the card's splits hold).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np

from lima_bench.datasets.scribblekitti.raw_ids import MOVING_RAW, RAW
from lima_bench.datasets.scribblekitti.scribbles import scribbled
from lima_bench.datasets.semantickitti.writer import (
    packed_labels,
    refuse_what_cannot_be_said,
    write_points,
    write_trajectory,
)
from lima_bench.datasets.world.recording import Recording

_DENSE = ("val",)


def write_recording(recording: Recording, root: Path) -> str:
    """Write one sequence: velodyne, calib.txt, poses.txt, times.txt, and its labels.

    A validation sequence gets ``labels``; the others get ``scribbles``: classes without objects'
    numbers, 0 where nobody scribbled.

    Returns:
        The sequence's name.

    Raises:
        ValueError: The recording does what the format cannot say.
    """
    refuse_what_cannot_be_said(recording)
    folder = root / "sequences" / recording.name
    labels = folder / ("labels" if recording.split in _DENSE else "scribbles")
    for part in (folder / "velodyne", labels):
        part.mkdir(parents=True, exist_ok=True)
    dense = labels.name == "labels"
    marked = None if dense else scribbled(recording)
    for number, moment in enumerate(recording.moments):
        write_points(moment.scan, folder / "velodyne" / f"{number:06}.bin")
        values = packed_labels(moment.scan, RAW, MOVING_RAW)
        if marked is not None:
            values = np.where(marked[number], values & 0xFFFF, 0).astype("<u4")
        (labels / f"{number:06}.label").write_bytes(values.tobytes())
    write_trajectory(recording, folder)
    return recording.name


def write_tables(parts: Iterable[str], root: Path, *, pretrain: Collection[str]) -> None:
    """Write nothing, and refuse to promise sequences for pretraining: there are no images.

    Raises:
        ValueError: `pretrain` is not empty.
    """
    del parts, root
    if pretrain:
        raise ValueError(f"ScribbleKITTI has no images to pretrain on: {sorted(pretrain)}")
