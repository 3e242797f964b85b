"""ScribbleKITTI, read from disk: the real one or the built-in world's.

Offers `ScribbleKitti`. Learning reads ``scribbles/`` (about 8 % of the points, 0 elsewhere), the
card's dense splits read ``labels/``. See `lima_bench.datasets.scribblekitti.roots` for where.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from lima_bench.common.errors import UserError
from lima_bench.common.hashing import digest
from lima_bench.datasets.card import Card
from lima_bench.datasets.manifest import manifest_digest
from lima_bench.datasets.numbered_scans import class_ids
from lima_bench.datasets.sample import Frame, Sample, Sweep
from lima_bench.datasets.scans import read_scan
from lima_bench.datasets.scribblekitti.roots import Roots, find_roots
from lima_bench.datasets.semantickitti.sequence import lidar_pose, list_scans, open_drive
from lima_bench.datasets.semantickitti.sweeps import scans_before
from lima_bench.datasets.splits import FILE, sequences_of

_TEXTS = ("calib.txt", "poses.txt", "times.txt")


class ScribbleKitti:
    """Reads SemanticKITTI's scans with scribbled labels for training, dense ones for validation."""

    card = Card.beside(__file__)
    version = 1

    def frames(self, root: Path, split: str) -> Sequence[Frame]:
        """Scans of `split`: sequences in the split's order, scans by number.

        Raises:
            UserError: The root, the split, a sequence, its scribbles or its dense labels are
                missing, or its calibration, poses or times are broken.
        """
        roots = find_roots(root, self.card.options["scans_beside"])
        homes = roots.homes()
        if not homes:
            raise UserError(
                roots.own,
                "There are scribbles here but no scans.",
                f"Put velodyne/ beside scribbles/, or have SemanticKITTI in {roots.beside}.",
            )
        dense = split in self.card.options["dense_splits"]
        return [
            frame
            for name in sequences_of(self.card, root, split, sorted(homes))
            for frame in _frames(roots, homes[name], dense)
        ]

    def load(self, frame: Frame) -> Sample:
        """The scan of `frame` with its scribbles or dense labels, and its pose where it has one.

        `Sample.moving` is None for scribbles: most points are not annotated. Images are left to
        SemanticKITTI, whose they are.

        Raises:
            UserError: A file is missing, truncated or of another length than its companion.
        """
        drive = open_drive(frame.handle["folder"], frame.handle["stamp"])
        stem: str = frame.handle["stem"]
        rows = read_scan(drive.folder / "velodyne" / f"{stem}.bin", columns=4)
        raw = class_ids(frame.handle["labels"] / f"{stem}.label", len(rows))
        dense: bool = frame.handle["dense"]
        return Sample(
            frame=frame,
            points=np.ascontiguousarray(rows[:, :3]),
            intensity=np.ascontiguousarray(rows[:, 3]),
            labels=self.card.remap(raw),
            unknown_labels=self.card.unknown(raw),
            moving=np.isin(raw, self.card.moving_raw) if dense else None,
            lidar_to_global=lidar_pose(drive, stem),
        )

    def sweeps(self, frame: Frame, n: int) -> tuple[Sweep, ...]:
        """The `n` latest scans of the sequence before `frame`, the latest first.

        Raises:
            UserError: A scan is missing or broken, or the sequence has no poses.
        """
        return scans_before(frame, n)

    def manifest(self, root: Path) -> str:
        """Digest of both roots: texts and splits by content, scans and labels by name and size.

        Raises:
            UserError: There is no ScribbleKITTI at `root`.
        """
        roots = find_roots(root, self.card.options["scans_beside"])
        homes = roots.homes().values()
        own = [folder for folder in homes if folder.parent == roots.own]
        scribbles = [folder / "scribbles" for folder in roots.own.iterdir()]
        away = [folder for folder in homes if folder.parent != roots.own]
        return digest(
            {
                "own": _part(root, own, [root / FILE], scribbles),
                "beside": _part(roots.beside, away, [], []) if away else "",
            }
        )


def _frames(roots: Roots, home: Path, dense: bool) -> list[Frame]:
    """The scans of one sequence, each with the folder that its labels are read from."""
    labels = roots.dense(home) if dense else roots.scribbles(home.name)
    return [
        replace(frame, handle={**frame.handle, "labels": labels, "dense": dense})
        for frame in list_scans(home)
    ]


def _part(root: Path, homes: Sequence[Path], texts: list[Path], folders: list[Path]) -> str:
    """Digest of one root's share."""
    return manifest_digest(
        root,
        contents=[*texts, *(home / text for home in homes for text in _TEXTS)],
        sizes=[*folders, *(home / part for home in homes for part in ("velodyne", "labels"))],
    )
