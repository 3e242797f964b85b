"""The one way in which inner loops are compiled: numba, one thread, kept on disk.

Offers `compiler`.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])


def compiler(sources: Iterable[str | Path | None] = (), **options: Any) -> Callable[[F], F]:
    """What turns a function into machine code that runs without the interpreter's lock.

    Division by zero gives an infinity as in numpy. A function is compiled anew for every kind of
    argument; the copy on disk serves later processes.

    Args:
        sources: Files besides the function's own that the machine code is made of. By itself numba
            looks at the function's own file only, and would go on using what it took from another
            file before that was edited.
        options: Further ones of `numba.njit`.

    Without numba (it has no wheel for some machines) functions stay as they are, which is said.
    """
    try:
        numba = importlib.import_module("numba")
    except ImportError as error:
        message = f"Inner loops run uncompiled, a hundred times slower: no numba ({error})."
        warnings.warn(message, stacklevel=2)
        return _as_it_is
    files = [Path(source).resolve() for source in sources if source is not None]

    def compiled(function: F) -> F:
        made: Any = numba.njit(cache=True, nogil=True, error_model="numpy", **options)(function)
        if files:
            own = Path(function.__code__.co_filename).resolve()
            # Numba offers no public way to say when a cached function is stale. Should the place
            # of the stamp change, its own rule remains.
            with contextlib.suppress(AttributeError):
                made._cache._cache_file._source_stamp = _digest({own, *files})
        return cast(F, made)

    return compiled


def _as_it_is(function: F) -> F:
    return function


def _digest(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()
