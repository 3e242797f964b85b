"""Means and maxima over groups: of points per group, and of upsampled pixels per superpixel.

Offers `group_mean`, `group_max` and `superpixel_means`. Means divide by ``count + SOFT_COUNT``, as
SLidR's published code does, so an empty group has mean 0.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lima_bench.lima.losses import TINY, full_precision, widen
from lima_bench.lima.upsampling import Axis

SOFT_COUNT = 1e-6
"""Added to every count that a sum is divided by."""


def group_mean(
    values: Float[Tensor, "rows width"], group: Int[Tensor, " rows"], n_groups: int
) -> tuple[Float[Tensor, "groups width"], Int[Tensor, " groups"]]:
    """Mean of the rows of each group, and how many rows each has."""
    values = widen(values)
    total = values.new_zeros((n_groups, values.shape[1])).index_add(0, group, values)
    count = torch.bincount(group, minlength=n_groups)
    return total / (count[:, None].to(values.dtype) + SOFT_COUNT), count


def group_max(
    values: Float[Tensor, "rows width"], group: Int[Tensor, " rows"], n_groups: int
) -> Float[Tensor, "groups width"]:
    """Largest value of each channel over the rows of each group; zeros for a group without rows.

    Rows that share the largest value share its gradient.
    """
    values = widen(values)
    least = values.new_full((n_groups, values.shape[1]), -torch.inf)
    place = group[:, None].expand_as(values)
    largest = least.scatter_reduce(0, place, values, "amax")
    return largest.masked_fill(largest.isneginf(), 0.0)


def superpixel_means(
    grids: Float[Tensor, "images h w width"], superpixels: Int[Tensor, "images H W"], n_ids: int
) -> Float[Tensor, "images ids width"]:
    """Mean over each superpixel of the unit vectors of the bilinearly upsampled `grids`.

    Same value as: upsample to (H, W) with ``align_corners=True``, divide each pixel's vector by
    its length, average over the pixels of each superpixel. But never at full resolution: a
    superpixel's mean is a weighted sum of grid cells, whose weights need only the pixels' lengths,
    and those follow from inner products of neighbouring cells.

    Args:
        grids: Feature maps, channels last.
        superpixels: Ids from 0, per image, below `n_ids`; a pixel with -1 is left out.
        n_ids: Room for so many ids per image; unused ones get a zero vector.
    """
    with full_precision(grids.device):  # in half precision, sums over large segments overflow
        return _superpixel_means(widen(grids), superpixels, n_ids)


def _superpixel_means(
    grids: Float[Tensor, "images h w width"], superpixels: Int[Tensor, "images H W"], n_ids: int
) -> Float[Tensor, "images ids width"]:
    images, height, width, _ = grids.shape
    cells = height * width
    rows = Axis.upsampling(height, superpixels.shape[1], grids)
    cols = Axis.upsampling(width, superpixels.shape[2], grids)
    inside = superpixels >= 0
    scale = _inverse_lengths(grids, rows, cols) * inside
    first = n_ids * torch.arange(images, device=grids.device).view(-1, 1, 1)
    group = superpixels.long().clamp(min=0) + first
    weights = grids.new_zeros(images * n_ids * cells)
    for row_cell, row_share in rows.corners():
        for col_cell, col_share in cols.corners():
            place = group * cells + (row_cell[:, None] * width + col_cell)
            share = scale * (row_share[:, None] * col_share)
            weights.index_add_(0, place.flatten(), share.flatten())
    # Pixels without a segment are counted in one more bin: picking them out would wait for a GPU.
    counted = torch.where(inside, group, images * n_ids).flatten()
    count = torch.bincount(counted, minlength=images * n_ids + 1)[:-1].view(images, n_ids, 1)
    total = weights.view(images, n_ids, cells) @ grids.flatten(1, 2)
    return total / (count.to(grids.dtype) + SOFT_COUNT)


def _inverse_lengths(
    grids: Float[Tensor, "images h w width"], rows: Axis, cols: Axis
) -> Float[Tensor, "images H W"]:
    """1 / length of every upsampled pixel's vector; 0 where the length is 0."""
    squared = rows.squares() @ _neighbour_products(grids) @ cols.squares().T
    return (squared > TINY**2) * squared.clamp_min(TINY**2).rsqrt()


def _neighbour_products(
    grids: Float[Tensor, "images h w width"],
) -> Float[Tensor, "images lattice_rows lattice_cols"]:
    """Inner products of each cell with itself and its neighbours, on the doubled lattice.

    The point between four cells holds the mean of the two diagonal products.
    """
    images, height, width, _ = grids.shape
    right, down = grids[:, :, 1:], grids[:, 1:]
    lattice = grids.new_zeros((images, 2 * height - 1, 2 * width - 1))
    lattice[:, ::2, ::2] = (grids * grids).sum(-1)
    lattice[:, ::2, 1::2] = (grids[:, :, :-1] * right).sum(-1)
    lattice[:, 1::2, ::2] = (grids[:, :-1] * down).sum(-1)
    falling = (grids[:, :-1, :-1] * grids[:, 1:, 1:]).sum(-1)
    rising = (grids[:, :-1, 1:] * grids[:, 1:, :-1]).sum(-1)
    lattice[:, 1::2, 1::2] = (falling + rising) / 2
    return lattice
