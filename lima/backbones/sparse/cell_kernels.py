"""Compiled: cells to keys, and keys to the pairs of cells and the coarser cells that hold them.

Offers `extremes`, `pack_cells`, `halved`, `families` and `pairs_by_corner`.
"""

from __future__ import annotations

import numpy as np

from lima_bench.datasets.sample import Int64
from lima_bench.lima.compiled import ONE, ZERO, compiled
from lima_bench.lima.radix import Int32

N_CORNERS = 8


@compiled
def extremes(cells: Int64) -> Int64:
    """The lowest index of all, or 0 if none is negative; then the top of every column."""
    found = np.zeros(5, np.int64)
    for row in range(len(cells)):
        for column in range(4):
            index = cells[row, column]
            found[0] = min(found[0], index)
            found[1 + column] = max(found[1 + column], index)
    return found


@compiled
def pack_cells(cells: Int64, first: int, second: int, third: int) -> tuple[Int64, bool]:
    """Keys with so many bits for each axis, and whether they ascend."""
    keys = np.empty(len(cells), np.int64)
    ascending, last = True, np.int64(-1)
    for row in range(len(cells)):
        key = (cells[row, 0] << first) | cells[row, 1]
        key = (((key << second) | cells[row, 2]) << third) | cells[row, 3]
        ascending &= key > last
        keys[row] = last = key
    return keys, ascending


@compiled
def halved(
    keys: Int64, first_shift: int, second_shift: int, batch_shift: int, mask: int
) -> tuple[Int64, Int32]:
    """Key of the coarser cell that holds each cell, and which of its 8 corners the cell is."""
    parents = np.empty(len(keys), np.int64)
    corners = np.empty(len(keys), np.int32)
    for row in range(len(keys)):
        key = keys[row]
        parents[row] = ((key >> 1) & mask) | ((key >> batch_shift) << batch_shift)
        first, second = (key >> first_shift) & 1, (key >> second_shift) & 1
        corners[row] = first | second << 1 | (key & 1) << 2
    return parents, corners


@compiled
def families(ordered: Int64, children: Int32, corners: Int32) -> tuple[Int64, Int32, Int32, Int32]:
    """Distinct parents of cells that lie in the order of their parents.

    Args:
        ordered: The parent's key of each cell, ascending.
        children: The cells' rows, in the same order.
        corners: Of each row.

    Returns:
        The parents' keys; the parent's row of each cell, in this order and by row; the corner of
        each cell in this order.
    """
    n_rows = len(ordered)
    coarse = np.empty(n_rows, np.int64)
    places, parents = np.empty(n_rows, np.int32), np.empty(n_rows, np.int32)
    child_corners = np.empty(n_rows, np.int32)
    place, last = -1, np.int64(-1)
    for n in range(n_rows):
        place += ordered[n] != last
        last = ordered[n]
        coarse[place], places[n] = last, place
        row = np.uint64(children[n])
        parents[row], child_corners[n] = place, corners[row]
    return coarse[: place + 1].copy(), places, parents, child_corners


@compiled
def pairs_by_corner(
    outputs: Int32, corners: Int32, inputs: Int32, n_out: int, block_rows: int
) -> tuple[Int32, Int32, Int32]:
    """Pair list of pairs that lie in the order of their output rows: starts, rows in, rows out."""
    n_blocks = (n_out + block_rows - 1) // block_rows
    starts = np.empty(n_blocks * N_CORNERS + 1, np.int32)
    rows_in, rows_out = np.empty(len(inputs), np.int32), np.empty(len(inputs), np.int32)
    places = np.empty(N_CORNERS, np.uint64)
    first = 0
    for block in range(n_blocks):
        places[:] = ZERO
        stop = first
        while stop < len(outputs) and outputs[stop] < (block + 1) * block_rows:
            places[np.uint64(corners[stop])] += ONE
            stop += 1
        place = np.uint64(first)
        for corner in range(N_CORNERS):
            starts[block * N_CORNERS + corner] = place
            count = places[corner]
            places[corner] = place
            place += count
        for pair in range(first, stop):
            which = np.uint64(corners[pair])
            place = places[which]
            places[which] = place + ONE
            rows_in[place], rows_out[place] = inputs[pair], outputs[pair]
        first = stop
    starts[n_blocks * N_CORNERS] = len(inputs)
    return starts, rows_in, rows_out
