"""The one way in which the world compiles its inner loops.

Offers `compiled`: numba, one thread, cached on disk, without the interpreter lock. Division by
zero gives an infinity as in numpy. A product and a sum may be fused into one instruction, but
nothing is reordered, so that a machine always computes the same bits.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def _sources_digest() -> str:
    """Digest of every source file of the world."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


_STAMP = _sources_digest()


def compiled(function: F) -> F:
    """`function` as machine code, kept on disk until any source file of the world changes.

    By itself numba looks at the function's own file only, and would go on using what it inlined
    from another file before that was edited.
    """
    options: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}
    made: Any = numba.njit(fastmath={"contract"}, **options)(function)
    # Numba offers no public way to say when a cached function is stale. Should the place of the
    # stamp change, its own rule remains.
    with contextlib.suppress(AttributeError):
        made._cache._cache_file._source_stamp = _STAMP
    return cast(F, made)
