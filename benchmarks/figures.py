"""The figures a user feels: set-up, start-up, the smoke and embedded tables, cold and warm.

Run ``.venv/bin/python benchmarks/figures.py [NAME ...]`` from the checkout; without names every
figure but ``setup`` and ``embedded`` is taken. Each is one command in a child process; wall time,
CPU time and the peak memory of the largest process come from the operating system. Machines differ
and are shared: quote ratios, or name the machine.
"""

from __future__ import annotations

import os
import platform
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIMA_BENCH = f"{shlex.quote(str(Path(sys.executable).parent / 'lima-bench'))}"
COMMANDS = {
    "setup": "make setup VENV={fresh}/venv",
    "help": f"{LIMA_BENCH} --help",
    "list": f"{LIMA_BENCH} list methods",
    "plan": f"{LIMA_BENCH} plan table1 --store {{fresh}}/plan",
    "smoke": f"{LIMA_BENCH} run table1 --profile smoke --store {{fresh}}/smoke --quiet",
    "smoke-warm": f"{LIMA_BENCH} run table1 --profile smoke --store {{fresh}}/smoke --quiet",
    "embedded": f"{LIMA_BENCH} run table1 --store {{fresh}}/embedded --quiet",
    "embedded-warm": f"{LIMA_BENCH} run table1 --store {{fresh}}/embedded --quiet",
}
SLOW = ("setup", "embedded", "embedded-warm")


def measure(command: str) -> tuple[float, float, float, int]:
    """Run a shell command: wall seconds, CPU seconds, peak GB of its largest process, exit code."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    code = subprocess.run(command, shell=True, cwd=ROOT, stdout=subprocess.DEVNULL).returncode
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu, after.ru_maxrss / 1e6, code


def main(names: list[str]) -> int:
    """Print one line per figure; the exit code is the number of commands that failed."""
    chosen = names or [name for name in COMMANDS if name not in SLOW]
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, ", end="")
    print(f"Python {platform.python_version()}")
    print(f"{'figure':<14}{'wall s':>10}{'CPU s':>10}{'peak GB':>10}  exit")
    failed = 0
    with tempfile.TemporaryDirectory() as fresh:
        for name in chosen:
            wall, cpu, peak, code = measure(COMMANDS[name].format(fresh=fresh))
            print(f"{name:<14}{wall:>10.2f}{cpu:>10.1f}{peak:>10.2f}  {code}", flush=True)
            failed += code not in (0, 4)
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
