"""Figures that need a fresh process: start-up, whole tables, peak memory.

Offers `Usage`, `run`, `answer` and, for use in the child, `resident_bytes`. Times and peak memory
come from the operating system.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LIMA_BENCH = (sys.executable, "-m", "lima_bench.suites.cli")


@dataclass(frozen=True)
class Usage:
    """What a child process took.

    Attributes:
        wall_s: From start to end.
        cpu_s: Of it and the processes that it waited for.
        code: Its exit code.
    """

    wall_s: float
    cpu_s: float
    code: int


def run(command: Sequence[str], extra: Mapping[str, str] | None = None) -> Usage:
    """Run a command from the checkout, its output thrown away.

    Args:
        command: Program and arguments.
        extra: Environment variables to set on top.
    """
    before = os.times()
    started = time.perf_counter()
    code = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **(extra or {})}, stdout=subprocess.DEVNULL
    ).returncode
    wall_s = time.perf_counter() - started
    after = os.times()
    cpu_s = after.children_user + after.children_system
    return Usage(wall_s, cpu_s - before.children_user - before.children_system, code)


def answer(module: str, *arguments: str, extra: Mapping[str, str] | None = None) -> Any:
    """What ``python -m module`` prints as JSON, with further environment variables.

    Raises:
        RuntimeError: It failed; its error output goes to ours.
    """
    command = (sys.executable, "-m", module, *arguments)
    environment = {**os.environ, **(extra or {})}
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise RuntimeError(f"{module} ended with exit code {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


def resident_bytes(field: str) -> int:
    """Resident memory of this process: ``VmHWM`` at its peak; ``VmRSS``, ``RssAnon`` ... now."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"the operating system does not tell {field}")
