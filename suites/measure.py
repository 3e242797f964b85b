"""What a job takes: wall and CPU time over all its attempts, peak memory, disk.

Offers `Meter`. Time that an interrupted attempt spent is noted beside its state and counted when
the job goes on, for a cost that forgets interruptions would flatter.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lima_bench.common.files import write_atomic

_NOTE_S = 10.0


class Meter:
    """Runs from its making until `measured` is asked for.

    Args:
        state: The folder of the unfinished job.
    """

    def __init__(self, state: Path) -> None:
        self._path = state / "spent.json"
        self._before = _read(self._path)
        self._began = datetime.now(UTC)
        self._wall, self._cpu = time.perf_counter(), _cpu_seconds()
        self._noted = self._wall

    def tick(self) -> None:
        """Note what was spent so far, now and then; called with every step."""
        now = time.perf_counter()
        if now - self._noted > _NOTE_S:
            self._noted = now
            write_atomic(self._path, json.dumps(self._spent()))

    def measured(self, artifact: Path) -> dict[str, Any]:
        """The record's measures; `artifact` is the folder that the job leaves, if any."""
        spent = self._spent()
        return {
            "wall_hours": spent["wall_s"] / 3600,
            "cpu_hours": spent["cpu_s"] / 3600,
            "peak_memory_gb": _peak_memory_gb(),
            "disk_gb": _disk_gb(artifact),
            "attempts": int(spent["attempts"]),
            "started": self._began.isoformat(timespec="seconds"),
        }

    def _spent(self) -> dict[str, float]:
        return {
            "wall_s": self._before.get("wall_s", 0.0) + time.perf_counter() - self._wall,
            "cpu_s": self._before.get("cpu_s", 0.0) + _cpu_seconds() - self._cpu,
            "attempts": self._before.get("attempts", 0) + 1,
        }


def _read(path: Path) -> Mapping[str, float]:
    try:
        spent: Mapping[str, float] = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    return spent


def _cpu_seconds() -> float:
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _peak_memory_gb() -> float:
    """Of this process or of its largest child, whichever is more."""
    unit = 1 if sys.platform == "darwin" else 1024
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return max(resource.getrusage(one).ru_maxrss for one in who) * unit / 1e9


def _disk_gb(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e9
