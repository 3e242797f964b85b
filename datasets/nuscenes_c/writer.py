"""Recordings of the built-in world as nuScenes-C on disk.

Offers `write_recording` (24 corrupted copies of each scan of one scene) and `write_tables` (the
clean set's tables, once). Clean scans and images are not part of the set and are not written.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np

from lima_bench.datasets.card import Card
from lima_bench.datasets.corruptions.frame import RawFrame
from lima_bench.datasets.nuscenes.names import file_name, lidar_token
from lima_bench.datasets.nuscenes.rows import RecordingTables, recording_tables
from lima_bench.datasets.nuscenes.tables import LIDAR
from lima_bench.datasets.nuscenes.writer import VERSION
from lima_bench.datasets.nuscenes.writer import write_tables as write_clean_tables
from lima_bench.datasets.nuscenes_c.generate import write_trees
from lima_bench.datasets.nuscenes_c.raw_ids import RAW
from lima_bench.datasets.splits import FILE
from lima_bench.datasets.world.recording import LidarScan, Recording


def write_recording(recording: Recording, root: Path) -> RecordingTables:
    """Write every scan of one scene under every corruption; labels lie in ``v1.0-trainval``.

    Returns:
        Its rows of the clean set's tables, for `write_tables`.
    """
    for moment in recording.moments:
        name = file_name(recording, LIDAR, moment.scan.timestamp_us, is_key=True)
        token = lidar_token(recording, moment.scan.timestamp_us)
        write_trees(clean_frame(moment.scan), name, token, root)
    return recording_tables(recording, VERSION)


def clean_frame(scan: LidarScan) -> RawFrame:
    """The scan as the nuScenes writer would store it."""
    return RawFrame(
        points=scan.points,
        intensity=np.rint(scan.intensity * 255).astype(np.float32),
        ring=scan.ring,
        labels=RAW[scan.label],
    )


def write_tables(
    tables: Iterable[RecordingTables], root: Path, *, pretrain: Collection[str]
) -> None:
    """Write the clean set's tables and a ``splits.json`` in which every split has all scenes.

    Args:
        tables: What `write_recording` returned, in the order of scenes.
        root: The data root.
        pretrain: Nothing: nobody is taught on corrupted scans.

    Raises:
        ValueError: A recording is not of split ``val``.
    """
    tables = list(tables)
    strange = [part.name for part in tables if part.split != "val"]
    if strange:
        raise ValueError(f"nuScenes-C has no train scenes: {strange}")
    write_clean_tables(tables, root, pretrain=pretrain)
    (root / _LIDARSEG.format(VERSION)).unlink()
    scenes = [part.name for part in tables]
    splits = {split: scenes for split in Card.beside(__file__).splits}
    (root / FILE).write_text(json.dumps(splits, indent=1))


_LIDARSEG = "{}/lidarseg.json"
"""Table of clean label files; there are none here."""
