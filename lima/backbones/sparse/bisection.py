"""Kernel maps by bisection in sorted keys, in torch: on any device, without a hash table.

Offers `neighbour_links`, `halving_links` and `strided_links`.
"""

from __future__ import annotations

import itertools

import torch
from jaxtyping import Int
from torch import Tensor

from lima_bench.lima.backbones.sparse.kernel_map import Links
from lima_bench.lima.backbones.sparse.packing import Packing
from lima_bench.lima.backbones.sparse.window import Triple, Window

KERNEL = 3
N_WEIGHTS = KERNEL**3
N_CORNERS = 8

LINES = ((0, 0), (1, 0), (-1, 1), (0, 1), (1, 1))
"""Steps along the first two axes; with their mirror images they make up all lines around a cell."""


def neighbour_links(keys: Int[Tensor, " voxels"], packing: Packing) -> Links:
    """Every cell and its up to 26 occupied neighbours, under the weights of a kernel of 3.

    One bisection finds the first of three neighbours in a line along the last axis; the others, if
    they exist, are the rows that follow. A pair under one weight is, turned round, a pair under the
    opposite one.
    """
    rows = torch.arange(len(keys), device=keys.device, dtype=torch.int32)
    table = rows.new_full((len(keys), N_WEIGHTS), -1)
    table[:, N_WEIGHTS // 2] = rows
    padded = torch.cat((keys, keys.new_full((KERNEL,), torch.iinfo(torch.int64).max)))
    for first, second in LINES:
        thirds = (1,) if (first, second) == (0, 0) else (-1, 0, 1)
        target = keys + packing.step((first, second, thirds[0]))
        at = torch.searchsorted(keys, target)
        for third in thirds:
            hit = padded[at] == target
            here, there = rows[hit], at[hit]
            weight = (first + 1) + KERNEL * (second + 1) + KERNEL * KERNEL * (third + 1)
            table[here.long(), weight] = there.int()
            table[there, N_WEIGHTS - 1 - weight] = here
            at, target = at + hit, target + 1
    return Links.of(table)


def halving_links(
    keys: Int[Tensor, " voxels"], packing: Packing
) -> tuple[Int[Tensor, " coarse"], Links, Links]:
    """Keys of the cells of twice the edge; links down to them and up again, kernel of 2.

    Down, a coarse cell meets its up to 8 cells; up, each cell meets the coarse one that holds it.
    """
    coarse, parent = torch.unique(packing.halved(keys), return_inverse=True)
    corner = packing.corner(keys)
    rows = torch.arange(len(keys), device=keys.device)
    down = torch.full((len(coarse), N_CORNERS), -1, dtype=torch.int32, device=keys.device)
    down[parent, corner] = rows.int()
    up = torch.full((len(keys), N_CORNERS), -1, dtype=torch.int32, device=keys.device)
    up[rows, corner] = parent.int()
    return coarse, Links.of(down), Links.of(up)


def strided_links(
    keys: Int[Tensor, " voxels"], packing: Packing, window: Window, extent: Triple
) -> tuple[Int[Tensor, " coarse"], Links, Links]:
    """Keys of the cells of a strided convolution's output; links down to them and up again.

    Args:
        keys: Of the cells.
        packing: How to read them, and the output's.
        window: What the convolution looks at.
        extent: Cells along each axis of the grid of outputs.
    """
    cells = packing.unpack(keys)
    stride, sides = cells.new_tensor(window.stride), cells.new_tensor(extent)
    first, second, _ = window.kernel
    shifted = cells[:, 1:] + cells.new_tensor(window.padding)
    found, rows, weights = [], [], []
    for offset in itertools.product(*map(range, window.kernel)):
        place = shifted - cells.new_tensor(offset)
        there = ((place >= 0) & (place % stride == 0) & (place // stride < sides)).all(dim=1)
        row = torch.nonzero(there).squeeze(1)
        found.append(packing.keys(torch.cat((cells[row, :1], place[row] // stride), dim=1)))
        rows.append(row)
        weights.append(torch.full_like(row, offset[0] + first * (offset[1] + second * offset[2])))
    coarse, outputs = torch.unique(torch.cat(found), return_inverse=True)
    inputs, weight = torch.cat(rows), torch.cat(weights)
    down = keys.new_full((len(coarse), window.n_weights), -1, dtype=torch.int32)
    down[outputs, weight] = inputs.int()
    up = keys.new_full((len(keys), window.n_weights), -1, dtype=torch.int32)
    up[inputs, weight] = outputs.int()
    return coarse, Links.of(down), Links.of(up)
