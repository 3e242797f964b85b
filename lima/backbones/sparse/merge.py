"""Kernel maps by merging sorted keys, compiled: the way on a CPU, without hash table or bisection.

Offers `pack`, `neighbour_links` and `halving_links`. They give what
`lima_bench.lima.backbones.sparse.packing` and `lima_bench.lima.backbones.sparse.bisection` give,
with the lists of pairs made in the same go.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from lima_bench.datasets.sample import Int64
from lima_bench.lima.backbones.sparse.kernel_map import BLOCK_ROWS, Links, PairList
from lima_bench.lima.backbones.sparse.packing import NEGATIVE, UNSORTED, Packing
from lima_bench.lima.compiled import compiled
from lima_bench.lima.radix import Int32, sort_keys

N_WEIGHTS = 27
N_CORNERS = 8
N_AHEAD = 13

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
    lowest, *tops = _extremes(cells).tolist()
    if lowest < 0:
        raise ValueError(NEGATIVE)
    packing = Packing.holding(tops)
    keys, ascending = _packed(cells, *packing.bits)
    if not ascending:
        raise ValueError(UNSORTED)
    return torch.from_numpy(keys), packing


def neighbour_links(keys: Int[Tensor, " voxels"], packing: Packing) -> Links:
    """Every cell and its up to 26 occupied neighbours, under the weights of a kernel of 3."""
    steps = np.array([packing.step((x, y, -1)) for x, y in LINES_AHEAD])
    return _links(*_neighbours(_array(keys), steps, WEIGHTS_AHEAD, BLOCK_ROWS))


def halving_links(
    keys: Int[Tensor, " voxels"], packing: Packing
) -> tuple[Int[Tensor, " coarse"], Links, Links]:
    """Keys of the cells of twice the edge; links down to them and up again, kernel of 2."""
    fine, rows = _array(keys), np.arange(len(keys), dtype=np.int32)
    first, second, _ = packing.shifts
    halved, corners = _halved(fine, first, second, packing.batch_shift, packing.halving_mask)
    ordered, children = sort_keys(halved)
    coarse, places, parents, child_corners = _families(ordered, children, corners)
    down = _one_weight_links(places, child_corners, children, len(coarse), BLOCK_ROWS)
    up = _one_weight_links(rows, corners, parents, len(rows), BLOCK_ROWS)
    return torch.from_numpy(coarse), _links(*down), _links(*up)


def _array(tensor: Int[Tensor, "..."]) -> Int64:
    """The kind of array that the compiled functions take."""
    array: Int64 = tensor.contiguous().numpy()
    return array


def _links(table: Int32, starts: Int32, rows_in: Int32, rows_out: Int32) -> Links:
    pairs = PairList(*(torch.from_numpy(part) for part in (starts, rows_in, rows_out)))
    return Links(torch.from_numpy(table), pairs)


@compiled
def _extremes(cells: Int64) -> Int64:
    """The lowest index of all, or 0 if none is negative; then the top of every column."""
    extremes = np.zeros(5, np.int64)
    for row in range(len(cells)):
        for column in range(4):
            index = cells[row, column]
            extremes[0] = min(extremes[0], index)
            extremes[1 + column] = max(extremes[1 + column], index)
    return extremes


@compiled
def _packed(cells: Int64, first: int, second: int, third: int) -> tuple[Int64, bool]:
    """Keys with fields of so many bits, and whether they ascend."""
    keys = np.empty(len(cells), np.int64)
    ascending, last = True, np.int64(-1)
    for row in range(len(cells)):
        key = (cells[row, 0] << first) | cells[row, 1]
        key = (((key << second) | cells[row, 2]) << third) | cells[row, 3]
        ascending &= key > last
        keys[row] = last = key
    return keys, ascending


@compiled
def _neighbours(
    keys: Int64, steps: Int64, weights: Int64, block_rows: int
) -> tuple[Int32, Int32, Int32, Int32]:
    """Table and pair list of the neighbours of every key.

    Args:
        keys: Ascending.
        steps: From a key to the first cell of each line ahead.
        weights: Of the neighbours ahead: the next cell, then three per line.
        block_rows: Output rows of a block.
    """
    here = np.empty((N_AHEAD, len(keys) + 1), np.int32)
    there = np.empty((N_AHEAD, len(keys) + 1), np.int32)
    counts = _meet(keys, steps, here, there)
    return _gather_blocks(len(keys), here, there, counts, weights, block_rows)


@compiled
def _meet(keys: Int64, steps: Int64, here: Int32, there: Int32) -> Int64:
    """List, neighbour by neighbour, the rows of cells and of their neighbours ahead.

    Keys ascend, and so do the keys of the cells looked for: one pointer per line follows. Every
    row is written, and stays where the neighbour exists: that spares a jump that nothing predicts.
    """
    n_keys = len(keys)
    counts = np.zeros(N_AHEAD, np.int64)
    padded = np.empty(n_keys + 3, np.int64)
    padded[:n_keys] = keys
    padded[n_keys:] = np.iinfo(np.int64).max
    n_next = 0
    for row in range(n_keys):
        here[0, n_next], there[0, n_next] = row, row + 1
        n_next += padded[row + 1] == padded[row] + 1
    counts[0] = n_next
    for line in range(len(steps)):
        start = 1 + 3 * line
        here_low, here_level, here_high = here[start], here[start + 1], here[start + 2]
        there_low, there_level, there_high = there[start], there[start + 1], there[start + 2]
        n_low, n_level, n_high, at = 0, 0, 0, 0
        for row in range(n_keys):
            wanted = padded[row] + steps[line]
            while padded[at] < wanted:
                at += 1
            found = at
            here_low[n_low], there_low[n_low] = row, found
            hit = np.int64(padded[found] == wanted)
            n_low, found = n_low + hit, found + hit
            here_level[n_level], there_level[n_level] = row, found
            hit = np.int64(padded[found] == wanted + 1)
            n_level, found = n_level + hit, found + hit
            here_high[n_high], there_high[n_high] = row, found
            n_high += np.int64(padded[found] == wanted + 2)
        counts[start], counts[start + 1], counts[start + 2] = n_low, n_level, n_high
    return counts


@compiled
def _gather_blocks(
    n_rows: int, here: Int32, there: Int32, counts: Int64, weights: Int64, block_rows: int
) -> tuple[Int32, Int32, Int32, Int32]:
    """Table and pair list out of the lists of `_meet`, one block after the other.

    Both columns of a list ascend: its part for a block begins where that of the last one ended.
    """
    n_blocks = (n_rows + block_rows - 1) // block_rows
    n_pairs = n_rows + 2 * counts.sum()
    table = np.empty((n_rows, N_WEIGHTS), np.int32)
    starts = np.empty(n_blocks * N_WEIGHTS + 1, np.int32)
    rows_in, rows_out = np.empty(n_pairs, np.int32), np.empty(n_pairs, np.int32)
    centre = N_WEIGHTS // 2
    lists = np.full(N_WEIGHTS, -1, np.int64)
    for number, weight in enumerate(weights):
        lists[weight], lists[N_WEIGHTS - 1 - weight] = number, number
    cursors = np.zeros(N_WEIGHTS, np.int64)
    pair = 0
    for block in range(n_blocks):
        first, stop = block * block_rows, min((block + 1) * block_rows, n_rows)
        table[first:stop] = -1
        for weight in range(N_WEIGHTS):
            starts[block * N_WEIGHTS + weight] = pair
            number = lists[weight]
            if number < 0:
                for row in range(first, stop):
                    rows_in[pair], rows_out[pair], table[row, centre] = row, row, row
                    pair += 1
                continue
            outputs, inputs = here[number], there[number]
            if weights[number] != weight:
                outputs, inputs = inputs, outputs
            cursor = cursors[weight]
            while cursor < counts[number] and outputs[cursor] < stop:
                row, found = outputs[cursor], inputs[cursor]
                rows_in[pair], rows_out[pair], table[row, weight] = found, row, found
                pair += 1
                cursor += 1
            cursors[weight] = cursor
    starts[n_blocks * N_WEIGHTS] = pair
    return table, starts, rows_in, rows_out


@compiled
def _halved(
    keys: Int64, first_shift: int, second_shift: int, batch_shift: int, mask: int
) -> tuple[Int64, Int32]:
    """Key of each cell's parent, and which of its 8 children the cell is."""
    halved = np.empty(len(keys), np.int64)
    corners = np.empty(len(keys), np.int32)
    for row in range(len(keys)):
        key = keys[row]
        halved[row] = ((key >> 1) & mask) | ((key >> batch_shift) << batch_shift)
        first, second = (key >> first_shift) & 1, (key >> second_shift) & 1
        corners[row] = first | second << 1 | (key & 1) << 2
    return halved, corners


@compiled
def _families(ordered: Int64, children: Int32, corners: Int32) -> tuple[Int64, Int32, Int32, Int32]:
    """Distinct parents of cells that lie in the order of their parents.

    Args:
        ordered: The parent's key of each cell, ascending.
        children: The cells' rows, in the same order.
        corners: Of each row.

    Returns:
        The parents' keys; the parent's row of each cell in this order, and by row; the corner of
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
        row = children[n]
        parents[row], child_corners[n] = place, corners[row]
    return coarse[: place + 1].copy(), places, parents, child_corners


@compiled
def _one_weight_links(
    outputs: Int32, weights: Int32, inputs: Int32, n_out: int, block_rows: int
) -> tuple[Int32, Int32, Int32, Int32]:
    """Table and pair list of pairs that lie in the order of their output rows, kernel of 2."""
    n_blocks = (n_out + block_rows - 1) // block_rows
    table = np.full((n_out, N_CORNERS), -1, np.int32)
    starts = np.empty(n_blocks * N_CORNERS + 1, np.int32)
    rows_in, rows_out = np.empty(len(inputs), np.int32), np.empty(len(inputs), np.int32)
    places = np.empty(N_CORNERS, np.int64)
    first = 0
    for block in range(n_blocks):
        places[:] = 0
        stop = first
        while stop < len(outputs) and outputs[stop] < (block + 1) * block_rows:
            places[weights[stop]] += 1
            stop += 1
        place = np.int64(first)
        for weight in range(N_CORNERS):
            starts[block * N_CORNERS + weight] = place
            count = places[weight]
            places[weight] = place
            place += count
        for pair in range(first, stop):
            row, weight = outputs[pair], weights[pair]
            place = places[weight]
            places[weight] = place + 1
            rows_in[place], rows_out[place] = inputs[pair], row
            table[row, weight] = inputs[pair]
        first = stop
    starts[n_blocks * N_CORNERS] = len(inputs)
    return table, starts, rows_in, rows_out
