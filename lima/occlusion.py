"""What hides what: a coarse image of the nearest depths, and which pairs lie behind it.

Offers `nearest_depths` and `shown`. A cell covers 8 x 8 pixels of the resized image, in which a
LiDAR leaves a few points. No published method tests occlusion: this is an axis (methods-temporal
3.2, row 9).
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

CELL = 8
"""Pixels of the resized image along the edge of a cell."""

MARGIN = 0.1
"""Share of the nearest depth by which a point may lie behind it and still be seen: a cell also
looks along slanted ground; assumed."""


def nearest_depths(
    camera: Int[Tensor, " pairs"],
    row: Int[Tensor, " pairs"],
    col: Int[Tensor, " pairs"],
    depth_m: Float[Tensor, " pairs"],
    shape: tuple[int, int, int],
) -> Float[Tensor, "cameras rows cols"]:
    """The nearest depth in every cell, metres; infinite where no pair is.

    Args:
        camera: Of each pair, from 0.
        row: Pixel row in the resized image.
        col: Pixel column.
        depth_m: Of the point, along the camera's axis.
        shape: Number of cameras, height and width of their images in pixels.
    """
    n_cameras, rows, cols = shape[0], *(-(-length // CELL) for length in shape[1:])
    empty = depth_m.new_full((n_cameras * rows * cols,), torch.inf)
    cell = (camera * rows + row // CELL) * cols + col // CELL
    return empty.scatter_reduce(0, cell, depth_m, "amin").reshape(n_cameras, rows, cols)


def shown(
    nearest_m: Float[Tensor, "cameras rows cols"],
    camera: Int[Tensor, " pairs"],
    row: Int[Tensor, " pairs"],
    col: Int[Tensor, " pairs"],
    depth_m: Float[Tensor, " pairs"],
) -> Bool[Tensor, " pairs"]:
    """Whether each point is seen: nothing in its cell is nearer by more than the margin."""
    nearest = nearest_m[camera, row // CELL, col // CELL]
    front: Tensor = depth_m <= nearest + MARGIN * nearest.abs()
    return front
