"""Content addresses: the same thing has the same digest, however it was spelled or ordered.

Offers `canonical_json`, `digest`, `file_digest` and `tree_digest`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def canonical_json(value: Any) -> str:
    """`value` as JSON with sorted keys and no spaces; refuses NaN and infinities."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any) -> str:
    """SHA-256 (64 hex digits) of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 (64 hex digits) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tree_digest(root: Path, files: Iterable[Path]) -> str:
    """One digest over the names (relative to `root`) and contents of `files`; order is free."""
    return digest({file.relative_to(root).as_posix(): file_digest(file) for file in files})
