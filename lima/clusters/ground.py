"""Which points of a scan lie on the ground: points -> plane -> mask.  First step of the clusters.

Offers `Plane`, `fit_ground` (RANSAC) and `ground_mask`. Source of the procedure and its values:
methods-spatial 5.2 (Seal, reconstruction).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lima_bench.datasets.sample import Bool, Float32, Float64
from lima_bench.lima.recipes import GroundSettings

_PLANES_AT_ONCE = 16
"""Distances of so many planes to all points stay in a core's cache."""

_FLAT_M2 = 1e-6
"""Three points that span less than this lie on a line."""


@dataclass(frozen=True)
class Plane:
    """All x with ``normal . x = offset``.

    Attributes:
        normal: (3,) unit vector.
        offset: Metres.
    """

    normal: Float64
    offset: float

    def near(self, xyz: npt.NDArray[np.floating[Any]], distance_m: float) -> Bool:
        """Which points (N, 3) lie at most `distance_m` from it."""
        found: Bool = np.abs(xyz.astype(np.float64) @ self.normal - self.offset) <= distance_m
        return found


def fit_ground(xyz: Float32, settings: GroundSettings, seed: int) -> Plane | None:
    """The level plane that most points lie on, of those through three random points.

    Args:
        xyz: (N, 3) metres, z up.
        settings: How near is on the plane, how many tries, how level it must be.
        seed: Of the tries.

    Returns:
        The first of the best planes; None where no try gave a level plane.
    """
    if len(xyz) < 3:
        return None
    points = xyz.astype(np.float64)
    normals, offsets = _level_planes(points, settings, np.random.default_rng(seed))
    best, most = None, 0
    for start in range(0, len(normals), _PLANES_AT_ONCE):
        some = slice(start, start + _PLANES_AT_ONCE)
        distance = np.abs(normals[some] @ points.T - offsets[some, None])
        counts = np.count_nonzero(distance <= settings.distance_m, axis=1)
        first = int(counts.argmax())
        if counts[first] > most:
            best, most = start + first, int(counts[first])
    return None if best is None else Plane(normals[best], float(offsets[best]))


def ground_mask(xyz: Float32, settings: GroundSettings, seed: int) -> Bool:
    """Which points (N, 3) lie on the ground; none where there is no level plane."""
    plane = fit_ground(xyz, settings, seed)
    if plane is None:
        return np.zeros(len(xyz), dtype=bool)
    return plane.near(xyz, settings.distance_m)


def _level_planes(
    points: Float64, settings: GroundSettings, rng: np.random.Generator
) -> tuple[Float64, Float64]:
    """Normals and offsets of the planes through random triples, those that are level enough."""
    a, b, c = points[rng.integers(0, len(points), (settings.tries, 3))].transpose(1, 0, 2)
    normals = np.cross(b - a, c - a)
    length = np.linalg.norm(normals, axis=1)
    level = np.abs(normals[:, 2]) >= np.cos(np.radians(settings.tilt_deg)) * length
    kept = level & (length > _FLAT_M2)
    normals = normals[kept] / length[kept, None]
    return normals, np.einsum("ij,ij->i", normals, a[kept])
