"""Which scans come along with the frames of a step: order -> company -> `lima.batching`.

Offers `Company`, by which a method's static ``company(settings)`` asks for them, `company_of`,
`Member` and `Cast`, which finds them. Scans of a batch stand in this order: the frames of the step
(the *anchors*); for each offset, the neighbours of all anchors; then, if asked for, one dense cloud
per anchor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from lima_bench.datasets.sample import Frame
from lima_bench.lima.recipes import Settings


@dataclass(frozen=True)
class Company:
    """What a method wants to see beside each frame.

    Attributes:
        offsets: Keyframes after the frame (negative: before), in the order of the batch's scans.
        at_the_end: Where the recording has no such keyframe: the frame ``itself`` again, or the
            keyframe as far on the ``other_side`` (the frame itself where that is missing too).
        sweeps: Earlier LiDAR sweeps that a dense cloud adds to the frame's own; 0: no dense cloud.
    """

    offsets: tuple[int, ...] = ()
    at_the_end: Literal["itself", "other_side"] = "itself"
    sweeps: int = 0


@dataclass(frozen=True)
class Member:
    """One scan of a batch.

    Attributes:
        frame: Number of the frame in the source.
        anchor: Number, in the batch, of the scan that it accompanies; its own for an anchor.
        offset: Keyframes after its anchor; 0 too where the anchor stands in for a missing one.
        dense: Whether earlier sweeps are added to it.
    """

    frame: int
    anchor: int
    offset: int = 0
    dense: bool = False


def company_of(method: type[Any], settings: Settings) -> Company:
    """The company that `method` asks for; none if it does not."""
    own: Any = getattr(method, "company", None)
    wanted: Company = Company() if own is None else own(settings)
    return wanted


class Cast:
    """Finds the company of frames.

    Args:
        company: What is wanted.
        frames: All frames.
    """

    def __init__(self, company: Company, frames: Sequence[Frame]) -> None:
        self.company, self.frames = company, frames
        self._numbers = (
            {(f.sequence, f.index): number for number, f in enumerate(frames)}
            if company.offsets
            else {}
        )

    def members(self, anchors: Sequence[int]) -> list[Member]:
        """Every scan of the batch whose step is about the frames `anchors`."""
        members = [Member(number, place) for place, number in enumerate(anchors)]
        for offset in self.company.offsets:
            members += [self._neighbour(n, place, offset) for place, n in enumerate(anchors)]
        if self.company.sweeps:
            members += [Member(n, place, dense=True) for place, n in enumerate(anchors)]
        return members

    def _neighbour(self, anchor: int, place: int, offset: int) -> Member:
        other_side = (-offset,) if self.company.at_the_end == "other_side" else ()
        for step in (offset, *other_side):
            frame = self.frames[anchor]
            number = self._numbers.get((frame.sequence, frame.index + step))
            if number is not None:
                return Member(number, place, step)
        return Member(anchor, place)
