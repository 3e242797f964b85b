"""One finished job as a record: what was asked, what came out, how it was obtained.

The part that must repeat bit for bit (`Record.fingerprint`) is kept apart from what is measured
on the way (`Record.measured`: time, memory) and from where it ran (`Record.provenance`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from lima_bench.common.hashing import digest

FORMAT = 1
"""Raised, with an upgrader in `store`, when the record's layout changes."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """One JSON file of the store.

    Attributes:
        key: The job's content address.
        stage: ``pretrain``, ``linear_probe``, ...
        version: Of the method, task or reader that did the work.
        config: The resolved settings; with `inputs` and `seed` they give the key.
        seed: None for stages without randomness.
        inputs: Role to key of the jobs whose artifacts were read.
        scores: Flat numbers; what columns show.
        details: Per-class scores, split scores, counts, digests of artifacts.
        provenance: Code key, commit, dirty flag, package versions, device, world size.
        measured: Wall hours, CPU hours, peak memory in GB, start time.
        format: Layout number.
    """

    key: str
    stage: str
    version: int
    config: Mapping[str, Any]
    seed: int | None
    inputs: Mapping[str, str] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    measured: Mapping[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def fingerprint(self) -> str:
        """Digest of all that the same seed must give again."""
        whole = asdict(self)
        return digest({k: v for k, v in whole.items() if k not in ("provenance", "measured")})
