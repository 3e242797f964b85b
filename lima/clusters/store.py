"""Cluster labels of every frame, ragged, in one memory-mapped file with an index.

Offers `Clusters` and `write_clusters`. An entry holds the labels of a frame's points and then of
those of its company, as int16.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lima_bench.common.errors import UserError
from lima_bench.common.files import filling
from lima_bench.datasets.sample import Int64

Int16 = npt.NDArray[np.int16]
_DATA, _INDEX = "labels.bin", "index.json"
_DTYPE = np.dtype("<i2")


@dataclass(frozen=True)
class Entry:
    """The labels of one frame and its company.

    Attributes:
        frames: Ids: the frame, then its company in order.
        labels: For each of them, the clusters of its points; -1 for none.
    """

    frames: tuple[str, ...]
    labels: tuple[Int64, ...]


@dataclass(frozen=True)
class Clusters:
    """An open store; travels between processes as its folder's name, never with its content.

    Attributes:
        folder: Where it lies.
    """

    folder: Path

    @cached_property
    def _index(self) -> dict[str, Any]:
        path = self.folder / _INDEX
        if not path.is_file():
            raise UserError(self.folder, "There are no cached clusters here.", "Build them again.")
        index: dict[str, Any] = json.loads(path.read_text())
        return index

    @cached_property
    def _places(self) -> dict[str, tuple[int, list[str], list[int]]]:
        """Frame id to the first label of its entry, the frames in it and their sizes."""
        entries = self._index["entries"]
        starts = accumulate((sum(sizes) for _, sizes in entries), initial=0)
        return {
            frames[0]: (start, frames, sizes)
            for (frames, sizes), start in zip(entries, starts, strict=False)
        }

    @cached_property
    def _labels(self) -> Int16:
        path = self.folder / _DATA
        n_labels = sum(sum(sizes) for _, sizes in self._index["entries"])
        expected = n_labels * _DTYPE.itemsize
        found = path.stat().st_size if path.is_file() else 0
        if found != expected:
            raise UserError(path, f"{found} bytes, expected {expected}.", "Build it again.")
        if n_labels == 0:
            return np.zeros(0, dtype=_DTYPE)  # an empty file cannot be mapped
        return np.memmap(path, dtype=_DTYPE, mode="r", shape=(n_labels,))

    @property
    def facts(self) -> Mapping[str, Any]:
        """What was noted when the store was written."""
        facts: Mapping[str, Any] = self._index["facts"]
        return facts

    def __len__(self) -> int:
        """Number of frames."""
        return len(self._places)

    def __getstate__(self) -> dict[str, Any]:
        """Only the folder: a worker maps the file itself."""
        return {"folder": self.folder}

    def lookup(self, frames: Sequence[str], sizes: Sequence[int]) -> list[Int64]:
        """The labels of a frame's points and of those of its company.

        Args:
            frames: Ids: the frame, then its company in the order that they were built with.
            sizes: How many points each of them has.

        Raises:
            UserError: The frame is not in the store, or was built with other company or points.
        """
        if frames[0] not in self._places:
            raise UserError(self.folder, f"Frame {frames[0]} is not cached here.", "Build again.")
        start, known, counts = self._places[frames[0]]
        if known != list(frames) or counts != list(sizes):
            raise UserError(
                self.folder,
                f"Clusters of frame {frames[0]} were built over frames {known} of {counts} points, "
                f"not {list(frames)} of {list(sizes)}.",
                "Delete the folder and build them again.",
            )
        stops = [*accumulate(counts, initial=start)]
        return [self._labels[first:last].astype(np.int64) for first, last in pairwise(stops)]


def write_clusters(folder: Path, entries: Iterator[Entry], facts: Mapping[str, Any]) -> Clusters:
    """Write a store; it appears when whole, and a store that is there already is kept.

    Args:
        folder: Where it will lie.
        entries: One per frame.
        facts: What to note beside them.

    Raises:
        UserError: The disk refuses.
    """
    with filling(folder) as draft:
        index = []
        with (draft / _DATA).open("wb") as file:
            for entry in entries:
                for labels in entry.labels:
                    file.write(_packed(entry.frames[0], labels).data)
                index.append([list(entry.frames), [len(labels) for labels in entry.labels]])
        (draft / _INDEX).write_text(json.dumps({"entries": index, "facts": dict(facts)}))
    return Clusters(folder)


def _packed(frame: str, labels: Int64) -> Int16:
    if labels.max(initial=-1) > np.iinfo(np.int16).max:
        raise ValueError(f"frame {frame}: {labels.max() + 1} clusters do not fit into 16 bits")
    return np.ascontiguousarray(labels.astype(_DTYPE))
