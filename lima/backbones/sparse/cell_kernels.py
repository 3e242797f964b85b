"""Compiled: cells to keys, and keys to the pairs of cells and the coarser cells that hold them.

Offers `extremes`, `pack_cells`, `halved`, `reached`, `families` and `pairs_by_weight`.
"""

from __future__ import annotations

import numpy as np

from lima_bench.datasets.sample import Int64
from lima_bench.lima.compiled import ONE, ZERO, compiled
from lima_bench.lima.radix import Int32


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
def reached(
    keys: Int64,
    shifts: Int64,
    bits: Int64,
    kernel: Int64,
    stride: Int64,
    padding: Int64,
    extent: Int64,
) -> tuple[Int64, Int32, Int32]:
    """Every output cell that each cell reaches through a strided convolution, cell after cell.

    Args:
        keys: Of the cells.
        shifts: Position of each axis in a key, then of the batch index.
        bits: Of each axis.
        kernel: Cells along each axis.
        stride: Along each axis.
        padding: Along each axis.
        extent: Cells of the grid of outputs.

    Returns:
        Of every pair: key of the output, row of the input, weight.
    """
    most = 1
    for axis in range(3):
        most *= (kernel[axis] + stride[axis] - 1) // stride[axis]
    outputs = np.empty(len(keys) * most, np.int64)
    rows, weights = np.empty(len(outputs), np.int32), np.empty(len(outputs), np.int32)
    n_pairs = 0
    for row in range(len(keys)):
        key = keys[row]
        first = ((key >> shifts[0]) & ((np.int64(1) << bits[0]) - 1)) + padding[0]
        second = ((key >> shifts[1]) & ((np.int64(1) << bits[1]) - 1)) + padding[1]
        third = ((key >> shifts[2]) & ((np.int64(1) << bits[2]) - 1)) + padding[2]
        batch = (key >> shifts[3]) << shifts[3]
        for k in range(third % stride[2], min(kernel[2], third + 1), stride[2]):
            z = (third - k) // stride[2]
            for j in range(second % stride[1], min(kernel[1], second + 1), stride[1]):
                y = (second - j) // stride[1]
                for i in range(first % stride[0], min(kernel[0], first + 1), stride[0]):
                    x = (first - i) // stride[0]
                    if x < extent[0] and y < extent[1] and z < extent[2]:
                        outputs[n_pairs] = batch | x << shifts[0] | y << shifts[1] | z << shifts[2]
                        rows[n_pairs] = row
                        weights[n_pairs] = i + kernel[0] * (j + kernel[1] * k)
                        n_pairs += 1
    return outputs[:n_pairs].copy(), rows[:n_pairs].copy(), weights[:n_pairs].copy()


@compiled
def families(ordered: Int64, children: Int32, corners: Int32) -> tuple[Int64, Int32, Int32, Int32]:
    """Distinct parents of cells that lie in the order of their parents.

    Of the pairs of a strided convolution likewise: a pair's parent is its output.

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
def pairs_by_weight(
    outputs: Int32, weights: Int32, inputs: Int32, n_out: int, n_weights: int, block_rows: int
) -> tuple[Int32, Int32, Int32]:
    """Pair list of pairs that lie in the order of their output rows: starts, rows in, rows out."""
    n_blocks = (n_out + block_rows - 1) // block_rows
    starts = np.empty(n_blocks * n_weights + 1, np.int32)
    rows_in, rows_out = np.empty(len(inputs), np.int32), np.empty(len(inputs), np.int32)
    places = np.empty(n_weights, np.uint64)
    first = 0
    for block in range(n_blocks):
        places[:] = ZERO
        stop = first
        while stop < len(outputs) and outputs[stop] < (block + 1) * block_rows:
            places[np.uint64(weights[stop])] += ONE
            stop += 1
        place = np.uint64(first)
        for weight in range(n_weights):
            starts[block * n_weights + weight] = place
            count = places[weight]
            places[weight] = place
            place += count
        for pair in range(first, stop):
            which = np.uint64(weights[pair])
            place = places[which]
            places[which] = place + ONE
            rows_in[place], rows_out[place] = inputs[pair], outputs[pair]
        first = stop
    starts[n_blocks * n_weights] = len(inputs)
    return starts, rows_in, rows_out
