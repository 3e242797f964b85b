"""Several data sets as one stream of frames, for pretraining on all of them at once.

Offers `joined`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from lima_bench.datasets.sample import Frame, Sample, Source, Sweep


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
    reader = _Reader(sources)
    swept = all(source.sweeps is not None for source in sources.values())
    return Source(first.card, frames, reader.load, scales, reader.sweeps if swept else None)


class _Reader:
    """Reads a frame, or the scans before it, by its data set; travels between processes."""

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self._load = {name: source.load for name, source in sources.items()}
        self._sweeps = {name: s.sweeps for name, s in sources.items() if s.sweeps is not None}

    def load(self, frame: Frame) -> Sample:
        """The scan of `frame`, whose images are told apart as well."""
        sample = self._load[frame.dataset](_own(frame))
        cameras = tuple(replace(c, id=f"{frame.dataset}/{c.id}") for c in sample.cameras)
        return replace(sample, frame=frame, cameras=cameras)

    def sweeps(self, frame: Frame, n: int) -> tuple[Sweep, ...]:
        """The scans before `frame`."""
        return self._sweeps[frame.dataset](_own(frame), n)


def _own(frame: Frame) -> Frame:
    """The frame as its data set's reader made it."""
    return replace(
        frame,
        id=frame.id.removeprefix(f"{frame.dataset}/"),
        sequence=frame.sequence.removeprefix(f"{frame.dataset}/"),
        dataset="",
    )


def _told_apart(name: str, frame: Frame) -> Frame:
    return replace(
        frame, id=f"{name}/{frame.id}", sequence=f"{name}/{frame.sequence}", dataset=name
    )
