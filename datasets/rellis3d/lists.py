"""RELLIS-3D's frame lists: which scans a split has, as ``pt_train.lst`` and its sisters say.

Offers `Entry` and `read_list`. A line has two paths relative to the data root, of a scan and of its
labels. Both lists are taken line by line: sorting scans and labels apart, as the authors' parser
does, pairs them wrongly as soon as one is missing.
"""

from __future__ import annotations

import warnings
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from lima_bench.common.errors import UserError, unknown_name
from lima_bench.datasets.card import Card
from lima_bench.datasets.splits import IncompleteData

_ARCHIVE = "the LiDAR split file of the RELLIS-3D release"


class Entry(NamedTuple):
    """One line of a list.

    Attributes:
        sequence: ``00000`` .. ``00004``.
        stem: The scan's number as in its file name, ``000104``.
        scan: Path of the scan, relative to the data root.
        labels: Path of its labels, likewise.
    """

    sequence: str
    stem: str
    scan: str
    labels: str


def read_list(card: Card, root: Path, split: str) -> list[Entry]:
    """The frames of `split` whose sequence lies on disk, by sequence and number.

    Args:
        card: Says which file lists which split.
        root: The data root.
        split: ``train``, ``val`` or ``test``.

    Raises:
        UserError: There is no such split, its list is absent or broken, or none of it is on disk.

    Warns:
        IncompleteData: Some of its sequences are not on disk.
    """
    lists: dict[str, str] = card.options["lists"]
    if split not in lists:
        raise unknown_name(root, f"{card.name} split", split, [*lists, "pretrain"])
    path = root / lists[split]
    if not path.is_file():
        raise UserError(
            path if root.is_dir() else root,
            f"The list of {card.title}'s {split} frames is absent."
            if root.is_dir()
            else "This folder does not exist.",
            "Expected pt_train.lst, pt_val.lst, pt_test.lst and 00000/os1_cloud_node_kitti_bin/"
            f"000000.bin in <data>/rellis3d ({_ARCHIVE} and its scans); say where <data> is with "
            "--data DIR or LIMA_BENCH_DATA.",
        )
    entries = sorted(
        _entry(f"{path}:{number}", line)
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1)
        if line.strip()
    )
    _refuse_doubles(path, entries)
    return _present(card, path, root, split, entries)


def _entry(where: str, line: str) -> Entry:
    words = line.split()
    if len(words) != 2:
        raise UserError(
            where,
            f"A line has two paths, of a scan and of its labels; this one has {len(words)}.",
            f"Get {_ARCHIVE} again.",
        )
    scan, labels = (PurePosixPath(word) for word in words)
    if any(path.is_absolute() or ".." in path.parts for path in (scan, labels)):
        raise UserError(
            where, "A path leads out of the data root.", "List paths relative to the data root."
        )
    named = len(scan.parts) >= 3 and scan.suffix == ".bin" and scan.stem.isdecimal()
    if not named or (labels.parts[:1], labels.stem) != (scan.parts[:1], scan.stem):
        raise UserError(
            where,
            f'"{line.strip()}" does not name a scan and the labels of the same scan.',
            "Expected 00000/os1_cloud_node_kitti_bin/000000.bin "
            "00000/os1_cloud_node_semantickitti_label_id/000000.label.",
        )
    return Entry(scan.parts[0], scan.stem, str(scan), str(labels))


def _refuse_doubles(path: Path, entries: list[Entry]) -> None:
    """A frame that is listed twice would count twice, in training and in scores."""
    for one, other in pairwise(entries):
        if one[:2] == other[:2]:
            raise UserError(
                path, f"Scan {one.scan} is listed twice.", f"Get {_ARCHIVE} again, or mend it."
            )


def _present(card: Card, path: Path, root: Path, split: str, entries: list[Entry]) -> list[Entry]:
    """Those whose folder of scans exists."""
    folders = {entry.sequence: root / Path(entry.scan).parent for entry in entries}
    here = {name for name, folder in folders.items() if folder.is_dir()}
    if not here:
        missing = next(iter(folders.values()), None)
        raise UserError(
            missing or path,
            f"None of the {len(entries)} scans of {card.title} {split} lies here."
            if missing
            else "This list is empty.",
            f"Download the scans that {path.name} lists, or get {_ARCHIVE} again.",
        )
    if len(here) < len(folders):
        warnings.warn(
            f"{root}: {len(here)} of {len(folders)} sequences of {card.title} {split} lie here; "
            "the others are left out.",
            IncompleteData,
            stacklevel=3,
        )
    return [entry for entry in entries if entry.sequence in here]
