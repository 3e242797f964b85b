"""What this machine has: cores, GPUs, and whether the code is a checkout. No torch.

Offers `core_count`, `gpu_count`, `devices_for`, `machine_class` and `checkout`.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from lima_bench.common.errors import UserError


def core_count() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def gpu_count() -> int:
    """NVIDIA GPUs that this process may use; 0 without their driver."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([part for part in visible.split(",") if part.strip()])
    if shutil.which("nvidia-smi") is None:
        return 0
    listed = _said("nvidia-smi", "--list-gpus")
    return len(listed.splitlines()) if listed else 0


def devices_for(device: str) -> tuple[str, ...]:
    """The devices that jobs take in turn.

    Raises:
        UserError: There is no such device here.
    """
    if device == "cpu":
        return ("cpu",)
    if device == "cuda":
        if (n_gpus := gpu_count()) == 0:
            raise UserError("--device cuda", "No NVIDIA GPU was found.", "--device cpu")
        return tuple(f"cuda:{number}" for number in range(n_gpus))
    what = f'There is no device "{device}".'
    raise UserError(f"--device {device}", what, "--device cpu or --device cuda")


def machine_class(device: str, cores: int = 1) -> str:
    """On what kind of machine this process works: times of different classes do not compare.

    The model of the processor, of the GPU where the job uses one, and the cores in use.

    Args:
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        cores: Cores that the job spreads over by itself, beside the threads of this process.
    """
    torch = sys.modules.get("torch")
    n_cores = max(cores, torch.get_num_threads() if torch is not None else 1)
    parts = [processor(), f"{n_cores} {'core' if n_cores == 1 else 'cores'}"]
    if device.startswith("cuda") and torch is not None and torch.cuda.is_initialized():
        parts.insert(0, str(torch.cuda.get_device_name(device)))
    return ", ".join(parts)


@cache
def processor() -> str:
    """The model of the processor, such as ``AMD EPYC 7763 64-Core Processor``."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        text = ""
    found = re.search(r"^model name\s*:\s*(\S.*)$", text, re.MULTILINE)
    return found[1].strip() if found else platform.processor() or platform.machine()


def checkout() -> tuple[str, bool]:
    """Commit of the checkout that this code is part of, and whether it holds further changes."""
    here = Path(__file__).resolve()
    tracked = _said("git", "-C", str(here.parent), "ls-files", "--error-unmatch", here.name)
    commit = _said("git", "-C", str(here.parent), "rev-parse", "HEAD") if tracked else None
    if not commit:
        return "", False
    return commit, bool(_said("git", "-C", str(here.parent), "status", "--porcelain"))


def _said(*command: str) -> str | None:
    """What a command writes, None if it cannot be run or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
