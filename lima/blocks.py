"""Wide matrices a part at a time, so that what is made on the way stays small.

Offers `blocks` and `block_slices`.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Int
from torch import Tensor

BLOCK_VALUES = {"cpu": 1 << 18, "cuda": 1 << 24}
"""Of a block: 1 MB in single precision stays in a core's cache; a GPU wants more at a time."""


def blocks(rows: Int[Tensor, " rows"], width: int) -> Iterator[Int[Tensor, " some"]]:
    """`rows` in order, so many at a time that `width` values for each make a block."""
    return (rows[part] for part in block_slices(len(rows), width, rows.device))


def block_slices(n_rows: int, width: int, device: torch.device) -> Iterator[slice]:
    """Ranges of rows in order, each so long that `width` values for each row make a block."""
    size = max(BLOCK_VALUES.get(device.type, 1 << 18) // max(width, 1), 1)
    return (slice(start, start + size) for start in range(0, n_rows, size))
