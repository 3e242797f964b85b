"""Runs one job after the other in this very process: for debuggers, and where nothing may fork."""

from __future__ import annotations

from collections.abc import Sequence

from lima_bench.suites import work
from lima_bench.suites.order import Event, Order


class InlineExecutor:
    """Room for one order; `start` returns when it is done."""

    def __init__(self) -> None:
        self._events: list[Event] = []

    @property
    def free(self) -> int:
        """One, unless the last order's events have not been fetched."""
        return 0 if self._events else 1

    def start(self, order: Order) -> None:
        """Do the order now."""
        work.perform(order, self._events.append)

    def wait(self, seconds: float) -> Sequence[Event]:
        """The events of the last order."""
        del seconds
        events, self._events = self._events, []
        return events

    def stop(self) -> None:
        """Nothing is left running."""
