"""What a driver asks of an executor, and how executors are chosen.

Offers `Executor` and `make_executor`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from lima_bench.common.errors import UserError, unknown_name
from lima_bench.suites.order import Event, Order

NAMES = ("inline", "process", "slurm", "ray")


class Executor(Protocol):
    """Runs orders; tells events."""

    @property
    def free(self) -> int:
        """How many more orders may start now."""

    def start(self, order: Order) -> None:
        """Begin an order; returns at once where work is done elsewhere."""

    def wait(self, seconds: float) -> Sequence[Event]:
        """What happened, after at most `seconds`; empty if nothing did.

        Every started order ends with exactly one event that is not ``progress``.
        """

    def stop(self) -> None:
        """End whatever runs, with all that it started."""


def make_executor(name: str, jobs: int, preload: Sequence[str]) -> Executor:
    """The executor of that name with room for `jobs` orders.

    Args:
        name: One of `NAMES`.
        jobs: Orders at a time.
        preload: Modules that workers find loaded.

    Raises:
        UserError: There is none of that name, or it is not built yet.
    """
    if name == "inline":
        from lima_bench.suites.executors.inline import InlineExecutor

        return InlineExecutor()
    if name == "process":
        from lima_bench.suites.executors.process import ProcessExecutor

        return ProcessExecutor(jobs, preload)
    where = f"--executor {name}"
    if name not in NAMES:
        raise unknown_name(where, "executor", name, NAMES)
    what = f"The executor {name} is not built yet."
    how = "Start lima-bench with --executor process on every node, on one shared store."
    raise UserError(where, what, how)
