"""Segments shared by two scans: what stands on the ground, grouped over both times at once.

Offers `segment_labels`. A reconstruction (methods-spatial 5.2, Seal): ground removed, scans put
into one frame by their poses, concatenated, HDBSCAN. Noise and ground belong to no segment.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lima_bench.datasets.rigid import apply, inverse
from lima_bench.datasets.sample import Bool, Float64, Int64
from lima_bench.lima.align import PlacedCloud
from lima_bench.lima.recipes import SegmentSettings


def segment_labels(
    scans: Sequence[PlacedCloud], grounds: Sequence[Bool], settings: SegmentSettings
) -> Int64:
    """For each point of the scans, one after the other, its segment; -1 for none.

    Args:
        scans: At least one; distances are taken in the frame of the first.
        grounds: For each scan, which of its points lie on the ground.
        settings: Of the clustering.
    """
    to_first = inverse(scans[0].lidar_to_global)
    carried = [apply(to_first @ scan.lidar_to_global, scan.xyz) for scan in scans]
    standing = np.flatnonzero(~np.concatenate(list(grounds)))
    labels = np.full(sum(map(len, carried)), -1, dtype=np.int64)
    labels[standing] = _grouped(np.concatenate(carried)[standing], settings)
    return labels


def _grouped(xyz: Float64, settings: SegmentSettings) -> Int64:
    if len(xyz) < max(settings.min_cluster_size, settings.min_samples):
        return np.full(len(xyz), -1, dtype=np.int64)  # the library refuses what cannot cluster
    from sklearn.cluster import HDBSCAN

    model = HDBSCAN(
        min_cluster_size=settings.min_cluster_size,
        min_samples=settings.min_samples,
        algorithm="kd_tree",
        copy=True,
    )
    found: Int64 = model.fit_predict(xyz).astype(np.int64)
    return np.maximum(found, -1)
