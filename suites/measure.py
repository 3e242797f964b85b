"""What a job takes: time over all its attempts, peak memory, disk, and whether it ran alone.

Offers `Meter`. Time that an interrupted attempt spent is noted beside its state and counted when
the job goes on, for a cost that forgets interruptions would flatter. So are its peak of memory and
whether it ran alone: a job is alone only if every attempt was.
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
from lima_bench.suites.machine import machine_class
from lima_bench.suites.memory import PeakMemory
from lima_bench.suites.presence import Presence

_NOTE_S = 10.0
_SUMS = ("wall_s", "cpu_s", "waited_s", "attempts")


class Meter:
    """Runs from its making until `close`.

    Args:
        state: The folder of the unfinished job.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        cores: Cores that the job spreads over by itself, beside the threads of this process.
        own_process: Whether this process does nothing else.
    """

    def __init__(
        self, state: Path, *, device: str = "cpu", cores: int = 1, own_process: bool = False
    ) -> None:
        self._path = state / "spent.json"
        self._before = _read(self._path)
        self._device, self._cores = device, cores
        self._presence = Presence()
        self._memory = PeakMemory(device, own_process=own_process)
        self._began = datetime.now(UTC)
        self._wall, self._cpu = time.perf_counter(), _cpu_seconds()
        self._waited = _waited_seconds()
        self._noted = self._wall

    def tick(self) -> None:
        """Note what was spent so far, now and then; called with every step."""
        now = time.perf_counter()
        if now - self._noted > _NOTE_S:
            self._noted = now
            write_atomic(self._path, json.dumps(self._spent()))

    def measured(self, artifact: Path, *, samples: float | None = None) -> dict[str, Any]:
        """The record's measures.

        Args:
            artifact: The folder that the job leaves, if any.
            samples: Scans that were learnt from, counted as often as they were shown.
        """
        spent = self._spent()
        wall_s, cpu_s = spent.pop("wall_s"), spent.pop("cpu_s")
        per_sample = {}
        if samples:
            per_sample = {
                "samples": samples,
                "wall_seconds_per_sample": wall_s / samples,
                "cpu_seconds_per_sample": cpu_s / samples,
            }
        return {
            "wall_hours": wall_s / 3600,
            "cpu_hours": cpu_s / 3600,
            "waited_hours": spent.pop("waited_s") / 3600,
            **per_sample,
            **spent,
            "disk_gb": _disk_gb(artifact),
            "machine_class": machine_class(self._device, self._cores),
            "started": self._began.isoformat(timespec="seconds"),
        }

    def close(self) -> None:
        """Be no company to other jobs any more."""
        self._presence.leave()

    def _spent(self) -> dict[str, Any]:
        """Of all attempts: sums, the highest peaks, and alone only if all were."""
        now: dict[str, Any] = {
            "wall_s": time.perf_counter() - self._wall,
            "cpu_s": _cpu_seconds() - self._cpu,
            # Threads that ended took their count with them.
            "waited_s": max(0.0, _waited_seconds() - self._waited),
            "attempts": 1,
        }
        spent = {name: now[name] + self._before.get(name, 0) for name in _SUMS}
        for name, value in self._memory.taken().items():
            spent[name] = max(value, self._before.get(name, value))
        # Notes of an earlier version say nothing of company.
        quiet_before = not self._before or self._before.get("alone") is True
        return {**spent, "alone": quiet_before and self._presence.alone()}


def _read(path: Path) -> Mapping[str, Any]:
    try:
        spent: Mapping[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    return spent


def _cpu_seconds() -> float:
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _waited_seconds() -> float:
    """How long threads of this process were ready to go on and had no core; 0 if unknown."""
    if sys.platform != "linux":
        return 0.0
    waited_ns = 0
    for path in Path("/proc/self/task").glob("*/schedstat"):
        try:
            waited_ns += int(path.read_text().split()[1])
        except (OSError, ValueError, IndexError):  # the thread ended, or the kernel keeps no count
            continue
    return waited_ns / 1e9


def _disk_gb(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e9
