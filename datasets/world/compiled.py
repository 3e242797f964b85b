"""The one way in which the world compiles its inner loops.

Offers `compiled`: numba, one thread, cached on disk, without the interpreter lock. Division by
zero gives an infinity as in numpy. A product and a sum may be fused into one instruction, but
nothing is reordered, so that a machine always computes the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """`function` as machine code."""
    return cast(
        F, numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})(function)
    )
