"""Features of voxels -> features of columns on the ground: sparse convolutions that only go down.

Offers `Columns`. Kernels are as long as their strides, so blocks never overlap: every cell goes to
one block, under one weight. Source: methods-spatial 7.3.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from lima_bench.lima.backbones.sparse.norm import BatchNorm
from lima_bench.lima.losses import widen

KERNELS = ((2, 2, 8), (2, 2, 5), (1, 1, 2))
"""Of the three convolutions; in all 4 x 4 x 80 cells of the lattice."""

_BITS = (18, 18, 14)
"""Of cell indices in a key: lattices of 0.1 m reach 13 km, and 819 m up and down."""

Places = Int[Tensor, "cells 4"]


class Columns(nn.Module):
    """Three convolutions without overlap, with BatchNorm between them.

    They act on a lattice in metres, whatever the voxels are: a voxel lies in the cell of the point
    that stands for it, and several in one cell are added up. For Cartesian voxels as large as the
    lattice's cells, with a corner at the origin, this is convolution of the voxels.

    Args:
        width: Channels.
        lattice_m: Edge of the finest cells.
        bn_momentum: Of BatchNorm.
    """

    def __init__(self, width: int, lattice_m: float, bn_momentum: float) -> None:
        super().__init__()
        self.lattice_m = lattice_m
        self.convolutions = nn.ModuleList(_BlockConv(width, kernel) for kernel in KERNELS)
        self.norms = nn.ModuleList(BatchNorm(width, momentum=bn_momentum) for _ in KERNELS[1:])

    def forward(
        self,
        features: Float[Tensor, "voxels width"],
        xyz: Float[Tensor, "voxels 3"],
        view: Int[Tensor, " voxels"],
    ) -> tuple[Float[Tensor, "columns width"], Int[Tensor, "columns 4"]]:
        """Features of the columns, and where they are: view, and x, y, z in their own sizes.

        Args:
            features: One per voxel.
            xyz: The point that stands for each voxel, metres.
            view: The cloud of each; columns never hold two.
        """
        # Divided as voxels are made: a factor of 1 / lattice_m would put edges elsewhere.
        lattice = (xyz / xyz.new_tensor(self.lattice_m)).floor().long()
        places = torch.cat([view[:, None], lattice], dim=1)
        features, places = self.convolutions[0](features, places)
        for norm, convolution in zip(self.norms, self.convolutions[1:], strict=True):
            features, places = convolution(norm(features), places)
        return features, places


class _BlockConv(nn.Module):
    """One convolution: kernel and stride are the same; starts as in MinkowskiEngine."""

    def __init__(self, width: int, kernel: tuple[int, int, int]) -> None:
        super().__init__()
        self.kernel, n_weights = kernel, math.prod(kernel)
        bound = 1.0 / math.sqrt(width * n_weights)
        self.weight = nn.Parameter(torch.empty(n_weights, width, width).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(width).uniform_(-bound, bound))

    def forward(
        self, features: Float[Tensor, "cells width"], places: Places
    ) -> tuple[Float[Tensor, "blocks width"], Int[Tensor, "blocks 4"]]:
        """Features and places of the blocks that hold a cell, sorted by place."""
        step = places.new_tensor([1, *self.kernel])
        blocks = torch.div(places, step, rounding_mode="floor")
        within = places - blocks * step
        keys, block = torch.unique(_packed(blocks), return_inverse=True)
        # The first axis runs fastest among the weights, as in all of our sparse kernels.
        weight = (within[:, 3] * self.kernel[1] + within[:, 2]) * self.kernel[0] + within[:, 1]
        order = torch.argsort(weight, stable=True)
        counts = torch.bincount(weight, minlength=len(self.weight)).tolist()
        # The function, as mypy knows no types of the method.
        parts = torch.functional.split(widen(features).index_select(0, order), counts)
        sent = torch.cat([part @ one for part, one in zip(parts, self.weight, strict=True)])
        total = self.bias.expand(len(keys), -1).to(sent.dtype)
        return total.index_add(0, block[order], sent), _unpacked(keys)


def _packed(places: Places) -> Int[Tensor, " cells"]:
    """One key per place; keys sort as places do."""
    keys = places[:, 0]
    for axis, bits in enumerate(_BITS, start=1):
        keys = (keys << bits) | (places[:, axis] + (1 << (bits - 1)))
    return keys


def _unpacked(keys: Int[Tensor, " cells"]) -> Places:
    axes: list[Tensor] = []
    for bits in reversed(_BITS):
        axes.append((keys & ((1 << bits) - 1)) - (1 << (bits - 1)))
        keys = keys >> bits
    return torch.stack([keys, *reversed(axes)], dim=1)
