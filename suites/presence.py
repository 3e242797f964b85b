"""Whether a job has the machine to itself: every working process of lima-bench shows its presence.

Offers `Presence`. A measure of time compares with others only if nothing disturbed it, and a driver
cannot know of other drivers, on this store or on another; so processes look for each other. What
other programs do is not seen here (`lima_bench.suites.measure` notes how long a job waited for a
core).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
import uuid
from pathlib import Path
from typing import IO


class Presence:
    """Shows that this process works, from its making until `leave`; sees who else does.

    A file in a folder of the machine's temporary directory, locked as long as its process lives.
    Every coming and going changes the folder's time, so that even a short visit is noticed
    without watching.

    Args:
        folder: Where processes meet; by default one per user of the machine.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or Path(tempfile.gettempdir()) / f"lima-bench-{os.getuid()}"
        self._alone = False
        self._since = 0
        self._place = self._folder / uuid.uuid4().hex
        self._file: IO[bytes] | None = None
        # Where nobody may write, nobody can be seen: then no job counts as alone.
        with contextlib.suppress(OSError):
            self._folder.mkdir(mode=0o700, exist_ok=True)
            self._sweep()
            self._enter()

    def alone(self) -> bool:
        """Whether no other process has worked since this one came."""
        if self._alone:
            self._alone = self._unchanged()
        return self._alone

    def leave(self) -> None:
        """Be gone."""
        if self._file is not None:
            self._place.unlink(missing_ok=True)
            self._file.close()
            self._file = None

    def _enter(self) -> None:
        """Lock the file before anyone sees it: an unlocked one would pass for a dead process."""
        draft = self._place.with_name(f".{self._place.name}")
        self._file = draft.open("wb")
        fcntl.flock(self._file, fcntl.LOCK_EX)
        draft.rename(self._place)
        self._since = self._folder.stat().st_mtime_ns
        self._alone = not self._others()

    def _unchanged(self) -> bool:
        try:
            # The file system's clock ticks every few milliseconds: who came within the tick of
            # our own coming left the time as it was, but is still there or has left since.
            return self._folder.stat().st_mtime_ns == self._since and not self._others()
        except OSError:
            return False

    def _others(self) -> bool:
        return any(_is_held(path) for path in self._shown() if path != self._place)

    def _sweep(self) -> None:
        """Remove what killed processes left."""
        for path in self._shown():
            if not _is_held(path):
                path.unlink(missing_ok=True)

    def _shown(self) -> list[Path]:
        return [path for path in self._folder.iterdir() if not path.name.startswith(".")]


def _is_held(path: Path) -> bool:
    """Whether the process of that file lives."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # two who look do not see each other
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
