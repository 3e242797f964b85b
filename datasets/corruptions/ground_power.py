"""What the ground tells about the laser: its power at each distance and its noise floor.

Offers `GroundPower` and `fit_ground`. M. Hahner et al., CVPR 2022: ground is about equally bright
everywhere, so its intensity divided by the cosine of incidence shows what the sensor sends and
how it scales distances; the dimmest ground returns show what it still hears.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lima_bench.datasets.sample import Bool, Float32, Float64

FEWEST_POINTS = 1000
"""With less ground than this nothing is estimated and the frame stays as it is (Robo3D)."""

POWER_FACTOR = 15.0
"""How much brighter a perfect mirror of light would be than ground (Hahner 2022)."""

SMALLEST_COSINE = 0.01
_NOISE_FROM_M, _NOISE_TO_M, _NOISE_BINS = 10.0, 70.0, 50
_DARK = 5.0
_FEWEST_BINS = 4


@dataclass(frozen=True)
class GroundPower:
    """Lines over distance, in intensity divided by the cosine of incidence.

    Attributes:
        typical: Slope per metre and offset of ordinary ground.
        dimmest: Likewise of the dimmest ground.
        height_m: Of the sensor above the ground.
    """

    typical: tuple[float, float]
    dimmest: tuple[float, float]
    height_m: float

    def emitted(self, ranges_m: Float64) -> Float64:
        """What a surface that returns all light would show, looked at straight on."""
        slope, offset = self.typical
        power: Float64 = POWER_FACTOR * np.maximum(slope * ranges_m + offset, 1.0)
        return power

    def noise(self, ranges_m: Float64, share: float) -> Float64:
        """`share` of the dimmest ground's brightness, looked at straight on."""
        slope, offset = self.dimmest
        floor: Float64 = share * np.maximum(slope * ranges_m + offset, 0.0)
        return floor


def cosines(points: Float32, ranges_m: Float64) -> Float64:
    """Cosines (N,) of incidence on flat ground."""
    level = np.maximum(ranges_m, 1e-6)
    cosine: Float64 = np.clip(-points[:, 2] / level, SMALLEST_COSINE, 1.0)
    return cosine


def fit_ground(
    points: Float32, ranges_m: Float64, intensity: Float32, ground: Bool
) -> GroundPower | None:
    """Estimate from the points of `ground`; None with fewer than `FEWEST_POINTS`.

    Args:
        points: (N, 3) metres, sensor frame.
        ranges_m: (N,).
        intensity: (N,) 0..255.
        ground: (N,).
    """
    if ground.sum() < FEWEST_POINTS:
        return None
    distance = ranges_m[ground]
    bright = intensity[ground] / cosines(points[ground], distance)
    typical = _line(distance, bright)
    edges = np.linspace(_NOISE_FROM_M, _NOISE_TO_M, _NOISE_BINS + 1)
    middles = (edges[:-1] + edges[1:]) / 2
    place = np.digitize(distance, edges) - 1
    # Values of 5 and less are taken for no measurement (Hahner 2022).
    heard = (bright > _DARK) & (place >= 0) & (place < _NOISE_BINS)
    lowest = np.full(_NOISE_BINS, np.inf)
    np.minimum.at(lowest, place[heard], bright[heard])
    filled = np.isfinite(lowest)
    enough = filled.sum() >= _FEWEST_BINS
    dimmest = _line(middles[filled], lowest[filled]) if enough else typical
    return GroundPower(typical, dimmest, float(np.median(-points[ground, 2])))


def _line(x: Float64, y: Float64) -> tuple[float, float]:
    """Slope and offset of the line of least squares."""
    slope, offset = np.polyfit(x, y, 1)
    return float(slope), float(offset)
