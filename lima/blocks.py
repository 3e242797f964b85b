"""Wide matrices a part at a time, so that what is made on the way stays small.

Offers `blocks` and `block_rows`.
"""

from __future__ import annotations

from collections.abc import Iterator

from jaxtyping import Int
from torch import Tensor

BLOCK_VALUES = 2 << 20
"""8 MB in single precision: small beside any batch, large beside the cost of a call."""


def block_rows(width: int) -> int:
    """How many rows of `width` values make a block."""
    return max(BLOCK_VALUES // max(width, 1), 1)


def blocks(rows: Int[Tensor, " rows"], width: int) -> Iterator[Int[Tensor, " some"]]:
    """`rows` in order, one block at a time; nothing if there are none."""
    return (part for part in rows.split(block_rows(width)) if len(part))
