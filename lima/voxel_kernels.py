"""Compiled: positions to cells, cells to keys, sorted keys to voxels.

Offers `cells_of`, `keys_of` and `distinct`.
"""

from __future__ import annotations

import numpy as np

from lima_bench.datasets.sample import Float32, Int64
from lima_bench.lima.compiled import compiled
from lima_bench.lima.radix import Int32


@compiled
def cells_of(
    positions: Float32, size: Float32, nearest: bool, stops: Int64, limit: int
) -> tuple[Int64, Int64, Int64, bool]:
    """The cell of every point, before any shift, and how far each cloud's cells reach.

    Args:
        positions: (points, 3) in the units of the grid; clouds lie one after the other.
        size: Edges of a cell.
        nearest: Round to the nearest whole, halves to the even one; otherwise down.
        stops: Where each cloud ends.
        limit: Indices must be smaller than this, in absolute value.

    Returns:
        (points, 3) cells; (clouds, 3) lowest and highest of each cloud, 0 for an empty one; and
        whether all are within the limit.
    """
    cells = np.empty(positions.shape, np.int64)
    lowest = np.zeros((len(stops), 3), np.int64)
    highest = np.zeros((len(stops), 3), np.int64)
    point, fits = 0, True
    for cloud in range(len(stops)):
        if point < stops[cloud]:
            lowest[cloud], highest[cloud] = limit, -limit
        while point < stops[cloud]:
            for axis in range(3):
                position = positions[point, axis] / size[axis]
                whole = np.rint(position) if nearest else np.floor(position)
                if not np.abs(whole) < limit:
                    fits, whole = False, np.float32(0.0)
                cell = np.int64(whole)
                cells[point, axis] = cell
                lowest[cloud, axis] = min(lowest[cloud, axis], cell)
                highest[cloud, axis] = max(highest[cloud, axis], cell)
            point += 1
    return cells, lowest, highest, fits


@compiled
def keys_of(cells: Int64, shifts: Int64, stops: Int64, second: int, third: int, top: int) -> Int64:
    """Packed keys of cells.

    Args:
        cells: (points, 3).
        shifts: (clouds, 3) to add to the cells of each cloud.
        stops: Where each cloud ends.
        second: Bits of the second axis.
        third: Bits of the third axis.
        top: Position of the cloud's number.
    """
    keys = np.empty(len(cells), np.int64)
    point = 0
    for cloud in range(len(stops)):
        while point < stops[cloud]:
            key = cells[point, 0] + shifts[cloud, 0]
            key = (key << second) | (cells[point, 1] + shifts[cloud, 1])
            key = (key << third) | (cells[point, 2] + shifts[cloud, 2])
            keys[point] = (cloud << top) | key
            point += 1
    return keys


@compiled
def distinct(ordered: Int64, order: Int32) -> tuple[Int64, Int64, Int64]:
    """Distinct keys, the first point of each, and for each point the rank of its key.

    Args:
        ordered: Keys, ascending.
        order: The point of each; ascending where keys are equal.
    """
    n_points = len(ordered)
    keys, first = np.empty(n_points, np.int64), np.empty(n_points, np.int64)
    inverse = np.empty(n_points, np.int64)
    rank, last = -1, np.int64(-1)
    for n in range(n_points):
        point = order[n]
        if ordered[n] != last:
            last = ordered[n]
            rank += 1
            keys[rank], first[rank] = last, point
        inverse[point] = rank
    return keys[: rank + 1].copy(), first[: rank + 1].copy(), inverse
