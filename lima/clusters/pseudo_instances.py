"""Pseudo-instances of one scan: dense groups above the ground, those that move first.

Offers `pseudo_instances` and `moving_points`. A reconstruction (methods-spatial 9, GCC-3D): ground
removed, DBSCAN, sizes within bounds; a point moves if nothing was near its place half a second
before nor after. Far away rings lie farther apart than that distance, so there "moves" is a guess,
which is why it only ranks instances and drops none.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lima_bench.datasets.sample import Bool, Int64
from lima_bench.lima.align import PlacedCloud, nearest
from lima_bench.lima.recipes import InstanceSettings


def pseudo_instances(
    scan: PlacedCloud,
    ground: Bool,
    witnesses: Sequence[PlacedCloud],
    settings: InstanceSettings,
) -> Int64:
    """For each point of `scan` its instance, -1 for none; 0 is the one that counts most.

    Instances most of whose points move come before the others, larger ones before smaller ones.

    Args:
        scan: What is labelled.
        ground: Which of its points lie on the ground.
        witnesses: The same place at other times; without any, nothing is known to move.
        settings: Of clustering and choice.
    """
    standing = np.flatnonzero(~ground)
    labels = np.full(len(scan.xyz), -1, dtype=np.int64)
    above = PlacedCloud(scan.xyz[standing], scan.lidar_to_global)
    groups = _grouped(above, settings)
    moves = moving_points(above, witnesses, settings.moving_m)
    labels[standing] = _ranked(groups, moves, settings)
    return labels


def moving_points(scan: PlacedCloud, witnesses: Sequence[PlacedCloud], distance_m: float) -> Bool:
    """Which points lie farther than `distance_m` from every point of every witness."""
    if not witnesses:
        return np.zeros(len(scan.xyz), dtype=bool)
    alone = [nearest(scan, other, distance_m) < 0 for other in witnesses]
    moves: Bool = np.logical_and.reduce(alone)
    return moves


def _grouped(scan: PlacedCloud, settings: InstanceSettings) -> Int64:
    if len(scan.xyz) == 0:
        return np.zeros(0, dtype=np.int64)
    from sklearn.cluster import DBSCAN

    model = DBSCAN(eps=settings.radius_m, min_samples=settings.min_points, algorithm="kd_tree")
    found: Int64 = model.fit_predict(scan.xyz.astype(np.float64)).astype(np.int64)
    return found


def _ranked(groups: Int64, moves: Bool, settings: InstanceSettings) -> Int64:
    """Groups of a fitting size, renumbered by rank; the rest is -1."""
    n_groups = int(groups.max(initial=-1)) + 1
    inside = groups >= 0
    size = np.bincount(groups[inside], minlength=n_groups)
    moving = np.bincount(groups[inside & moves], minlength=n_groups)
    fits = np.flatnonzero((size >= settings.smallest) & (size <= settings.largest))
    order = np.lexsort((fits, -size[fits], 2 * moving[fits] <= size[fits]))
    rank = np.full(n_groups + 1, -1, dtype=np.int64)  # the last one is read by noise
    chosen = fits[order][: settings.most]
    rank[chosen] = np.arange(len(chosen))
    return rank[groups]
