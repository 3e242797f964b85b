"""Where this user's machine keeps what can be made again: indexes of large data sets.

Offers `cache_folder`. Data roots are never written to: some are read-only, others are shared.
"""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "LIMA_BENCH_CACHE"
"""The environment variable that names the folder."""


def cache_folder() -> Path | None:
    """The folder that `VARIABLE` names, else the usual one; None for a user without a home."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named).absolute()
    usual = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(usual) if usual else Path.home() / ".cache") / "lima-bench"
    except RuntimeError:
        return None
