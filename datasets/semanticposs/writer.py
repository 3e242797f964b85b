"""Recordings of the built-in world as SemanticPOSS on disk.

Offers `write_recording` (one sequence; run many at once) and `write_tables` (nothing to write: the
sequences are the published ones, so the card's splits hold). Points lie in the order of the range
image: beam after beam from the highest down, in a beam by column. The tag file says which of its
cells hold a point.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lima_bench.datasets.sample import Float64, Int64
from lima_bench.datasets.semantickitti.writer import (
    packed_labels,
    refuse_what_cannot_be_said,
    write_trajectory,
)
from lima_bench.datasets.semanticposs.raw_ids import RAW, TWO_OR_MORE
from lima_bench.datasets.world.groups import grouped
from lima_bench.datasets.world.recording import LidarScan, Moment, Recording

_PERSON = 4


def write_recording(recording: Recording, root: Path) -> str:
    """Write one sequence: velodyne, labels, tag, calib.txt, poses.txt.

    There is no times.txt: scans come at 10 Hz.

    Returns:
        The sequence's name.

    Raises:
        ValueError: The recording does what the format cannot say.
    """
    refuse_what_cannot_be_said(recording)
    folder = root / "sequences" / recording.name
    for part in ("velodyne", "labels", "tag"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for number, moment in enumerate(recording.moments):
        _write_moment(moment, folder, f"{number:06}")
    write_trajectory(recording, folder)
    (folder / "times.txt").unlink()
    return recording.name


def write_tables(parts: Iterable[str], root: Path, *, pretrain: Collection[str]) -> None:
    """Write nothing, and refuse to promise sequences for pretraining: there are no images.

    Raises:
        ValueError: `pretrain` is not empty.
    """
    del parts, root
    if pretrain:
        raise ValueError(f"SemanticPOSS has no images to pretrain on: {sorted(pretrain)}")


def grid_cells(scan: LidarScan) -> Int64:
    """The cell (N,) of every point in the range image: rows are beams, the highest first.

    Raises:
        ValueError: Two points share a cell.
    """
    beams, columns = len(scan.beams.elevations_rad), len(scan.beams.azimuths_rad)
    cells: Int64 = (beams - 1 - scan.ring) * columns + scan.column
    if len(np.unique(cells)) != len(cells):
        raise ValueError("a tag says one point a cell: second returns cannot be said")
    return cells


def intensity_of(scan: LidarScan) -> Float64:
    """0..255 (N,), whole numbers. The real sensor's are dark (mean 13.9): squares come near it."""
    values: Float64 = np.rint(255 * scan.intensity.astype(np.float64) ** 2)
    return values


def raw_labels(moment: Moment) -> npt.NDArray[np.uint32]:
    """Labels (N,) of the scan's points in its own order, the object's number in the high half."""
    scan = moment.scan
    values = packed_labels(scan, RAW, RAW)
    together = np.isin(scan.instance, list(grouped(moment.annotations)))
    return np.where(
        together & (RAW[scan.label] == _PERSON), values - _PERSON + TWO_OR_MORE, values
    ).astype("<u4")


def _write_moment(moment: Moment, folder: Path, stem: str) -> None:
    scan, cells = moment.scan, grid_cells(moment.scan)
    order = np.argsort(cells)
    rows = np.column_stack([scan.points, intensity_of(scan)]).astype("<f4")
    tags = np.zeros(len(scan.beams.elevations_rad) * len(scan.beams.azimuths_rad), dtype="u1")
    tags[cells] = 1
    (folder / "velodyne" / f"{stem}.bin").write_bytes(rows[order].tobytes())
    (folder / "labels" / f"{stem}.label").write_bytes(raw_labels(moment)[order].tobytes())
    (folder / "tag" / f"{stem}.tag").write_bytes(tags.tobytes())
