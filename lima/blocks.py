"""Wide matrices a part at a time, so that what is made on the way stays small.

Offers `block_slices`.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

BLOCK_VALUES = {"cpu": 1 << 19, "cuda": 1 << 24}
"""Of a block: 2 MB in single precision stay in a core's cache; a GPU wants more at a time."""


def block_slices(n_rows: int, width: int, device: torch.device) -> Iterator[slice]:
    """Ranges of rows in order, each so long that `width` values for each row make a block."""
    size = max(BLOCK_VALUES.get(device.type, BLOCK_VALUES["cpu"]) // max(width, 1), 1)
    return (slice(start, min(start + size, n_rows)) for start in range(0, n_rows, size))
