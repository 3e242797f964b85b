"""What every corruption takes and gives: the arrays of one nuScenes-like frame.

Offers `RawFrame`, the labels `FOG`, `SNOW` and `CROSSTALK` that nuScenes-C adds, the raw ids of the
ground, and `BRIGHTEST`. Frames of reference: the LiDAR's own, z up, origin at the sensor.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from lima_bench.datasets.sample import Bool, Float32, Float64, Int64

FOG, SNOW, CROSSTALK = 41, 42, 43
"""Raw ids of points that are no surface (ldkong1205/Robo3D ``create/nuscenes_c``)."""

GROUND_RAW = (24, 25, 26)
"""Driveable surface, other flat, sidewalk: what gets wet and what tells the laser's power."""

BRIGHTEST = 255.0
"""The largest intensity that the sensor reports."""


@dataclass(frozen=True)
class RawFrame:
    """One scan as nuScenes stores it.

    Attributes:
        points: (N, 3) float32 metres, LiDAR frame.
        intensity: (N,) float32, 0..255.
        ring: (N,) beam, 0 the lowest; after `snow` a state code.
        labels: (N,) raw lidarseg ids.
    """

    points: Float32
    intensity: Float32
    ring: Int64
    labels: Int64

    @classmethod
    def of(cls, rows: Float32, labels: npt.NDArray[np.integer[Any]]) -> Self:
        """From a scan file's rows (N, 5) and a label file's ids (N,)."""
        return cls(rows[:, :3], rows[:, 3], rows[:, 4].astype(np.int64), labels.astype(np.int64))

    @property
    def rows(self) -> Float32:
        """As in a scan file: (N, 5) x, y, z, intensity, ring."""
        rows: Float32 = np.column_stack([self.points, self.intensity, self.ring]).astype("<f4")
        return rows

    @property
    def ranges_m(self) -> Float64:
        """(N,) distances from the sensor."""
        ranges: Float64 = np.linalg.norm(self.points.astype(np.float64), axis=1)
        return ranges

    @property
    def ground(self) -> Bool:
        """(N,) whether the point is labelled as ground."""
        return np.isin(self.labels, GROUND_RAW)

    def kept(self, mask: Bool) -> RawFrame:
        """The points of `mask`, in order."""
        return replace(
            self,
            points=self.points[mask],
            intensity=self.intensity[mask],
            ring=self.ring[mask],
            labels=self.labels[mask],
        )


def moved_along(points: Float32, ranges_m: Float64, new_m: Float64) -> Float32:
    """Points (N, 3) brought to other distances (N,) on their own beams."""
    scale = np.divide(new_m, ranges_m, out=np.ones_like(ranges_m), where=ranges_m > 0)
    moved: Float32 = (points * scale[:, None]).astype(np.float32)
    return moved
