"""How much of a data set lies on disk: splits, sequences, frames, files.

Offers `Extent` and `extents_of` (by split), `Folder` and `stock_of` (files and bytes by folder),
and `check_files` (whether the files that the frames name are there). Nothing is loaded here.
"""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lima_bench.common.errors import UserError
from lima_bench.common.progress import Report
from lima_bench.datasets.api import Dataset, FilesListed
from lima_bench.datasets.sample import Frame
from lima_bench.datasets.splits import FILE, IncompleteData, known_splits
from lima_bench.suites.examine.findings import Findings

ROLES = ("pretrain", "train", "val")
"""Splits that suites read; of others a part is enough."""

_SHOWN_NAMES = 6
_MOST_FOLDERS = 16
_REPORT_EVERY = 5000


@dataclass(frozen=True)
class Extent:
    """What lies here of one split.

    Attributes:
        listed: Sequences that the card, or the root's ``splits.json``, names; empty where the
            list is of something else (nuScenes-C: scenes, of which each lies here 24 times).
        here: Those of which there are frames; also sequences that no list names.
        missing: Listed ones without a frame.
        frames: What the reader gives, empty if it refuses.
    """

    listed: tuple[str, ...]
    here: tuple[str, ...]
    missing: tuple[str, ...]
    frames: Sequence[Frame]


@dataclass(frozen=True)
class Folder:
    """A part of what lies on disk."""

    n_files: int
    n_bytes: int


def extents_of(
    reader: Dataset, root: Path, findings: Findings, report: Report
) -> dict[str, Extent]:
    """Every split that is listed, and those that suites read and that the reader knows unlisted."""
    listed = known_splits(reader.card, root)
    names = list(dict.fromkeys([*listed, *ROLES]))
    extents = {}
    for done, split in enumerate(names, start=1):
        # Where nothing is listed (Waymo: folders tell) a set still has to have these two.
        due = split in listed or (not listed and split in ("train", "val"))
        extent = _extent_of(reader, root, split, findings, due=due)
        if extent is not None:
            extents[split] = extent
        report(done, len(names))
    _check_disjoint(root, extents, findings)
    return extents


def _extent_of(
    reader: Dataset, root: Path, split: str, findings: Findings, *, due: bool
) -> Extent | None:
    """The frames of one split, and what of it is missing; None if it is not `due` and not there."""
    listed = tuple(known_splits(reader.card, root).get(split, ()))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", IncompleteData)  # told below, with the names
            frames = reader.frames(root, split)
    except UserError as error:
        if not due:
            return None
        findings.error(error, "fault" if split in ROLES else "warning")
        return Extent(listed, (), listed, ())
    here = tuple(dict.fromkeys(frame.sequence for frame in frames))
    known = frozenset(here) & frozenset(listed)
    missing = tuple(name for name in listed if known and name not in known)
    extent = Extent(listed if known else (), here, missing, frames)
    _tell_missing(reader, root, split, extent, findings)
    _check_order(f"{root}: {split}", frames, findings)
    return extent


def _check_disjoint(root: Path, extents: Mapping[str, Extent], findings: Findings) -> None:
    """A frame that is trained on must not be scored."""
    train, val = (
        {frame.id for frame in extents[split].frames} if split in extents else set()
        for split in ("train", "val")
    )
    if both := sorted(train & val):
        findings.fault(
            root,
            f"{len(both)} frames belong to train and to val, {both[0]} first.",
            f"Mend the lists of the data set, or its {FILE}.",
        )


def stock_of(root: Path, report: Report) -> dict[str, Folder]:
    """Files and bytes below `root`; hidden files left out.

    By folders of the second level; by those of the first where these are many.
    """
    files: Counter[tuple[str, ...]] = Counter()
    sizes: Counter[tuple[str, ...]] = Counter()
    for done, entry in enumerate(_walk(root), start=1):
        place = Path(entry.path).relative_to(root).parts[:-1][:2]
        files[place] += 1
        sizes[place] += entry.stat().st_size
        if done % _REPORT_EVERY == 0:
            report(done, 0)
    depth = 2 if len(files) <= _MOST_FOLDERS else 1
    stock: dict[str, Folder] = {}
    for place in sorted(files):
        name = "/".join(place[:depth]) or "."
        known = stock.get(name, Folder(0, 0))
        stock[name] = Folder(known.n_files + files[place], known.n_bytes + sizes[place])
    return stock


def check_files(
    reader: FilesListed, frames: Iterable[Frame], findings: Findings, report: Report
) -> int:
    """Look whether every file that `frames` name is there and not empty; gives their number."""
    named = list({frame.id: frame for frame in frames}.values())
    seen: Counter[Path] = Counter()
    lost: dict[Path, list[Path]] = {}
    for done, frame in enumerate(named, start=1):
        for path in reader.files(frame):
            seen[path.parent] += 1
            if not _holds_something(path):
                lost.setdefault(path.parent, []).append(path)
        if done % _REPORT_EVERY == 0 or done == len(named):
            report(done, len(named))
    for folder, paths in lost.items():
        findings.fault(
            folder,
            f"{len(paths)} of {seen[folder]} files are missing or empty, {paths[0].name} first.",
            "Get this part of the data set again.",
        )
    return seen.total()


def shortened(names: Sequence[str]) -> str:
    """The first of many names, and how many more there are."""
    if len(names) <= _SHOWN_NAMES + 1:
        return ", ".join(names)
    return f"{', '.join(names[:_SHOWN_NAMES])} and {len(names) - _SHOWN_NAMES} more"


def _tell_missing(
    reader: Dataset, root: Path, split: str, extent: Extent, findings: Findings
) -> None:
    if not extent.missing:
        return
    tell = findings.fault if split in ROLES else findings.warning
    tell(
        f"{root}: {split}",
        f"{len(extent.missing)} of {len(extent.listed)} sequences of {reader.card.title} {split} "
        f"are missing: {shortened(extent.missing)}.",
        f"Get them, or list what you have in a {FILE} here; scores are then your own.",
    )


def _check_order(place: str, frames: Sequence[Frame], findings: Findings) -> None:
    """Ids are unique, and time goes forward in a sequence."""
    if len({frame.id for frame in frames}) < len(frames):
        findings.fault(place, "Two frames have the same id.", "Remove what lies here twice.")
    last: dict[str, Frame] = {}
    for frame in frames:
        before = last.get(frame.sequence)
        if before is not None and frame.timestamp_s < before.timestamp_s:
            findings.warning(
                place,
                f"Time goes back from frame {before.id} to {frame.id}.",
                "Methods with a memory walk along a sequence in this order; look at its times.",
            )
            return
        last[frame.sequence] = frame


def _holds_something(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False


def _walk(folder: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from _walk(Path(entry.path))
            elif entry.is_file():
                yield entry
