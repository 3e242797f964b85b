"""Snowfall: flakes shade targets, take their place, and what becomes too dim is lost.

Offers `corrupt`, `LEVELS` and `snowfall`. Flakes in beams are `lima_bench.datasets.corruptions.
particles`; how many there are and how large follows M. Hahner et al., CVPR 2022: their size from
K. L. S. Gunn and J. S. Marshall (1958), their number from rate and fall speed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from lima_bench.datasets.corruptions.frame import SNOW, RawFrame, moved_along
from lima_bench.datasets.corruptions.ground_power import fit_ground
from lima_bench.datasets.corruptions.particles import SCATTERED, Particles, echoes
from lima_bench.datasets.sample import Float64

FLAKE_DENSITY = 0.1
"""Of water's (Hahner 2022)."""

TYPICAL_FLAKE_M = 0.003
"""With which rates of snow become rates of rain (Hahner 2022)."""

LARGEST_FLAKE_M = 0.02
FLAKE_REFLECTIVITY = 0.9
NOISE_SHARE = 0.7
"""Hahner 2022, Robo3D ``create/nuscenes_c/snow``."""


@dataclass(frozen=True)
class Level:
    """How it snows.

    Attributes:
        rate_mm_h: Melted water per hour.
        fall_m_s: Speed of the flakes.
    """

    rate_mm_h: float
    fall_m_s: float


LEVELS: Mapping[str, Level] = {
    "light": Level(0.5, 2.0),
    "moderate": Level(1.0, 1.6),
    "heavy": Level(2.5, 1.6),
}
"""Robo3D ``create/nuscenes_c/snow/simulation.py``."""


def snowfall(level: Level) -> Particles:
    """Flakes of this snowfall in a plane of beams.

    The occupied share of the plane is rate / (density x speed), in equal units. A ball of diameter
    d cut at a uniform height gives a disc of mean area pi d^2 / 6, and an exponential distribution
    with mean m has a mean d^2 of 2 m^2.
    """
    occupied = level.rate_mm_h / (3.6e6 * FLAKE_DENSITY * level.fall_m_s)
    as_rain_mm_h = (
        level.rate_mm_h / (487 * FLAKE_DENSITY * TYPICAL_FLAKE_M * level.fall_m_s)
    ) ** 1.5
    mean_m = 0.01 / (25.5 * as_rain_mm_h**-0.48)
    return Particles(
        per_m2=occupied / (math.pi * mean_m**2 / 3),
        mean_diameter_m=mean_m,
        largest_m=LARGEST_FLAKE_M,
        reflectivity=FLAKE_REFLECTIVITY,
    )


def corrupt(frame: RawFrame, level: Level, rng: np.random.Generator) -> RawFrame:
    """The frame in snow: flakes labelled 42; the beam's number gives way to the state code."""
    ranges = frame.ranges_m
    seen = echoes(ranges, frame.intensity, snowfall(level), rng)
    scattered = seen.state == SCATTERED
    snowy = replace(
        frame,
        points=moved_along(frame.points, ranges, seen.ranges_m),
        intensity=seen.intensity.astype(np.float32),
        ring=seen.state,
        labels=np.where(scattered, SNOW, frame.labels),
    )
    return snowy.kept(scattered | (seen.intensity > _floor(frame, ranges)))


def _floor(frame: RawFrame, ranges_m: Float64) -> Float64:
    """Intensity (N,) that the sensor still hears, from the dimmest ground at that distance.

    Flat ground at distance R is met under a cosine of height / R; the authors fit a parabola to
    the same values instead, which bends upwards beyond the last ground point.
    """
    power = fit_ground(frame.points, ranges_m, frame.intensity, frame.ground)
    if power is None:
        return np.full(len(ranges_m), -1.0)
    cosine = np.minimum(power.height_m / np.maximum(ranges_m, 1e-6), 1.0)
    floor: Float64 = power.noise(ranges_m, NOISE_SHARE) * cosine
    return floor
