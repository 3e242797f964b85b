"""DAPS-3D, read from disk: a cleaning robot's scans (DAPS-2) or KITTI's map re-scanned (DAPS-1).

Offers `Daps3d`. The two parts are two data sets that share a name: the card says which is read,
``daps3d`` DAPS-2 and ``daps3d:daps1`` DAPS-1, and the id of every frame begins with the part.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from lima_bench.common.errors import UserError
from lima_bench.datasets.card import Card
from lima_bench.datasets.manifest import manifest_digest
from lima_bench.datasets.npy import read_npy_labels, read_npy_scan
from lima_bench.datasets.numbered_scans import class_ids
from lima_bench.datasets.sample import Float32, Frame, Int64, Sample
from lima_bench.datasets.scans import read_scan, refuse_strange_points
from lima_bench.datasets.splits import FILE, sequences_of

SCANS_PER_S = 10.0
"""An Ouster's usual rate, which dates the scans: the files do not tell when they were taken."""

_SCANS = (".bin", ".npy")


class Daps3d:
    """Reads the part of DAPS-3D that its card names; points, intensity and labels."""

    card = Card.beside(__file__)
    version = 1

    def frames(self, root: Path, split: str) -> Sequence[Frame]:
        """Scans of `split`: sequences in the split's order, scans by number.

        A ``splits.json`` counts in the part's own folder, as the parts have other sequences.

        Raises:
            UserError: The part, a sequence or the split is missing.
        """
        part = self._part(root)
        present = sorted(folder.name for folder in (part / "data").iterdir() if folder.is_dir())
        return [
            frame
            for name in sequences_of(self.card, part, split, present)
            for frame in _frames(part, name)
        ]

    def load(self, frame: Frame) -> Sample:
        """The scan of `frame` with its labels; beams without a return are left out.

        Raises:
            UserError: A file is missing, truncated or of another length than its companion.
        """
        path: Path = frame.handle["scan"]
        rows = _read_rows(path)
        raw = _raw_labels(path, len(rows))
        returned = (rows[:, :3] != 0).any(axis=1)
        rows, raw = rows[returned], raw[returned]
        refuse_strange_points(path, rows)
        return Sample(
            frame=frame,
            points=np.ascontiguousarray(rows[:, :3]),
            intensity=np.ascontiguousarray(rows[:, 3]),
            labels=self.card.remap(raw),
            unknown_labels=self.card.unknown(raw),
            n_dropped=int((~returned).sum()),
        )

    def files(self, frame: Frame) -> list[Path]:
        """Scan and label file of `frame`, whether or not they exist."""
        scan: Path = frame.handle["scan"]
        return [scan, _label_file(scan)]

    def manifest(self, root: Path) -> str:
        """Digest of the part's sensor and splits, and of all its files' names and sizes."""
        part = self._part(root)
        return manifest_digest(
            root, contents=[part / "params.yml", part / FILE], sizes=[part / "data"]
        )

    def _part(self, root: Path) -> Path:
        """The folder of the part; its name has a hyphen in the documents, none in the code.

        Raises:
            UserError: There is no such folder, or one of each name.
        """
        names: list[str] = self.card.options["folders"]
        found = [root / name for name in names if (root / name / "data").is_dir()]
        if not found:
            raise UserError(
                root,
                f"There is no {names[0]} here." if root.is_dir() else "This folder does not exist.",
                f"Expected {names[0]}/data/<sequence>/clouds/<n>.bin and labels/<n>.label in "
                "<data>/daps3d; say where <data> is with --data DIR or LIMA_BENCH_DATA.",
            )
        if len(found) > 1:
            raise UserError(
                root, f"{' and '.join(names)} both lie here.", "They are one part; keep one."
            )
        return found[0]


def _frames(part: Path, name: str) -> list[Frame]:
    """The scans of one sequence, by number where all names are numbers."""
    folder = part / "data" / name / "clouds"
    scans = [path for suffix in _SCANS for path in folder.glob(f"*{suffix}")]
    if not scans:
        raise UserError(
            folder, "There are no scans here.", "Unpack this sequence of the data set again."
        )
    numbered = all(path.stem.isdecimal() for path in scans)
    scans.sort(key=lambda path: (int(path.stem) if numbered else 0, path.stem))
    for one, next_one in pairwise(scans):
        if one.stem == next_one.stem:
            raise UserError(
                next_one, f"{one.name} lies beside this file.", "They are one scan; keep one."
            )
    # Not the folder's own name, which may or may not have a hyphen.
    prefix = part.name.replace("-", "")
    return [
        Frame(
            id=f"{prefix}/{name}/{path.stem}",
            sequence=name,
            index=position,
            timestamp_s=position / SCANS_PER_S,
            handle={"scan": path},
        )
        for position, path in enumerate(scans)
    ]


def _read_rows(path: Path) -> Float32:
    """x, y, z and intensity of every beam (N, 4)."""
    return read_npy_scan(path, (4,)) if path.suffix == ".npy" else read_scan(path, columns=4)


def _raw_labels(scan: Path, n_points: int) -> Int64:
    """Class ids (N,): the low half of each label, as in SemanticKITTI."""
    path = _label_file(scan)
    if path.suffix == ".npy":
        return read_npy_labels(path, n_points) & 0xFFFF
    return class_ids(path, n_points)


def _label_file(scan: Path) -> Path:
    """Where the scan's labels lie; ``.npy`` if only that exists, as the authors' loader has it."""
    label = scan.parent.parent / "labels" / f"{scan.stem}.label"
    as_npy = label.with_suffix(".npy")
    return as_npy if as_npy.is_file() and not label.exists() else label
