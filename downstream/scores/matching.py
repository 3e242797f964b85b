"""Which prediction finds which object, as the nuScenes metric pairs them. Pure NumPy.

Offers `Pairs`, `near_pairs` and `matched`. In falling score every prediction takes the nearest
object of its class in its frame that is still free, if it is near enough. All objects thereby agree
on whom they would rather have, so this is the one stable matching, which rounds of proposals find
for all frames and classes at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lima_bench.datasets.sample import Float64, Int64

BLOCK = 1 << 21
"""Pairs that are looked at together: bounds memory, changes nothing."""


@dataclass(frozen=True)
class Pairs:
    """Predictions with the objects of their group that lie near them.

    Attributes:
        found: (K,) prediction, never falling.
        true: (K,) object; those of one prediction nearest first, equally near ones in their order.
        distance_m: (K,) between the centres in x-y.
    """

    found: Int64
    true: Int64
    distance_m: Float64


def near_pairs(
    found_group: Int64, found_xy: Float64, true_group: Int64, true_xy: Float64, nearer_m: float
) -> Pairs:
    """Every pair of one group that is less than `nearer_m` apart.

    Args:
        found_group: (P,) group of each prediction; only equal groups meet.
        found_xy: (P, 2) metres.
        true_group: (T,) group of each object.
        true_xy: (T, 2) metres.
        nearer_m: Strictly less than this.
    """
    by_group = np.argsort(true_group, kind="stable")
    start = np.searchsorted(true_group[by_group], found_group, side="left")
    count = np.searchsorted(true_group[by_group], found_group, side="right") - start
    parts = []
    for rows in _blocks(count):
        found = np.repeat(rows, count[rows])
        within = np.arange(len(found)) - np.repeat(
            np.cumsum(count[rows]) - count[rows], count[rows]
        )
        true = by_group[start[found] + within]
        step = found_xy[found] - true_xy[true]
        distance_m = np.sqrt(step[:, 0] ** 2 + step[:, 1] ** 2)
        near = np.flatnonzero(distance_m < nearer_m)
        found, true, distance_m = found[near], true[near], distance_m[near]
        order = np.lexsort((distance_m, found))  # stable: equally near ones stay in order
        parts.append((found[order], true[order], distance_m[order]))
    if not parts:
        return Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    return Pairs(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def matched(pairs: Pairs, rank: Int64, n_true: int, nearer_m: float) -> Int64:
    """The object (P,) that each prediction takes, -1 for none.

    Args:
        pairs: All that are less than `nearer_m` apart, and maybe others.
        rank: (P,) order in which predictions choose, each number once.
        n_true: Number of objects.
        nearer_m: Strictly less than this.
    """
    near = pairs.distance_m < nearer_m
    found, true = pairs.found[near], pairs.true[near]
    at = np.searchsorted(found, np.arange(len(rank)))  # the next object to ask
    end = np.searchsorted(found, np.arange(len(rank)), side="right")
    holder = np.full(n_true, len(rank), dtype=np.int64)  # the rank that an object has accepted
    by_rank = np.empty(len(rank), dtype=np.int64)
    by_rank[rank] = np.arange(len(rank))
    asking = np.flatnonzero(at < end)
    while asking.size:
        wish = true[at[asking]]
        before = holder[wish]
        np.minimum.at(holder, wish, rank[asking])
        lost = before[(before < len(rank)) & (before != holder[wish])]
        refused = asking[holder[wish] != rank[asking]]
        turned_away = np.concatenate([refused, by_rank[np.unique(lost)]])
        at[turned_away] += 1
        asking = turned_away[at[turned_away] < end[turned_away]]
    taken = np.full(len(rank), -1, dtype=np.int64)
    held = np.flatnonzero(holder < len(rank))
    taken[by_rank[holder[held]]] = held
    return taken


def _blocks(count: Int64) -> Iterator[Int64]:
    """Rows with a count, as runs of about `BLOCK` pairs."""
    rows = np.flatnonzero(count)
    number = np.cumsum(count[rows]) // BLOCK
    yield from (part for part in np.split(rows, np.flatnonzero(np.diff(number)) + 1) if part.size)
