"""Which scans a kind of 3D clusters is made from: method card -> clusters stage.  Light: no torch.

Offers `Kind`, `KINDS`, `cluster_facts` and `VERSION`. Planning puts what stands here into the
stage's key, the stage builds by it, and methods ask for the same company
(`lima_bench.lima.company`), so that what was built is what a batch holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lima_bench.lima.company import Company

VERSION = 1
"""Raise it when labels change on purpose."""


@dataclass(frozen=True)
class Kind:
    """One kind of clusters.

    Attributes:
        company: The scans beside a frame whose points are labelled together with its own.
        witnesses: Keyframes after the frame (negative: before) that are looked at, not labelled.
    """

    company: Company = field(default_factory=Company)
    witnesses: tuple[int, ...] = ()

    @property
    def facts(self) -> dict[str, Any]:
        """As JSON values, for keys."""
        return {
            "offsets": list(self.company.offsets),
            "at_the_end": self.company.at_the_end,
            "witnesses": list(self.witnesses),
        }


KINDS: Mapping[str, Kind] = {
    # The last keyframe of a recording goes with the one before it: two times, as everywhere else.
    "segments": Kind(Company(offsets=(1,), at_the_end="other_side")),
    "pseudo_instances": Kind(witnesses=(-1, 1)),
}


def cluster_facts(kind: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """All that clusters of `kind` depend on beside the data, as JSON values.

    Args:
        kind: One of `KINDS`.
        settings: Every `ClusterSettings`, as JSON values; those of other kinds are left out.
    """
    own = {name: settings[name] for name in ("ground", kind)}
    return {"kind": kind, "settings": own, "scans": KINDS[kind].facts}
