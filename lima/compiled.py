"""The one way in which inner loops of this part are compiled.

Offers `compiled`. A function made with it must not call one that is compiled in another file: the
copy on disk is renewed when its own file changes, not when another does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """`function` as machine code: one thread, kept on disk, without the interpreter's lock.

    It is compiled anew for every kind of argument, so callers pass arrays that are contiguous,
    writable and of one type: those that ``python -m lima_bench.lima.warm`` has compiled ahead.
    """
    return cast(F, numba.njit(cache=True, nogil=True)(function))
