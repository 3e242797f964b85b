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
from lima_bench.lima.store_folder import INDEX, StoreFolder

Int16 = npt.NDArray[np.int16]
_DATA = "labels.bin"
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
class Clusters(StoreFolder):
    """An open store of cluster labels."""

    @cached_property
    def _places(self) -> dict[str, tuple[int, list[str], list[int]]]:
        """Frame id to the first label of its entry, the frames in it and their sizes."""
        entries = self.index["entries"]
        starts = accumulate((sum(sizes) for _, sizes in entries), initial=0)
        return {
            frames[0]: (start, frames, sizes)
            for (frames, sizes), start in zip(entries, starts, strict=False)
        }

    @cached_property
    def _labels(self) -> Int16:
        n_labels = sum(sum(sizes) for _, sizes in self.index["entries"])
        return self.mapped(_DATA, _DTYPE, (n_labels,))

    def __len__(self) -> int:
        """Number of frames."""
        return len(self._places)

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
        (draft / INDEX).write_text(json.dumps({"entries": index, "facts": dict(facts)}))
    return Clusters(folder)


def _packed(frame: str, labels: Int64) -> Int16:
    if labels.max(initial=-1) > np.iinfo(np.int16).max:
        raise ValueError(f"frame {frame}: {labels.max() + 1} clusters do not fit into 16 bits")
    return np.ascontiguousarray(labels.astype(_DTYPE))
