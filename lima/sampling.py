"""The teacher's feature at the pixel of each pair, read from four cells of the grid.

Offers `sample_pixels`, and the cells and shares behind it as `corners`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from lima_bench.lima.batch import PairIndex


def sample_pixels(
    grids: Float[Tensor, "images h w width"], pairs: PairIndex, size: tuple[int, int]
) -> Float[Tensor, "pairs width"]:
    """The feature of the pixel of each pair, bilinear between the four cells around it.

    Corners of the image lie on corners of the grid: pixel (row, col) is at
    (row (h-1)/(H-1), col (w-1)/(W-1)), as ``grid_sample(align_corners=True)`` and as the dense
    up-sampling of the released decoders. Only four cells per pair are read, never a dense map;
    gradients flow into `grids`.

    Args:
        grids: Channels last; float16 is computed in float32.
        pairs: `image`, `row` and `col` are read; rows and columns lie within `size`.
        size: (height, width) of the image that rows and columns refer to.
    """
    values = grids.float() if grids.dtype == torch.float16 else grids
    cells, shares = corners(grids.shape, pairs, size, values.dtype)
    return F.embedding_bag(cells, values.flatten(0, 2), mode="sum", per_sample_weights=shares)


def corners(
    shape: Sequence[int], pairs: PairIndex, size: tuple[int, int], dtype: torch.dtype
) -> tuple[Int[Tensor, "pairs 4"], Float[Tensor, "pairs 4"]]:
    """The four cells around the pixel of each pair, counted over all images, and their shares.

    Args:
        shape: Of the grids: images, height, width, channels.
        pairs: As in `sample_pixels`.
        size: As in `sample_pixels`.
        dtype: Of the shares.
    """
    _, height, width, _ = shape
    top, down = _between(pairs.row, height, size[0], dtype)
    left, right = _between(pairs.col, width, size[1], dtype)
    below, beside = (top + 1).clamp(max=height - 1), (left + 1).clamp(max=width - 1)
    start = pairs.image * (height * width)
    cells = torch.stack(
        [
            start + top * width + left,
            start + top * width + beside,
            start + below * width + left,
            start + below * width + beside,
        ],
        dim=1,
    )
    shares = torch.stack(
        [(1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right], dim=1
    )
    return cells, shares


def _between(
    pixel: Tensor, n_cells: int, n_pixels: int, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """The cell before each pixel along one axis, and the share of the cell after it."""
    place = pixel.to(dtype) * (n_cells - 1) / max(n_pixels - 1, 1)
    cell = place.floor().clamp(0, max(n_cells - 2, 0))
    return cell.long(), place - cell
