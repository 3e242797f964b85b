"""Bilinear upsampling with corners on corners, written as sums over the cells of a grid.

Offers `upsampled`, the dense maps that the released decoders make, and `Axis`, what every pixel
mixes along one axis, for those who need only sums over the dense maps.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lima_bench.lima.losses import full_precision, widen


@dataclass(frozen=True)
class Axis:
    """Linear interpolation along one axis: pixel p mixes cells ``low`` and ``high``."""

    low: Int[Tensor, " pixels"]
    high: Int[Tensor, " pixels"]
    fraction: Float[Tensor, " pixels"]
    n_cells: int

    @classmethod
    def upsampling(cls, n_cells: int, n_pixels: int, like: Tensor) -> Axis:
        """First pixel on the first cell, last pixel on the last cell."""
        pixel = torch.arange(n_pixels, device=like.device, dtype=torch.float64)
        position = pixel * ((n_cells - 1) / max(n_pixels - 1, 1))
        low = position.floor().long().clamp(max=max(n_cells - 2, 0))
        high = (low + 1).clamp(max=n_cells - 1)
        return cls(low, high, (position - low).to(like.dtype), n_cells)

    def corners(self) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Both cells of every pixel with their shares."""
        return (self.low, 1 - self.fraction), (self.high, self.fraction)

    def matrix(self) -> Float[Tensor, "pixels cells"]:
        """Share of each cell in each pixel."""
        shares = self.fraction.new_zeros((len(self.low), self.n_cells))
        for cell, share in self.corners():
            shares.scatter_add_(1, cell[:, None], share[:, None])
        return shares

    def squares(self) -> Float[Tensor, "pixels lattice"]:
        """Shares of the products low*low, low*high, high*high in a squared mixture.

        Lattice point 2c is cell c with itself, 2c + 1 is cell c with its neighbour c + 1.
        """
        lattice = self.fraction.new_zeros((len(self.low), 2 * self.n_cells - 1))
        (low, low_share), (high, high_share) = self.corners()
        for place, share in (
            (2 * low, low_share.square()),
            (low + high, 2 * low_share * high_share),
            (2 * high, high_share.square()),
        ):
            lattice.scatter_add_(1, place[:, None], share[:, None])
        return lattice


def upsampled(
    grids: Float[Tensor, "images h w width"], size: tuple[int, int]
) -> Float[Tensor, "images H W width"]:
    """As ``interpolate(mode="bilinear", align_corners=True)``, channels last.

    By two products of matrices, whose backward is as fast as they are, and repeatable on a GPU.
    """
    grids = widen(grids)
    images, height, width, channels = grids.shape
    rows, cols = (
        Axis.upsampling(n, to, grids) for n, to in zip((height, width), size, strict=True)
    )
    with full_precision(grids.device):
        wide = cols.matrix() @ grids
        return (rows.matrix() @ wide.flatten(2)).view(images, *size, channels)
