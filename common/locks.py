"""One worker per key, across processes and drivers: advisory locks that die with their holder."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from lima_bench.common.files import writable


@contextlib.contextmanager
def locked(path: Path, *, wait: bool) -> Iterator[bool]:
    """Hold the lock file `path`; yields whether it was got.

    Args:
        path: The lock file; it stays on disk, empty.
        wait: Block until it is free; otherwise yield False at once if another holds it.
    """
    with writable(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("ab")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True
