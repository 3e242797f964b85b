"""Keeps what is pure and comes again, up to so many bytes; what was used longest ago goes first.

Offers `ByteCache`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

from lima_bench.lima.tree import tree_bytes

V = TypeVar("V")


class ByteCache(Generic[V]):
    """Remembers the values of a function.

    Each loading process has its own; what it holds does not travel between processes.

    Args:
        limit_bytes: Of arrays and tensors in all kept values together.
        evicts: Make room for what is new; otherwise what came first stays, which serves a walk
            through more than there is room for.
    """

    def __init__(self, limit_bytes: int, *, evicts: bool = True) -> None:
        self.limit_bytes, self.held_bytes, self.evicts = limit_bytes, 0, evicts
        self._kept: OrderedDict[Hashable, tuple[V, int]] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], V]) -> V:
        """The value kept for `key`, or a new one, kept if it is not too large."""
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key][0]
        value = make()
        size = tree_bytes(value)
        room = self.limit_bytes - (0 if self.evicts else self.held_bytes)
        if size <= room:
            self._kept[key] = (value, size)
            self.held_bytes += size
        while self.held_bytes > self.limit_bytes:
            _, (_, freed) = self._kept.popitem(last=False)
            self.held_bytes -= freed
        return value

    def __len__(self) -> int:
        """Number of values kept."""
        return len(self._kept)

    def __getstate__(self) -> dict[str, Any]:
        """Only the rules."""
        return {"limit_bytes": self.limit_bytes, "evicts": self.evicts}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Begin empty."""
        self.__init__(**state)  # type: ignore[misc]
