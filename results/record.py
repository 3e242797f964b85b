"""One finished job as a record: what was asked, what came out, how it was obtained.

The part that must repeat bit for bit (`Record.fingerprint`) is kept apart from what is measured
on the way (`Record.measured`: time, memory) and from where it ran (`Record.provenance`).
Offers `Record`, its text (`to_text`) and its fields back (`from_fields`); `store` does the files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
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


_KINDS: dict[str, tuple[type, ...]] = {
    "key": (str,),
    "stage": (str,),
    "version": (int,),
    "seed": (int, type(None)),
    "format": (int,),
}
_REQUIRED = frozenset(f.name for f in fields(Record) if f.default_factory is MISSING) - {"format"}


def to_text(record: Record) -> str:
    """The record as JSON: sorted keys, every float as the shortest text that gives it back.

    Raises:
        ValueError: A number is NaN or infinite; a missing score is left out instead.
        TypeError: A value is no JSON value, such as a numpy scalar.
    """
    raw = {f.name: getattr(record, f.name) for f in fields(record)}
    return json.dumps(raw, sort_keys=True, indent=1, allow_nan=False) + "\n"


def from_fields(raw: Mapping[str, Any]) -> Record:
    """The record of the current format that a JSON object describes.

    Raises:
        ValueError: A field is missing, unknown or of the wrong kind.
    """
    known = {f.name for f in fields(Record)}
    if problem := sorted(raw.keys() - known):
        raise ValueError(f"unknown field {problem[0]!r}")
    if problem := sorted(_REQUIRED - raw.keys()):
        raise ValueError(f"field {problem[0]!r} is missing")
    for name, value in raw.items():
        kinds = _KINDS.get(name, (dict,))
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise ValueError(f"field {name!r} holds {type(value).__name__}")
    return Record(**raw)
