"""Setting up from nothing: ``make setup`` into a new environment, compiled kernels included.

Offers `rows`. Fetches every package, so on request only: ``python -m benchmarks setup``.
"""

from __future__ import annotations

import tempfile

from benchmarks.children import run
from benchmarks.rows import Row

LIMIT_MINUTES = 5.0


def rows(quick: bool) -> list[Row]:
    """Wall time; `quick` changes nothing, there is no small way to do it."""
    with tempfile.TemporaryDirectory() as folder:
        usage = run(("make", "setup", f"VENV={folder}/venv"))
    if usage.code:
        raise RuntimeError(f"make setup ended with exit code {usage.code}")
    note = f"wall; {usage.cpu_s:.0f} s of CPU"
    minutes = usage.wall_s / 60
    return [Row.of("setup/fresh environment", minutes, "min", at_most=LIMIT_MINUTES, note=note)]
