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
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes, self.held_bytes = limit_bytes, 0
        self._kept: OrderedDict[Hashable, tuple[V, int]] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], V]) -> V:
        """The value kept for `key`, or a new one, kept if it is not too large."""
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key][0]
        value = make()
        size = tree_bytes(value)
        if size <= self.limit_bytes:
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
        """Only the limit."""
        return {"limit_bytes": self.limit_bytes}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Begin empty."""
        self.__init__(state["limit_bytes"])  # type: ignore[misc]
