"""Sequences in KITTI's manner: folders of numbered scans with one label file beside each.

Offers `first_folder` (where the sequences lie), `nothing_here` (they lie nowhere), `scan_stems` (a
sequence's scans by number) and `class_ids` (labels without the instances in their high half).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lima_bench.common.errors import UserError
from lima_bench.datasets.sample import Int64
from lima_bench.datasets.scans import read_labels


def first_folder(root: Path, places: tuple[str, ...], title: str, how: str) -> Path:
    """The first of the folders `places` below a data root.

    Args:
        root: The data root.
        places: Folders relative to it, in the order of trying.
        title: Of the data set.
        how: What should lie there, and how to say where it does.

    Raises:
        UserError: There is none.
    """
    for place in places:
        if (root / place).is_dir():
            return root / place
    raise nothing_here(root, title, how)


def nothing_here(root: Path, title: str, how: str) -> UserError:
    """The error for a data root without the data set; arguments as of `first_folder`."""
    what = f"There is no {title} here." if root.is_dir() else "This folder does not exist."
    return UserError(root, what, how)


def scan_stems(folder: Path, how: str) -> list[str]:
    """Names of a sequence's scans without their suffix, by number.

    Args:
        folder: Of the scans themselves, ``velodyne``.
        how: Where scans come from.

    Raises:
        UserError: There are none, or a file is not named by a number.
    """
    stems = sorted(path.stem for path in folder.glob("*.bin"))
    if not stems:
        raise UserError(folder, "There are no scans here.", how)
    wrong = next((stem for stem in stems if not stem.isdecimal()), None)
    if wrong is not None:
        raise UserError(
            folder / f"{wrong}.bin",
            "A scan is named by its number, as 000000.bin.",
            "Rename or remove this file.",
        )
    return stems


def class_ids(path: Path, n_points: int) -> Int64:
    """Raw class ids (N,): the low half of a ``.label`` file's uint32; the high half counts objects.

    Raises:
        UserError: The file is missing or has not exactly `n_points` labels.
    """
    return (read_labels(path, "<u4", n_points) & 0xFFFF).astype(np.int64)
