"""On what a run was measured: without it no figure means anything.

Offers `describe`, `cpu_model` and `thread_setting`.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
from datetime import UTC, datetime
from pathlib import Path

PACKAGES = ("torch", "numpy", "numba", "spconv")


def describe() -> list[str]:
    """Lines for people: machine, versions, threads, load and date."""
    load = " ".join(f"{value:.2f}" for value in os.getloadavg())
    packages = ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    system = f"{platform.system()} {platform.release().split('-')[0]}"
    return [
        f"{cpu_model()}, {os.cpu_count()} cores, {memory_gb():.0f} GB; {system}",
        f"Python {platform.python_version()}, {packages}",
        f"{thread_setting()}; load average {load}; {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    ]


def cpu_model() -> str:
    """As the operating system names it, with the vector instructions that matter here."""
    names: dict[str, str] = {}
    cpuinfo = Path("/proc/cpuinfo")
    for line in cpuinfo.read_text().splitlines() if cpuinfo.exists() else []:
        key, _, value = line.partition(":")
        names.setdefault(key.strip(), value.strip())
    flags = names.get("flags", "").split()
    widest = next((flag for flag in ("avx512f", "avx2") if flag in flags), "")
    family = names.get("cpu family", "")
    model = names.get("model name", platform.processor() or platform.machine())
    known = f"family {family} model {names.get('model', '?')}" if family else ""
    return " ".join(filter(None, (model, f"({known})" if known else "", widest)))


def memory_gb() -> float:
    """Physical memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


def thread_setting() -> str:
    """What decides how many threads compute and how they wait."""
    names = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY")
    return ", ".join(f"{name}={os.environ.get(name, 'unset')}" for name in names)


def _version(name: str) -> str:
    for candidate in (name, f"{name}-cu126", f"{name}-cu120"):
        try:
            return importlib.metadata.version(candidate)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "not installed"
