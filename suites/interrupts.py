"""How a process that is asked to end does so: by an exception that passes through everything.

Offers `Interrupted` and `interruptible`. Used by `lima_bench.suites.cli` only.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator


class Interrupted(BaseException):
    """This process is asked to end; not a KeyboardInterrupt, for typer would eat that."""


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Have Ctrl-C and the end that a cluster asks for raise `Interrupted` inside."""
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, _interrupt) for number in signals]
    try:
        yield
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


def _interrupt(number: int, frame: object) -> None:
    del number, frame
    raise Interrupted
