"""Kernel maps by merging sorted keys, compiled: the way on a CPU, without hash table or bisection.

Offers `pack`, `neighbour_links`, `halving_links` and `strided_links`. They give what
`lima_bench.lima.backbones.sparse.packing` and `lima_bench.lima.backbones.sparse.bisection` give,
pairs in lists instead of tables.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from lima_bench.datasets.sample import Int64
from lima_bench.lima.backbones.sparse.cell_kernels import (
    extremes,
    families,
    halved,
    pack_cells,
    pairs_by_weight,
    reached,
)
from lima_bench.lima.backbones.sparse.kernel_map import BLOCK_ROWS, Links, PairList
from lima_bench.lima.backbones.sparse.merge_kernels import N_WEIGHTS, neighbour_pairs
from lima_bench.lima.backbones.sparse.packing import NEGATIVE, UNSORTED, Packing
from lima_bench.lima.backbones.sparse.window import Triple, Window
from lima_bench.lima.radix import Int32, sort_keys

N_CORNERS = 8

LINES_AHEAD = ((0, 1), (1, -1), (1, 0), (1, 1))
"""Steps along the first two axes to the lines of three cells that lie ahead of a cell's own.

With the next cell on its own line they make 13 neighbours; the other 13 are their mirror images.
"""

WEIGHTS_AHEAD = np.array(
    [22, *((x + 1) + 3 * (y + 1) + 9 * (z + 1) for x, y in LINES_AHEAD for z in (-1, 0, 1))]
)
"""The weight of each neighbour that lies ahead; mirror images have the opposite weight."""


def pack(coords: Int[Tensor, "voxels 4"]) -> tuple[Int[Tensor, " voxels"], Packing]:
    """Keys of cells, and how to read them.

    Args:
        coords: Batch index and three cell indices, not negative, rows sorted and unique.

    Raises:
        ValueError: The rows are not sorted and unique, or span too much for 64 bits.
    """
    cells = _array(coords.long())
    lowest, *tops = extremes(cells).tolist()
    if lowest < 0:
        raise ValueError(NEGATIVE)
    packing = Packing.holding(tops)
    keys, ascending = pack_cells(cells, *packing.bits)
    if not ascending:
        raise ValueError(UNSORTED)
    return torch.from_numpy(keys), packing


def neighbour_links(keys: Int[Tensor, " voxels"], packing: Packing) -> Links:
    """Every cell and its up to 26 occupied neighbours, under the weights of a kernel of 3."""
    steps = np.array([packing.step((x, y, -1)) for x, y in LINES_AHEAD])
    pairs = neighbour_pairs(_array(keys), steps, WEIGHTS_AHEAD, BLOCK_ROWS)
    return _links(pairs, len(keys), N_WEIGHTS)


def halving_links(
    keys: Int[Tensor, " voxels"], packing: Packing
) -> tuple[Int[Tensor, " coarse"], Links, Links]:
    """Keys of the cells of twice the edge; links down to them and up again, kernel of 2."""
    first, second, _ = packing.shifts
    parents, corners = halved(
        _array(keys), first, second, packing.batch_shift, packing.halving_mask
    )
    ordered, children = sort_keys(parents)
    coarse, places, parent, child_corners = families(ordered, children, corners)
    rows, n_fine, n_coarse = np.arange(len(keys), dtype=np.int32), len(keys), len(coarse)
    down = pairs_by_weight(places, child_corners, children, n_coarse, N_CORNERS, BLOCK_ROWS)
    up = pairs_by_weight(rows, corners, parent, n_fine, N_CORNERS, BLOCK_ROWS)
    return (
        torch.from_numpy(coarse),
        _links(down, n_coarse, N_CORNERS),
        _links(up, n_fine, N_CORNERS),
    )


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
    places = np.array([*packing.shifts, packing.batch_shift])
    sides = (packing.bits, window.kernel, window.stride, window.padding, extent)
    found, rows, weights = reached(_array(keys), places, *(np.array(side) for side in sides))
    ordered, pairs = sort_keys(found)
    coarse, outputs, output, ordered_weights = families(ordered, pairs, weights)
    n_out, n_in, n_weights = len(coarse), len(keys), window.n_weights
    inputs = rows.take(pairs)
    down = pairs_by_weight(outputs, ordered_weights, inputs, n_out, n_weights, BLOCK_ROWS)
    up = pairs_by_weight(rows, weights, output, n_in, n_weights, BLOCK_ROWS)
    return (
        torch.from_numpy(coarse),
        _links(down, n_out, n_weights),
        _links(up, n_in, n_weights),
    )


def _array(tensor: Int[Tensor, "..."]) -> Int64:
    """The kind of array that the compiled functions take."""
    array: Int64 = tensor.contiguous().numpy()
    return array


def _links(pairs: tuple[Int32, Int32, Int32], n_out: int, n_weights: int) -> Links:
    return Links(PairList(*(torch.from_numpy(part) for part in pairs)), n_out, n_weights)
