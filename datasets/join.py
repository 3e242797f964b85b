"""Several data sets as one stream of frames, for pretraining on all of them at once.

Offers `joined`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from lima_bench.datasets.sample import Frame, Sample, Source


def joined(sources: Mapping[str, Source]) -> Source:
    """All frames, one data set after the other; the names of each are told apart by its id.

    Ids of frames, sequences and images get the data set's id in front, since numbered sequences
    of two data sets share their names. Points, poses and images stay as their reader gives them.

    Args:
        sources: By data-set id, in order, at least one.
    """
    (first, *_) = sources.values()
    if len(sources) == 1:
        return first
    frames = [
        _told_apart(name, frame) for name, source in sources.items() for frame in source.frames
    ]
    scales = {name: source.card.intensity for name, source in sources.items()}
    return Source(first.card, frames, _Loader(sources), scales)


class _Loader:
    """Reads a frame by the data set that it is of; travels between processes."""

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self._load = {name: source.load for name, source in sources.items()}

    def __call__(self, frame: Frame) -> Sample:
        own = replace(
            frame,
            id=frame.id.removeprefix(f"{frame.dataset}/"),
            sequence=frame.sequence.removeprefix(f"{frame.dataset}/"),
            dataset="",
        )
        sample = self._load[frame.dataset](own)
        cameras = tuple(replace(c, id=f"{frame.dataset}/{c.id}") for c in sample.cameras)
        return replace(sample, frame=frame, cameras=cameras)


def _told_apart(name: str, frame: Frame) -> Frame:
    return replace(
        frame, id=f"{name}/{frame.id}", sequence=f"{name}/{frame.sequence}", dataset=name
    )
