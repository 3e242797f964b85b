"""The nearest of many points within a radius, or all of them: two clouds -> rows of the second.

Offers `nearest_rows` and `rows_within`. Points are put into upright columns as wide as the radius,
so that a search looks into a few of them. Clouds of a spinning sensor are flat: a third axis would
only add empty cells, and what reaches nothing (a third of all points) costs hardly anything this
way. Distances are float64 and exact, whatever the number of threads (torch's).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lima_bench.lima.compiled import compiled
from lima_bench.lima.threads import over

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Int32 = npt.NDArray[np.int32]

_MOST_COLUMNS = 1024
"""Along one axis: stray points far away make columns wider, not more."""

_SLACK = 1 + 1e-9
"""Rounding may not hide a column that holds a point at exactly the distance looked for."""


def nearest_rows(current: Float32, carry: Float64, past: Float32, radius_m: float) -> Int32:
    """For each current point the row of the past point nearest to it, or -1 if none is near.

    Among equally near points the first counts. A point at exactly the radius counts.

    Args:
        current: (N, 3) metres.
        carry: (4, 4) from the frame of `current` to that of `past`, rigid.
        past: (M, 3) metres.
        radius_m: How far a neighbour may be.
    """
    current, past = (np.require(xyz, np.float32, ("C", "W")) for xyz in (current, past))
    carry = np.require(carry, np.float64, ("C", "W"))
    found = np.full(len(current), -1, dtype=np.int32)
    if len(past) == 0 or len(current) == 0:
        return found
    table = _table(past, radius_m)
    over(
        len(current),
        lambda first, last: _search(
            current[first:last], carry, *table, float(radius_m), found[first:last]
        ),
    )
    return found


def rows_within(current: Float32, past: Float32, radius_m: float, most: int) -> Int32:
    """For each current point the rows (N, most) of the past points near it; -1 fills up.

    Rows rise; of more than `most` the first count. A point at exactly the radius counts.

    Args:
        current: (N, 3) metres.
        past: (M, 3) metres, in the same frame.
        radius_m: How far a neighbour may be.
        most: Rows per point.
    """
    current, past = (np.require(xyz, np.float32, ("C", "W")) for xyz in (current, past))
    found = np.full((len(current), most), -1, dtype=np.int32)
    if len(past) == 0 or len(current) == 0:
        return found
    table = _table(past, radius_m)
    over(
        len(current),
        lambda first, last: _gather(
            current[first:last], *table, float(radius_m), found[first:last]
        ),
    )
    return found


def _table(past: Float32, radius_m: float) -> tuple[Any, Any, Any, Any, Any, Any]:
    """What a search needs of `past`: `_columns`, where they begin, how wide, how many they are."""
    low = past[:, :2].min(axis=0).astype(np.float64)
    extent = past[:, :2].max(axis=0).astype(np.float64) - low
    edge = np.maximum(radius_m, extent / (_MOST_COLUMNS - 1))
    counts = (extent / edge).astype(np.int64) + 1
    starts, rows, points = _columns(past, low, edge, counts)
    return starts, rows, points, low, edge, counts


@compiled
def _columns(past: Any, low: Any, edge: Any, counts: Any) -> Any:
    """Start of each column, and the points column by column: their rows and coordinates."""
    n = len(past)
    starts = np.zeros(counts[0] * counts[1] + 1, np.int32)
    column = np.empty(n, np.int32)
    for i in range(n):
        first = min(int((past[i, 0] - low[0]) / edge[0]), counts[0] - 1)
        second = min(int((past[i, 1] - low[1]) / edge[1]), counts[1] - 1)
        column[i] = first * counts[1] + second
        starts[column[i] + 1] += 1
    starts = np.cumsum(starts).astype(np.int32)
    free = starts.copy()
    rows = np.empty(n, np.int32)
    points = np.empty((n, 3), np.float64)
    for i in range(n):
        place = free[column[i]]
        free[column[i]] += 1
        rows[place] = i
        for axis in range(3):
            points[place, axis] = past[i, axis]
    return starts, rows, points


@compiled
def _search(
    current: Any,
    carry: Any,
    starts: Any,
    rows: Any,
    points: Any,
    low: Any,
    edge: Any,
    counts: Any,
    radius_m: Any,
    found: Any,
) -> None:
    """Fill `found`. A point's neighbour is probably near its predecessor's: look there first."""
    beyond = np.nextafter(radius_m, np.inf) ** 2
    guess = -1
    for i in range(len(current)):
        x, y, z = _carried(carry, current[i])
        best, place = beyond, -1
        if guess >= 0:
            squared = _squared(points[guess], x, y, z)
            if squared < best:
                best, place = squared, guess
        reach = np.sqrt(best) * _SLACK
        first, last = _span(x, reach, low[0], edge[0], counts[0])
        left, right = _span(y, reach, low[1], edge[1], counts[1])
        for line in range(first, last + 1):
            # Neighbouring columns of a line lie one after the other.
            start = starts[line * counts[1] + left] if left <= right else 0
            stop = starts[line * counts[1] + right + 1] if left <= right else 0
            for j in range(start, stop):
                squared = _squared(points[j], x, y, z)
                if squared < best or (squared == best and place >= 0 and rows[j] < rows[place]):
                    best, place = squared, j
        found[i] = rows[place] if place >= 0 else -1
        guess = place


@compiled
def _gather(
    current: Any,
    starts: Any,
    rows: Any,
    points: Any,
    low: Any,
    edge: Any,
    counts: Any,
    radius_m: Any,
    found: Any,
) -> None:
    """Fill `found`: each row is inserted where it belongs, and the largest falls out."""
    most = found.shape[1]
    beyond = np.nextafter(radius_m, np.inf) ** 2
    reach = radius_m * _SLACK
    for i in range(len(current)):
        x, y, z = np.float64(current[i, 0]), np.float64(current[i, 1]), np.float64(current[i, 2])
        first, last = _span(x, reach, low[0], edge[0], counts[0])
        left, right = _span(y, reach, low[1], edge[1], counts[1])
        n_found = 0
        for line in range(first, last + 1):
            start = starts[line * counts[1] + left] if left <= right else 0
            stop = starts[line * counts[1] + right + 1] if left <= right else 0
            for j in range(start, stop):
                row = rows[j]
                full = n_found == most
                if _squared(points[j], x, y, z) >= beyond or (full and row > found[i, most - 1]):
                    continue
                place = most - 1 if full else n_found
                n_found = min(n_found + 1, most)
                while place > 0 and found[i, place - 1] > row:
                    found[i, place] = found[i, place - 1]
                    place -= 1
                found[i, place] = row


@compiled
def _span(place: Any, reach: Any, low: Any, edge: Any, count: Any) -> Any:
    """The first and the last column along an axis that come within `reach` of `place`."""
    first = max(int(np.floor((place - reach - low) / edge)), 0)
    last = min(int(np.floor((place + reach - low) / edge)), count - 1)
    return first, last


@compiled
def _carried(carry: Any, point: Any) -> Any:
    x, y, z = point[0], point[1], point[2]
    return (
        carry[0, 0] * x + carry[0, 1] * y + carry[0, 2] * z + carry[0, 3],
        carry[1, 0] * x + carry[1, 1] * y + carry[1, 2] * z + carry[1, 3],
        carry[2, 0] * x + carry[2, 1] * y + carry[2, 2] * z + carry[2, 3],
    )


@compiled
def _squared(point: Any, x: Any, y: Any, z: Any) -> Any:
    return (point[0] - x) ** 2 + (point[1] - y) ** 2 + (point[2] - z) ** 2
