"""SynLiDAR, read from disk: either real release or the built-in world's.

Offers `SynLidar`. A simulation's scans come without poses, times and images.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lima_bench.datasets.card import Card
from lima_bench.datasets.manifest import manifest_digest
from lima_bench.datasets.numbered_scans import class_ids, first_folder, nothing_here, scan_stems
from lima_bench.datasets.sample import Frame, Sample
from lima_bench.datasets.scans import read_scan
from lima_bench.datasets.splits import FILE, sequences_of

SCANS_PER_S = 10.0
"""Taken as that of the sensor that is simulated; dates scans by their number, gaps included."""

_LAYOUT = (
    "Expected 00/velodyne/000000.bin and 00/labels/000000.label in <data>/synlidar (or below a "
    "folder sequences there); say where <data> is with --data DIR or LIMA_BENCH_DATA."
)
_AGAIN = "Join and unpack the archives of this sequence again (cat 00* > 00.tar.gz)."


class SynLidar:
    """Reads SynLiDAR: scans, labels without what lies in their high half."""

    card = Card.beside(__file__)
    version = 1

    def frames(self, root: Path, split: str) -> Sequence[Frame]:
        """Scans of `split`: sequences in the split's order, scans by number; numbers may have gaps.

        Raises:
            UserError: The root, a sequence or the split is missing.
        """
        folders = {folder.name: folder for folder in _sequences(root)}
        return [
            frame
            for name in sequences_of(self.card, root, split, folders)
            for frame in _frames(folders[name])
        ]

    def load(self, frame: Frame) -> Sample:
        """The scan of `frame` with its labels.

        Raises:
            UserError: A file is missing, truncated or of another length than its companion.
        """
        folder: Path = frame.handle["folder"]
        stem: str = frame.handle["stem"]
        rows = read_scan(folder / "velodyne" / f"{stem}.bin", columns=4)
        raw = class_ids(folder / "labels" / f"{stem}.label", len(rows))
        return Sample(
            frame=frame,
            points=np.ascontiguousarray(rows[:, :3]),
            intensity=np.ascontiguousarray(rows[:, 3]),
            labels=self.card.remap(raw),
            unknown_labels=self.card.unknown(raw),
        )

    def manifest(self, root: Path) -> str:
        """Digest of the splits' content, and of scans' and labels' names and sizes."""
        folders = _sequences(root)
        return manifest_digest(
            root,
            contents=[root / FILE],
            sizes=[folder / part for folder in folders for part in ("velodyne", "labels")],
        )


def _sequences(root: Path) -> list[Path]:
    """The folders of sequences: below ``sequences`` if that exists, else below the root itself."""
    base = first_folder(root, ("sequences", "."), "SynLiDAR", _LAYOUT)
    folders = sorted(folder for folder in base.iterdir() if (folder / "velodyne").is_dir())
    if not folders:
        raise nothing_here(base, "SynLiDAR", _LAYOUT)
    return folders


def _frames(folder: Path) -> list[Frame]:
    """The scans of one sequence, by number."""
    return [
        Frame(
            id=f"{folder.name}/{stem}",
            sequence=folder.name,
            index=position,
            timestamp_s=int(stem) / SCANS_PER_S,
            handle={"folder": folder, "stem": stem},
        )
        for position, stem in enumerate(scan_stems(folder / "velodyne", _AGAIN))
    ]
