"""SemanticSTF, read from disk: the real one or the built-in world's.

Offers `SemanticStf`. Frames are independent, so each is a sequence of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from lima_bench.common.errors import UserError, unknown_name
from lima_bench.datasets.card import Card
from lima_bench.datasets.manifest import manifest_digest
from lima_bench.datasets.sample import Frame, Sample
from lima_bench.datasets.scans import read_labels, read_scan
from lima_bench.datasets.splits import FILE, sequences_of

FOLDERS = ("train", "val", "test")


class SemanticStf:
    """Reads SemanticSTF: scans of five columns with labels, and the weather where it is listed."""

    card = Card.beside(__file__)
    version = 1

    def frames(self, root: Path, split: str) -> Sequence[Frame]:
        """Scans of `split`, by name.

        Raises:
            UserError: The root, a folder or the split is missing, or a weather list is broken.
        """
        _require_root(root)
        present = [name for name in FOLDERS if (root / name).is_dir()]
        return [
            frame
            for name in sequences_of(self.card, root, split, present)
            for frame in _frames(root / name, self.card)
        ]

    def load(self, frame: Frame) -> Sample:
        """The scan of `frame` with labels and weather; labels are None where the folder has none.

        Raises:
            UserError: A file is missing, truncated or of another length than its companion.
        """
        folder, stem = frame.handle["folder"], frame.handle["stem"]
        rows = read_scan(folder / "velodyne" / f"{stem}.bin", columns=5)
        raw = None
        if (folder / "labels").is_dir():
            path = folder / "labels" / f"{stem}.label"
            raw = read_labels(path, "<i4", len(rows)).astype(np.int64)
        return Sample(
            frame=frame,
            points=np.ascontiguousarray(rows[:, :3]),
            intensity=np.ascontiguousarray(rows[:, 3]),
            labels=None if raw is None else self.card.remap(raw),
            unknown_labels={} if raw is None else self.card.unknown(raw),
            condition=frame.handle["weather"],
        )

    def manifest(self, root: Path) -> str:
        """Digest of the weather lists and of all files' names and sizes."""
        _require_root(root)
        return manifest_digest(
            root,
            contents=[*(_weather_file(root / name) for name in FOLDERS), root / FILE],
            sizes=[root / name / part for name in FOLDERS for part in ("velodyne", "labels")],
        )


def _require_root(root: Path) -> None:
    """Refuse a place without SemanticSTF."""
    if not any((root / name / "velodyne").is_dir() for name in FOLDERS):
        raise UserError(
            root,
            "There is no SemanticSTF here." if root.is_dir() else "This folder does not exist.",
            "Expected train/velodyne/<name>.bin, train/labels/<name>.label, val/ and test/ in "
            "<data>/semanticstf; say where <data> is with --data DIR or LIMA_BENCH_DATA.",
        )


def _frames(folder: Path, card: Card) -> list[Frame]:
    """The scans of one folder, by name."""
    stems = sorted(path.stem for path in (folder / "velodyne").glob("*.bin"))
    if not stems:
        raise UserError(
            folder / "velodyne",
            "There are no scans here.",
            "Unpack SemanticSTF again; its scans are named <name>.bin.",
        )
    weathers = _weathers(_weather_file(folder), card)
    return [
        Frame(
            id=f"{folder.name}/{stem}",
            sequence=f"{folder.name}/{stem}",
            index=0,
            timestamp_s=_time_s(stem),
            handle={"folder": folder, "stem": stem, "weather": weathers.get(stem, "")},
        )
        for stem in stems
    ]


def _weather_file(folder: Path) -> Path:
    """``val/val.txt``; the other folders have one by the same rule, where they have any."""
    return folder / f"{folder.name}.txt"


def _weathers(path: Path, card: Card) -> Mapping[str, str]:
    """Weather by frame name; nothing where there is no list.

    Raises:
        UserError: A line is not ``name,weather``, or nobody knows the weather.
    """
    if not path.is_file():
        return {}
    found = {}
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        if not line.strip():
            continue
        name, comma, weather = (part.strip() for part in line.partition(","))
        if not (name and comma):
            raise UserError(
                f"{path}:{number}", f'"{line}" is not "name,weather".', "Get this list again."
            )
        if weather not in card.conditions:
            raise unknown_name(f"{path}:{number}", "weather", weather, card.conditions)
        found[name] = weather
    return found


def _time_s(stem: str) -> float:
    """Seconds since 1970 from ``2018-02-03_20-48-35_00400``; 0 for a name of another form.

    The last number counts frames of a recording whose rate is not told; it is left out.
    """
    match = re.match(r"(\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d)(_\d+)?$", stem)
    if not match:
        return 0.0
    try:
        time = datetime.strptime(match[1], "%Y-%m-%d_%H-%M-%S").replace(tzinfo=UTC)
    except ValueError:
        return 0.0
    return time.timestamp()
