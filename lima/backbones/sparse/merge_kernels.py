"""Compiled: the pairs of neighbours of a submanifold convolution, by merging sorted keys.

Offers `neighbour_pairs`.
"""

from __future__ import annotations

import numpy as np

from lima_bench.datasets.sample import Int64
from lima_bench.lima.compiled import ONE, ZERO, Unsigned, compiled
from lima_bench.lima.radix import Int32

N_WEIGHTS = 27
N_AHEAD = 13


@compiled
def neighbour_pairs(
    keys: Int64, steps: Int64, weights: Int64, block_rows: int
) -> tuple[Int32, Int32, Int32]:
    """Pair list of every key and its neighbours, itself included: starts, rows in, rows out.

    Args:
        keys: Ascending.
        steps: From a key to the first cell of each of the four lines ahead.
        weights: Of the neighbours ahead: the next cell, then three per line.
        block_rows: Output rows of a block.
    """
    here = np.empty((N_AHEAD, len(keys) + 1), np.int32)
    there = np.empty((N_AHEAD, len(keys) + 1), np.int32)
    counts = _meet(keys, steps, here, there)
    return _gather_blocks(len(keys), here, there, counts, weights, block_rows)


@compiled
def _meet(keys: Int64, steps: Int64, here: Int32, there: Int32) -> Unsigned:
    """List, neighbour by neighbour, the rows of cells and of their neighbours ahead.

    Keys ascend, and so do the keys of the cells looked for: one pointer per line follows. Every
    row is written, and stays where the neighbour exists: that spares a jump that nothing predicts.
    """
    n_keys = len(keys)
    counts = np.zeros(N_AHEAD, np.uint64)
    padded = np.empty(n_keys + 3, np.int64)
    padded[:n_keys] = keys
    padded[n_keys:] = np.iinfo(np.int64).max
    n_next = ZERO
    for row in range(n_keys):
        here[0, n_next], there[0, n_next] = row, row + 1
        n_next += np.uint64(padded[row + 1] == padded[row] + 1)
    counts[0] = n_next
    for line in range(len(steps)):
        start = 1 + 3 * line
        here_low, here_level, here_high = here[start], here[start + 1], here[start + 2]
        there_low, there_level, there_high = there[start], there[start + 1], there[start + 2]
        n_low, n_level, n_high, at = ZERO, ZERO, ZERO, ZERO
        for row in range(n_keys):
            wanted = padded[row] + steps[line]
            while padded[at] < wanted:
                at += ONE
            found = at
            here_low[n_low], there_low[n_low] = row, found
            hit = np.uint64(padded[found] == wanted)
            n_low, found = n_low + hit, found + hit
            here_level[n_level], there_level[n_level] = row, found
            hit = np.uint64(padded[found] == wanted + 1)
            n_level, found = n_level + hit, found + hit
            here_high[n_high], there_high[n_high] = row, found
            n_high += np.uint64(padded[found] == wanted + 2)
        counts[start], counts[start + 1], counts[start + 2] = n_low, n_level, n_high
    return counts


@compiled
def _gather_blocks(
    n_rows: int, here: Int32, there: Int32, counts: Unsigned, weights: Int64, block_rows: int
) -> tuple[Int32, Int32, Int32]:
    """Pair list out of the lists of `_meet`, one block after the other.

    Both columns of a list ascend: its part for a block begins where that of the last one ended.
    """
    n_blocks = (n_rows + block_rows - 1) // block_rows
    n_pairs = n_rows + 2 * np.int64(counts.sum())
    starts = np.empty(n_blocks * N_WEIGHTS + 1, np.int32)
    rows_in, rows_out = np.empty(n_pairs, np.int32), np.empty(n_pairs, np.int32)
    lists = np.full(N_WEIGHTS, -1, np.int64)
    for number, weight in enumerate(weights):
        lists[weight], lists[N_WEIGHTS - 1 - weight] = number, number
    cursors = np.zeros(N_WEIGHTS, np.uint64)
    pair = ZERO
    for block in range(n_blocks):
        first, stop = block * block_rows, min((block + 1) * block_rows, n_rows)
        for weight in range(N_WEIGHTS):
            starts[block * N_WEIGHTS + weight] = pair
            number = lists[weight]
            if number < 0:  # the centre: every cell meets itself
                for row in range(first, stop):
                    rows_in[pair], rows_out[pair] = row, row
                    pair += ONE
                continue
            outputs, inputs = here[number], there[number]
            if weights[number] != weight:
                outputs, inputs = inputs, outputs
            cursor = cursors[weight]
            while cursor < counts[number] and outputs[cursor] < stop:
                rows_in[pair], rows_out[pair] = inputs[cursor], outputs[cursor]
                pair += ONE
                cursor += ONE
            cursors[weight] = cursor
    starts[n_blocks * N_WEIGHTS] = pair
    return starts, rows_in, rows_out
