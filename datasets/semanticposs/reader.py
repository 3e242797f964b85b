"""SemanticPOSS, read from disk: the real one or the built-in world's.

Offers `SemanticPoss`. Tags (which beams came back) are never read: no voxel method needs them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from lima_bench.common.errors import UserError
from lima_bench.datasets.card import Card
from lima_bench.datasets.kitti_texts import as_transforms, read_matrices, read_numbers, row_of_scan
from lima_bench.datasets.manifest import manifest_digest
from lima_bench.datasets.numbered_scans import class_ids, first_folder, scan_stems
from lima_bench.datasets.rigid import inverse, refuse_jumps
from lima_bench.datasets.sample import Float64, Frame, Sample
from lima_bench.datasets.scans import read_scan
from lima_bench.datasets.splits import FILE, sequences_of

SCANS_PER_S = 10.0

_TEXTS = ("calib.txt", "poses.txt")
_LAYOUT = (
    "Expected sequences/00/velodyne/000000.bin and labels/000000.label in <data>/semanticposs; "
    "say where <data> is with --data DIR or LIMA_BENCH_DATA."
)
_AGAIN = "Unpack the SemanticPOSS archive again so that each sequence has velodyne/ and labels/."
_POSES = "Get it again, or remove poses.txt: learning and scoring classes need no poses."


class SemanticPoss:
    """Reads SemanticPOSS: scans, labels without their instances, poses where they exist."""

    card = Card.beside(__file__)
    version = 1

    def frames(self, root: Path, split: str) -> Sequence[Frame]:
        """Scans of `split`: sequences in the split's order, scans by number.

        Raises:
            UserError: The root, a sequence or the split is missing, or a sequence's poses or
                calibration are broken.
        """
        base = _base(root)
        present = sorted(folder.name for folder in base.iterdir() if folder.is_dir())
        return [
            frame
            for name in sequences_of(self.card, root, split, present)
            for frame in _frames(base / name)
        ]

    def load(self, frame: Frame) -> Sample:
        """The scan of `frame` with its labels, and its pose where the sequence has poses.

        Raises:
            UserError: A file is missing, truncated or of another length than its companion.
        """
        folder: Path = frame.handle["folder"]
        stem: str = frame.handle["stem"]
        rows = read_scan(folder / "velodyne" / f"{stem}.bin", columns=4)
        raw = class_ids(folder / "labels" / f"{stem}.label", len(rows))
        poses = open_poses(folder, frame.handle["stamp"])
        pose = None if poses is None else row_of_scan(folder / "poses.txt", poses, stem)
        return Sample(
            frame=frame,
            points=np.ascontiguousarray(rows[:, :3]),
            intensity=np.ascontiguousarray(rows[:, 3]),
            labels=self.card.remap(raw),
            unknown_labels=self.card.unknown(raw),
            lidar_to_global=pose,
        )

    def manifest(self, root: Path) -> str:
        """Digest of calibrations, poses and splits, and of scans' and labels' names and sizes."""
        folders = sorted(_base(root).iterdir())
        return manifest_digest(
            root,
            contents=[*(folder / text for folder in folders for text in _TEXTS), root / FILE],
            sizes=[folder / part for folder in folders for part in ("velodyne", "labels")],
        )


def _base(root: Path) -> Path:
    return first_folder(root, ("sequences",), "SemanticPOSS", _LAYOUT)


def _frames(folder: Path) -> list[Frame]:
    """The scans of one sequence, by number."""
    stems = scan_stems(folder / "velodyne", _AGAIN)
    paths = [folder / text for text in _TEXTS]
    stamp = tuple(path.stat().st_mtime_ns if path.exists() else 0 for path in paths)
    open_poses(folder, stamp)
    return [
        Frame(
            id=f"{folder.name}/{stem}",
            sequence=folder.name,
            index=position,
            timestamp_s=int(stem) / SCANS_PER_S,
            handle={"folder": folder, "stamp": stamp, "stem": stem},
        )
        for position, stem in enumerate(stems)
    ]


@lru_cache(maxsize=64)
def open_poses(folder: Path, stamp: tuple[int, ...]) -> Float64 | None:
    """LiDAR to global (F, 4, 4) of a sequence, once per process and `stamp`; None without poses.

    As in KITTI, poses are a camera's: with `Tr` from the LiDAR to it, the LiDAR's are Tr^-1 P Tr.

    Raises:
        UserError: A text file is broken, calibration is absent, or the poses jump.
    """
    del stamp
    rows = read_numbers(folder / "poses.txt", 12)
    if rows is None:
        return None
    (matrix,) = read_matrices(folder / "calib.txt", ("Tr",), _POSES)
    to_camera = as_transforms(matrix)[0]
    poses: Float64 = inverse(to_camera) @ as_transforms(rows) @ to_camera
    names = [f"scan {i:06}" for i in range(len(poses))]
    try:
        refuse_jumps(folder / "poses.txt", poses, np.arange(len(poses)) / SCANS_PER_S, names)
    except UserError as error:
        raise UserError(error.where, error.what, _POSES) from error
    return poses
