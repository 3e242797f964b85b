"""The benchmark modules there are, and which of them a pattern means.

Offers `GROUPS`, `ON_REQUEST`, `chosen_groups` and `is_chosen`. A group is the first part of the
names of its rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

GROUPS: tuple[str, ...] = (
    "layers",
    "network",
    "memory",
    "tiny",
    "maps",
    "images",
    "scores",
    "metric",
    "boxes",
    "targets",
    "data",
    "anchors",
    "heads",
    "step",
    "threads",
    "frames",
    "start",
    "tables",
    "gpu",
)
"""In the order in which they run; each is the module ``benchmarks.<group>``."""

ON_REQUEST: tuple[str, ...] = ("embedded", "setup", "index")
"""Too long for every run."""


def chosen_groups(patterns: Sequence[str], extra: Sequence[str] = ()) -> list[str]:
    """Groups that may hold rows of these names; without a pattern the usual ones and `extra`."""
    if not patterns:
        return [*GROUPS, *extra]
    heads = [pattern.split("/")[0] for pattern in patterns]
    known = [group for group in GROUPS if any(fnmatchcase(group, head) for head in heads)]
    named = [group for group in ON_REQUEST if group in heads or group in extra]
    return [*known, *named]


def is_chosen(name: str, patterns: Iterable[str]) -> bool:
    """Whether a row is meant: a pattern fits its name, or its whole group."""
    group = name.split("/")[0]
    patterns = list(patterns) or ["*"]
    return any(fnmatchcase(name, pattern) or fnmatchcase(group, pattern) for pattern in patterns)
