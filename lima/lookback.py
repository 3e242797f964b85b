"""What a scan has to do with the keyframes around it, worked out where data is loaded.

Offers `Lookback`, by which a method's static ``lookback(settings)`` asks for it, `lookback_of`, and
`PastMatches`, which answers. Which of their points is nearest to which current one depends on
clouds and poses alone, never on weights: found in the loader's workers it costs a training step
nothing, and found once it serves every epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from lima_bench.datasets.sample import Frame
from lima_bench.lima.align import PlacedCloud, nearest
from lima_bench.lima.batch import Matches
from lima_bench.lima.cache import ByteCache
from lima_bench.lima.company import Cast, Company
from lima_bench.lima.order import Order
from lima_bench.lima.recipes import Settings
from lima_bench.lima.walks import Walks

MATCH_BYTES = 128 << 20
"""Of remembered answers, per loading process."""

_RUN_UP = 8
"""Steps beyond twice the memory's length after which walks are taken for settled."""


@dataclass(frozen=True)
class Lookback:
    """How far back a method looks, and at which of the scans that come along.

    Attributes:
        length: Keyframes before the current one that it remembers, at most.
        radius_m: How far from a point its neighbour in another keyframe may lie.
        stride: Keyframes from one remembered keyframe to the next.
        offsets: Keyframes after the current one (negative: before) of company that is looked at.
    """

    length: int
    radius_m: float
    stride: int = 1
    offsets: tuple[int, ...] = ()


@dataclass(frozen=True)
class Sighted:
    """A scan as its successors look back at it.

    Attributes:
        cloud: All its points.
        seen: Those that any camera sees, in order.
    """

    cloud: PlacedCloud
    seen: PlacedCloud


def lookback_of(method: type[Any], settings: Settings) -> Lookback | None:
    """How far `method` looks back; None if it does not."""
    own: Any = getattr(method, "lookback", None)
    wanted: Lookback | None = None if own is None else own(settings)
    return wanted if wanted is not None and (wanted.length > 0 or wanted.offsets) else None


class PastMatches:
    """For each frame of a step, where its points lie in the keyframes that it is compared with.

    Those are the ones that a memory then holds, and company.

    Args:
        lookback: How far back.
        frames: All frames.
        order: Which of them belong to a step.
        load: The scan of a frame number.
        room_bytes: For answers that are kept. What came first stays: walking an epoch that is
            longer than the room, a memory that drops the oldest would never be right.
    """

    def __init__(
        self,
        lookback: Lookback,
        frames: Sequence[Frame],
        order: Order,
        load: Callable[[int], Sighted],
        room_bytes: int = MATCH_BYTES,
    ) -> None:
        self.lookback, self.frames, self.order, self.load = lookback, frames, order, load
        self._beside = Cast(Company(lookback.offsets), frames)
        self._found: ByteCache[npt.NDArray[np.int32]] = ByteCache(room_bytes, evicts=False)

    def of_step(self, step: int) -> tuple[Matches, ...]:
        """The matches of each frame of `step`, in order."""
        numbers = [int(number) for number in self.order.frames_of(step)]
        return tuple(
            self._matches(now, (*past, *self._company(now)))
            for now, past in zip(numbers, self._earlier(step), strict=True)
        )

    def _company(self, number: int) -> Iterator[int]:
        """The numbers of the frames beside a frame; none where the recording ends."""
        return (one.frame for one in self._beside.members([number]) if one.offset)

    def _earlier(self, step: int) -> list[tuple[int, ...]]:
        """For each scan of `step`, the numbers of the frames that a memory holds, oldest first.

        Walks are followed from a little further back than a memory reaches. Should crossing walks
        of one recording not have settled by then, a frame may be missing here: whoever holds it
        finds no match and searches for itself.
        """
        length, stride = self.lookback.length, self.lookback.stride
        walks: Walks[int] = Walks(length, stride)
        found: list[tuple[int, ...]] = []
        for earlier in range(max(0, step - 2 * length * stride - _RUN_UP), step + 1):
            found = [self._visit(walks, int(number)) for number in self.order.frames_of(earlier)]
            walks.end_step()
        return found

    def _visit(self, walks: Walks[int], number: int) -> tuple[int, ...]:
        frame = self.frames[number]
        return tuple(past for _, past in walks.visit(frame.sequence, frame.index, number))

    def _matches(self, now: int, past: Sequence[int]) -> Matches:
        rows = [self._rows(now, number) for number in past]
        none = np.zeros((0, len(self.load(now).cloud.xyz)), dtype=np.int32)
        return Matches(
            indices=tuple(self.frames[number].index for number in past),
            rows=torch.from_numpy(np.stack(rows) if rows else none),
        )

    def _rows(self, now: int, past: int) -> npt.NDArray[np.int32]:
        return self._found.get(
            (now, past),
            lambda: nearest(self.load(now).cloud, self.load(past).seen, self.lookback.radius_m),
        )
