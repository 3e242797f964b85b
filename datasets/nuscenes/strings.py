"""Many strings as two arrays, which can lie in a file and be looked at without reading it.

Offers `Strings` and `StringList`, which grows into one.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lima_bench.datasets.sample import Int64


@dataclass(frozen=True)
class Strings:
    """A read-only list of strings.

    Attributes:
        text: (bytes,) all strings in UTF-8, one after the other.
        starts: (n + 1,) string i is ``text[starts[i]:starts[i + 1]]``.
    """

    text: npt.NDArray[np.uint8]
    starts: Int64

    @classmethod
    def of(cls, strings: Iterable[str]) -> Strings:
        """Those of an iterable, in its order."""
        found = StringList()
        for string in strings:
            found.append(string)
        return found.done()

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, row: int) -> str:
        if not 0 <= row < len(self):
            raise IndexError(f"no string {row} of {len(self)}")
        return self.text[self.starts[row] : self.starts[row + 1]].tobytes().decode()

    def __iter__(self) -> Iterator[str]:
        return (self[row] for row in range(len(self)))


class StringList:
    """Collects strings in little memory."""

    def __init__(self) -> None:
        self._text, self._starts = bytearray(), array("q", [0])

    def append(self, string: str) -> None:
        """Add one at the end."""
        self._text += string.encode()
        self._starts.append(len(self._text))

    def done(self) -> Strings:
        """All that were added; nothing may be added any more."""
        return Strings(np.frombuffer(self._text, np.uint8), np.frombuffer(self._starts, np.int64))
