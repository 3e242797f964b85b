"""Synth4D, read from disk: CARLA's towns by a 32-beam or a 64-beam LiDAR.

Offers `Synth4d`. The card's option ``set`` says which of the two sets is read, its classes which
of CARLA's names count: ``synth4d``, ``synth4d:kitti``, ``synth4d:raw22``, ``synth4d:kitti-raw22``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lima_bench.common.errors import UserError, unknown_name
from lima_bench.datasets.card import Card
from lima_bench.datasets.manifest import manifest_digest
from lima_bench.datasets.npy import read_npy_labels, read_npy_scan
from lima_bench.datasets.sample import Float32, Frame, Int64, Sample
from lima_bench.datasets.splits import FILE, sequences_of
from lima_bench.datasets.synth4d.lists import list_files, read_list

NO_INTENSITY = 1.0
"""What stands for the intensity of scans without one: the authors train with a constant 1."""

_FRAMES_PER_S = 10.0
"""Dates the frames by their place in the list: the files do not tell when they were taken."""


class Synth4d:
    """Reads the set of Synth4D that its card names; points, intensity and labels.

    The folder ``calib`` is not read: nothing says what it holds.
    """

    card = Card.beside(__file__)
    version = 1

    def frames(self, root: Path, split: str) -> Sequence[Frame]:
        """The listed frames of `split`: towns in the split's order, frames by name.

        Raises:
            UserError: The set, a town, the list or the split is missing, or the list is broken or
                names a town that the card does not know.
        """
        folder = self._folder(root)
        present = sorted(town.name for town in folder.iterdir() if town.is_dir())
        towns = sequences_of(self.card, root, split, present)
        lists: dict[str, str] = self.card.options["lists"]
        if split not in lists:
            raise unknown_name(root, f"list of frames of {self.card.name} split", split, lists)
        listed = read_list(root, folder.name, lists[split])
        strange = sorted(set(listed) - set(self.card.splits[split]))
        if strange:
            where = list_files(root, folder.name, lists[split])[1].parent
            raise unknown_name(where, "town", strange[0], self.card.splits[split])
        return [frame for town in towns for frame in _frames(folder / town, listed.get(town, ()))]

    def load(self, frame: Frame) -> Sample:
        """The scan of `frame` with its labels; all of them ignored where it has no label file.

        Raises:
            UserError: A file is missing, truncated or of another length than its companion.
        """
        scan, labels = self.files(frame)
        rows = read_npy_scan(scan, (3, 4))
        raw = _raw_labels(labels, len(rows))
        return Sample(
            frame=frame,
            points=np.ascontiguousarray(rows[:, :3]),
            intensity=_intensity(rows),
            labels=self.card.remap(raw),
            unknown_labels=self.card.unknown(raw),
        )

    def files(self, frame: Frame) -> list[Path]:
        """Scan and label file of `frame`, whether or not they exist."""
        town: Path = frame.handle["town"]
        return [town / part / f"{frame.handle['name']}.npy" for part in ("velodyne", "labels")]

    def manifest(self, root: Path) -> str:
        """Digest of the set's lists and splits, and of all its files' names and sizes."""
        folder = self._folder(root)
        lists: dict[str, str] = self.card.options["lists"]
        files = [path for name in lists.values() for path in list_files(root, folder.name, name)]
        return manifest_digest(root, contents=[*files, root / FILE], sizes=[folder])

    def _folder(self, root: Path) -> Path:
        """The set's folder.

        Raises:
            UserError: It does not exist.
        """
        name: str = self.card.options["set"]
        if not (root / name).is_dir():
            raise UserError(
                root,
                f"There is no {name} here." if root.is_dir() else "This folder does not exist.",
                f"Expected {name}/Town03/velodyne/000000.npy, labels/ and "
                f"splits/{name}/training_split.pkl in <data>/synth4d; say where <data> is with "
                "--data DIR or LIMA_BENCH_DATA.",
            )
        return root / name


def _frames(town: Path, names: Sequence[str]) -> list[Frame]:
    """The listed frames of one town."""
    for part in ("velodyne", "labels"):
        if names and not (town / part).is_dir():
            raise UserError(
                town / part, "This folder is missing.", "Unpack this town of the data set again."
            )
    return [
        Frame(
            id=f"{town.parent.name}/{town.name}/{name}",
            sequence=town.name,
            index=position,
            timestamp_s=position / _FRAMES_PER_S,
            handle={"town": town, "name": name},
        )
        for position, name in enumerate(names)
    ]


def _intensity(rows: Float32) -> Float32:
    """The fourth column (N,), or a constant."""
    if rows.shape[1] == 4:
        return np.ascontiguousarray(rows[:, 3])
    return np.full(len(rows), NO_INTENSITY, dtype=np.float32)


def _raw_labels(path: Path, n_points: int) -> Int64:
    """CARLA's ids (N,); without a file 0 everywhere, which is unlabelled."""
    if not path.exists():
        return np.zeros(n_points, dtype=np.int64)
    return read_npy_labels(path, n_points)
