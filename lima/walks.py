"""Who walks through which recording: the bookkeeping of every first-in-first-out memory.

Offers `Walks`. The memory bank keeps features this way; the loader, which must know beforehand
what the bank will hold, follows the same walks with frame numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Walk(Generic[T]):
    """One way through one recording.

    Attributes:
        sequence: The recording.
        frames: Its newest frames with their positions in the recording, oldest first.
        continued: Whether the step that is being taken has added to it.
    """

    sequence: str
    frames: tuple[tuple[int, T], ...]
    continued: bool = True

    @property
    def newest(self) -> int:
        """Position of the newest frame."""
        return self.frames[-1][0]


class Walks(Generic[T]):
    """The newest frames of every recording that is being walked through.

    Args:
        length: Past frames handed out per walk; 0 keeps nothing.
        stride: Only every so manieth frame, counted back from the current one, is handed out.
    """

    def __init__(self, length: int, stride: int = 1) -> None:
        self.length, self.stride = length, stride
        self._walks: list[Walk[T]] = []

    def visit(self, sequence: str, index: int, frame: T) -> tuple[tuple[int, T], ...]:
        """Take a frame in and hand out the earlier ones of its walk, oldest first.

        The frame continues the walk through its recording whose newest frame precedes it most
        closely, by no more than a memory reaches. If none does, because the recording begins,
        begins anew, was gone back in or goes on far ahead, a new walk starts and there are no
        earlier frames. So two streams may walk one recording at once.
        """
        if self.length == 0:
            return ()
        reach = self.length * self.stride
        own = (walk for walk in self._walks if walk.sequence == sequence)
        earlier = (walk for walk in own if 0 < index - walk.newest <= reach)
        walk = max(earlier, key=lambda walk: walk.newest, default=Walk[T](sequence, ()))
        self._walks = [other for other in self._walks if other is not walk]
        frames = (*walk.frames, (index, frame))[-self.length * self.stride :]
        self._walks.append(Walk(sequence, frames))
        return walk.frames[-self.stride :: -self.stride][::-1]

    def end_step(self) -> None:
        """Forget every walk that the step did not continue: it is over."""
        self._walks = [replace(walk, continued=False) for walk in self._walks if walk.continued]

    def restore(self, walks: list[Walk[T]]) -> None:
        """Go on from these walks, none of them continued yet."""
        self._walks = [replace(walk, continued=False) for walk in walks]

    def __iter__(self) -> Iterator[Walk[T]]:
        """Every walk."""
        return iter(self._walks)
