"""Examines a data set: its extent, then the content of some frames of every split.

Offers `examine`, `Examination` and `SplitReport`, what is told about one split. Everything that is
wrong is a finding; only a root that is no such data set at all is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lima_bench.common.errors import UserError
from lima_bench.common.progress import Report, silent
from lima_bench.datasets.api import Dataset, FilesListed
from lima_bench.datasets.images import read_image
from lima_bench.datasets.sample import IGNORE, Frame, Sample
from lima_bench.datasets.splits import FILE
from lima_bench.suites.examine.alignment import Alignment
from lima_bench.suites.examine.extent import (
    Extent,
    Folder,
    check_files,
    extents_of,
    stock_of,
)
from lima_bench.suites.examine.findings import Findings
from lima_bench.suites.examine.tally import Tally

Begin = Callable[[str], Report]
"""Begins a part of the work, by its title, and gives where its progress is told."""


@dataclass(frozen=True)
class SplitReport:
    """What was found out about one split.

    Attributes:
        extent: Which sequences and frames lie here.
        tally: What the loaded frames hold.
        alignment: Whether their parts fit together.
        n_failed: Frames that were to be loaded but cannot be.
    """

    extent: Extent
    tally: Tally
    alignment: Alignment
    n_failed: int


@dataclass(frozen=True)
class Portrait:
    """The frame that shows most: what the picture is drawn of."""

    split: str
    sample: Sample


@dataclass
class Examination:
    """All that was found out about a data set.

    Attributes:
        reader: What read it.
        root: Where it lies.
        manifest: Digest of what lies there.
        own_splits: Whether a ``splits.json`` at the root replaces the published splits.
        splits: Every split of the card or of that file.
        folders: Files and bytes by folder.
        n_checked: Files that frames name and that were looked for; 0 if the reader cannot tell.
        findings: What is wrong.
        portrait: None if no frame could be loaded.
    """

    reader: Dataset
    root: Path
    manifest: str
    own_splits: bool = False
    splits: dict[str, SplitReport] = field(default_factory=dict)
    folders: dict[str, Folder] = field(default_factory=dict)
    n_checked: int = 0
    findings: Findings = field(default_factory=Findings)
    portrait: Portrait | None = None


def unheard(title: str) -> Report:
    """A `Begin` that nobody hears."""
    del title
    return silent


def examine(reader: Dataset, root: Path, *, n_frames: int, begin: Begin = unheard) -> Examination:
    """Look at the data set in `root`.

    Args:
        reader: Of this data set, with the card variant that is meant.
        root: Its folder.
        n_frames: How many frames of each split are loaded, evenly spread.
        begin: Hears of the progress.

    Raises:
        UserError: There is no such data set in `root`.
    """
    begin("manifest")
    found = Examination(reader, root, reader.manifest(root), (root / FILE).is_file())
    found.folders = stock_of(root, begin("files"))
    extents = extents_of(reader, root, found.findings, begin("lists"))
    if isinstance(reader, FilesListed):
        frames = [frame for extent in extents.values() for frame in extent.frames]
        found.n_checked = check_files(reader, frames, found.findings, begin("listed files"))
    for split, extent in extents.items():
        found.splits[split] = _look_into(found, split, extent, n_frames, begin(f"{split} frames"))
    return found


def spread(frames: Sequence[Frame], count: int) -> list[Frame]:
    """At most `count` of `frames`, evenly spread, the first and the last among them."""
    places = np.linspace(0, len(frames) - 1, min(count, len(frames)))
    return [frames[place] for place in np.unique(places.round().astype(int)).tolist()]


def _look_into(
    found: Examination, split: str, extent: Extent, n_frames: int, report: Report
) -> SplitReport:
    """Load some frames of a split and tell what is wrong with them."""
    reader, findings = found.reader, found.findings
    tally, alignment = Tally(), Alignment()
    errors: list[UserError] = []
    chosen = spread(extent.frames, n_frames)
    for done, frame in enumerate(chosen, start=1):
        try:
            sample = _load(reader, frame)
            tally.add(sample, reader.card)
            alignment.add(reader, sample)
            for camera in sample.cameras:
                read_image(camera)
            found.portrait = _better(found.portrait, Portrait(split, sample))
        except UserError as error:
            errors.append(error)
        report(done, len(chosen))
    place = f"{found.root}: {split}"
    findings.errors(place, errors)
    tally.judge(place, reader.card, findings, needs_labels=split in ("train", "val"))
    alignment.judge(place, findings)
    return SplitReport(extent, tally, alignment, len(errors))


def _load(reader: Dataset, frame: Frame) -> Sample:
    """The sample, of which every part has the same length."""
    sample = reader.load(frame)
    parts = {"intensity": sample.intensity, "labels": sample.labels, "ring": sample.ring}
    for name, values in parts.items():
        if values is not None and len(values) != len(sample.points):
            what = f"There are {len(sample.points)} points, but {len(values)} of {name}."
            raise UserError(frame.id, what, "Mend the reader.")
    return sample


def _better(old: Portrait | None, new: Portrait) -> Portrait:
    """The one of two frames that shows more: images first, then classes; the earlier if equal."""

    def merit(portrait: Portrait) -> tuple[bool, int]:
        labels = portrait.sample.labels
        n_classes = 0 if labels is None else len(set(np.unique(labels).tolist()) - {IGNORE})
        return bool(portrait.sample.cameras), n_classes

    return new if old is None or merit(new) > merit(old) else old
