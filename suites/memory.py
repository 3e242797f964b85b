"""How much memory a job took at most: of its process, and of its GPU.

Offers `PeakMemory`.

The system keeps a process's highest resident memory since its start, and ``ru_maxrss`` never
falls: in a process that did other jobs before, it is the peak of the largest of them. Workers of
the process executor do one job each; they are forked, and a fork's mark starts at the memory that
it then has (torch and all modules, the same for every job), not at its parent's peak. Elsewhere
Linux lets a process lower the mark to what it holds now (``/proc/self/clear_refs``). Where neither
holds, the mark is only an upper bound, and says so.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import re
import resource
import sys
from pathlib import Path
from typing import Any

_PROC = Path("/proc/self")
_LOWER_MARK = "5"  # "reset the peak resident set size", proc_pid_clear_refs(5)


class PeakMemory:
    """Watches from its making on.

    Args:
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        own_process: Whether this process does nothing else before or after.
    """

    def __init__(self, device: str = "cpu", *, own_process: bool = False) -> None:
        self._device = device
        self._own_process = own_process
        self._lowered = not own_process and _lower_mark()
        self._children_before = _children_gb()
        self._children_cpu_before = _children_cpu_s()
        if (cuda := _cuda(device)) is not None:
            cuda.reset_peak_memory_stats(device)

    def taken(self) -> dict[str, Any]:
        """``peak_resident_gb`` and, with a GPU, ``peak_device_gb`` and ``peak_device_reserved_gb``.

        Also ``peak_memory_gb``, of the place where the network is, and ``peak_is_bound`` where the
        resident peak may be that of an earlier job.
        """
        own = _marked_gb() if self._lowered else _own_gb()
        resident = max(own, self._of_children())
        found: dict[str, Any] = {"peak_resident_gb": resident, "peak_memory_gb": resident}
        if self._is_bound():
            found["peak_is_bound"] = True
        if (cuda := _cuda(self._device)) is not None:
            found["peak_device_gb"] = cuda.max_memory_allocated(self._device) / 1e9
            found["peak_device_reserved_gb"] = cuda.max_memory_reserved(self._device) / 1e9
            # What tensors take belongs to the method; what is reserved, to the allocator.
            found["peak_memory_gb"] = found["peak_device_gb"]
        return found

    def _of_children(self) -> float:
        """Of the largest child that has ended, if it is one of this job."""
        now = _children_gb()
        return now if self._own_process or now > self._children_before else 0.0

    def _is_bound(self) -> bool:
        if self._own_process:
            return False
        hidden = _children_cpu_s() > self._children_cpu_before and self._of_children() == 0.0
        return hidden or not self._lowered


def _lower_mark() -> bool:
    """Lower this process's mark to what it holds now; whether the system can do that."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # else freed memory of the job before would count
    try:
        (_PROC / "clear_refs").write_text(_LOWER_MARK)
        return _marked_gb() > 0
    except OSError:
        return False


def _marked_gb() -> float:
    found = re.search(r"^VmHWM:\s+(\d+) kB$", (_PROC / "status").read_text(), re.MULTILINE)
    return int(found[1]) * 1024 / 1e9 if found else 0.0


def _own_gb() -> float:
    return _rusage_gb(resource.RUSAGE_SELF)


def _children_gb() -> float:
    return _rusage_gb(resource.RUSAGE_CHILDREN)


def _rusage_gb(who: int) -> float:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(who).ru_maxrss * unit / 1e9


def _children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _cuda(device: str) -> Any:
    """What torch knows of NVIDIA GPUs, if the job uses one and it has begun; nothing is loaded."""
    torch = sys.modules.get("torch")
    if not device.startswith("cuda") or torch is None or not torch.cuda.is_initialized():
        return None
    return torch.cuda
