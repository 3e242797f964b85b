"""Recordings of the built-in world as SemanticSTF on disk.

Offers `write_recording` (one frame; run many at once) and `write_tables` (weather lists and
``semanticstf.yaml``, once).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from lima_bench.datasets.card import Card
from lima_bench.datasets.semanticstf.raw_ids import RAW
from lima_bench.datasets.world.recording import LidarScan, Recording

LISTED = ("val", "test")
"""Splits whose weather is listed, as in the released set."""


@dataclass(frozen=True)
class RecordingTables:
    """What one recording adds to the lists; plain data that travels between processes."""

    name: str
    split: str
    weather: str


def write_recording(recording: Recording, root: Path) -> RecordingTables:
    """Write the scan and the labels of a recording of one frame.

    Columns are x, y, z, intensity 0..255 in whole numbers, and the beam's number, which is what
    the fifth is taken for (assumed).

    Raises:
        ValueError: There is more than one frame: the set has no sequences.
    """
    if len(recording.moments) != 1:
        raise ValueError(f"{recording.name}: frames of SemanticSTF stand alone")
    folder = root / recording.split
    for part in ("velodyne", "labels"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    _write_scan(recording.moments[0].scan, folder, recording.name)
    return RecordingTables(recording.name, recording.split, recording.air)


def write_tables(
    tables: Iterable[RecordingTables], root: Path, *, pretrain: Collection[str]
) -> None:
    """Write ``val/val.txt``, ``test/test.txt`` and ``semanticstf.yaml``.

    Args:
        tables: What `write_recording` returned.
        root: The data root.
        pretrain: Nothing: the set has no images.
    """
    tables = list(tables)
    for split in LISTED:
        lines = [f"{part.name},{part.weather}\n" for part in tables if part.split == split]
        if lines:
            (root / split / f"{split}.txt").write_text("".join(lines))
    card = Card.beside(__file__)
    facts = {"labels": card.raw_names, "learning_map": card.labels}
    (root / "semanticstf.yaml").write_text(yaml.safe_dump(facts, sort_keys=False))


def _write_scan(scan: LidarScan, folder: Path, name: str) -> None:
    intensity = np.rint(scan.intensity * 255)
    rows = np.column_stack([scan.points, intensity, scan.ring]).astype("<f4")
    (folder / "velodyne" / f"{name}.bin").write_bytes(rows.tobytes())
    (folder / "labels" / f"{name}.label").write_bytes(RAW[scan.label].astype("<i4").tobytes())
