"""Names to things, loaded only when asked for, so that `list` never imports torch.

Offers `Registry`. Built-in entries are strings ``"module:attribute"``; plug-ins add objects.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Generic, TypeVar, cast

from lima_bench.common.errors import UserError, unknown_name

T = TypeVar("T")


class Registry(Generic[T]):
    """A lazy table of one kind of thing.

    Args:
        kind: What the entries are, for messages: "method", "dataset".
        builtin: Name to ``"module:attribute"``.
    """

    def __init__(self, kind: str, builtin: Mapping[str, str] | None = None) -> None:
        self.kind = kind
        self._entries: dict[str, str | T] = dict(builtin or {})

    def add(self, name: str, entry: T) -> None:
        """Add a plug-in.

        Raises:
            UserError: The name is taken.
        """
        if name in self._entries:
            raise UserError(
                f"{self.kind} {name}", "That name is taken.", "Choose another name for the plug-in."
            )
        self._entries[name] = entry

    def get(self, name: str, where: object = "") -> T:
        """The entry called `name`, imported now if it is built in.

        Raises:
            UserError: No such name; the message shows the nearest.
        """
        if name not in self._entries:
            raise unknown_name(where or self.kind, self.kind, name, self._entries)
        entry = self._entries[name]
        if isinstance(entry, str):
            module, attribute = entry.split(":")
            entry = cast(T, getattr(importlib.import_module(module), attribute))
            self._entries[name] = entry
        return entry

    def names(self) -> tuple[str, ...]:
        """Every known name, sorted."""
        return tuple(sorted(self._entries))

    def __contains__(self, name: object) -> bool:
        """Whether something is called `name`."""
        return name in self._entries
