"""Wide matrices a part at a time, so that what is made on the way stays small.

Offers `block_slices`, and `softmax_` of a part.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

BLOCK_VALUES = {"cpu": 1 << 19, "cuda": 1 << 24}
"""Of a block: 2 MB in single precision stay in a core's cache; a GPU wants more at a time."""


def block_slices(n_rows: int, width: int, device: torch.device) -> Iterator[slice]:
    """Ranges of rows in order, each so long that `width` values for each row make a block."""
    size = max(BLOCK_VALUES.get(device.type, BLOCK_VALUES["cpu"]) // max(width, 1), 1)
    return (slice(start, min(start + size, n_rows)) for start in range(0, n_rows, size))


def softmax_(products: Float[Tensor, "rows columns"]) -> Float[Tensor, " rows"]:
    """Make each row its softmax, in place; the logarithms of the denominators."""
    top = products.amax(dim=1, keepdim=True)
    size = products.sub_(top).exp_().sum(dim=1, keepdim=True)
    products.div_(size)
    return (top + size.log()).squeeze(1)
