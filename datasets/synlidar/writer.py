"""Recordings of the built-in world as SynLiDAR's SubDataset on disk.

Offers `write_recording` (one sequence; run many at once) and `write_tables` (nothing to write: the
sequences are the published ones, so the card's splits hold). The release keeps one scan in ten of
a simulation at 10 Hz, so scans that are a second apart have numbers that are ten apart.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np

from lima_bench.datasets.sample import Int64
from lima_bench.datasets.synlidar.raw_ids import CROWD, FEMALE, KID, MALE, PICK_UP, RAW
from lima_bench.datasets.synlidar.reader import SCANS_PER_S
from lima_bench.datasets.world.groups import grouped
from lima_bench.datasets.world.labels import Label
from lima_bench.datasets.world.recording import Moment, Recording

VAN_M = 1.9
"""The world has no pick-ups: its vans, the only cars that are taller than this, are called so."""


def write_recording(recording: Recording, root: Path) -> str:
    """Write one sequence: velodyne and labels; a simulation has no stray returns, so none is kept.

    Returns:
        The sequence's name.

    Raises:
        ValueError: Two scans would have the same number.
    """
    numbers = _numbers(recording)
    if len(set(numbers)) < len(numbers):
        raise ValueError(f"{recording.name}: scans less than {1 / SCANS_PER_S} s apart")
    folder = root / recording.name
    for part in ("velodyne", "labels"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for number, moment in zip(numbers, recording.moments, strict=True):
        scan = moment.scan
        kept = scan.label != Label.NOISE
        rows = np.column_stack([scan.points, scan.intensity])[kept].astype("<f4")
        raw = raw_ids(moment)[kept].astype("<u4")
        (folder / "velodyne" / f"{number:06}.bin").write_bytes(rows.tobytes())
        (folder / "labels" / f"{number:06}.label").write_bytes(raw.tobytes())
    return recording.name


def write_tables(parts: Iterable[str], root: Path, *, pretrain: Collection[str]) -> None:
    """Write nothing, and refuse to promise sequences for pretraining: there are no images.

    Raises:
        ValueError: `pretrain` is not empty.
    """
    del parts, root
    if pretrain:
        raise ValueError(f"SynLiDAR has no images to pretrain on: {sorted(pretrain)}")


def raw_ids(moment: Moment) -> Int64:
    """Raw ids (N,) of the scan's points: vans are pick-ups, people are of two kinds or a crowd."""
    scan = moment.scan
    raw = RAW[scan.label].copy()
    vans = [b.instance for b in moment.annotations if b.size[2] > VAN_M]
    raw[(scan.label == Label.CAR) & np.isin(scan.instance, vans)] = PICK_UP
    raw[(raw == MALE) & (scan.instance % 2 == 0)] = FEMALE
    together = np.isin(scan.instance, list(grouped(moment.annotations)))
    raw[together & np.isin(raw, (FEMALE, MALE, KID))] = CROWD
    return raw


def _numbers(recording: Recording) -> list[int]:
    """Of every scan, by its time since the first."""
    stamps = [moment.scan.timestamp_us for moment in recording.moments]
    return [round((stamp - stamps[0]) * 1e-6 * SCANS_PER_S) for stamp in stamps]
