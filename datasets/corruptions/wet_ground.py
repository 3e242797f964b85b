"""Wet ground: a film of water takes light away, and dim ground is no longer heard.

Offers `corrupt`, `LEVELS` and `wetted`, the optics alone. M. Hahner et al., CVPR 2022: light enters
the film, is scattered by the ground below, and leaves again; Fresnel's equations say how much
passes each way. What the water mirrors goes ahead and is lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from lima_bench.datasets.corruptions.frame import RawFrame
from lima_bench.datasets.corruptions.ground_power import cosines, fit_ground
from lima_bench.datasets.sample import Bool, Float32, Float64

AIR, WATER = 1.0003, 1.33
"""Refractive indices."""

PAVEMENT_DEPTH_MM = 1.2
"""Depth of the pavement's pores; so much water covers it wholly (Robo3D)."""

DARKEST_GROUND = 0.05
"""Smallest reflectivity below water (Hahner 2022)."""


@dataclass(frozen=True)
class Level:
    """How wet it is.

    Attributes:
        water_mm: Height of the film.
        noise_share: Of the dimmest ground's brightness: what is dimmer is lost.
    """

    water_mm: float
    noise_share: float


LEVELS: Mapping[str, Level] = {
    "light": Level(0.2, 0.2),
    "moderate": Level(1.0, 0.3),
    "heavy": Level(1.2, 0.7),
}
"""Robo3D ``create/nuscenes_c/wet_ground``."""


def corrupt(frame: RawFrame, level: Level, rng: np.random.Generator) -> RawFrame:
    """The frame on wet ground: ground points dimmed or gone, all others untouched."""
    del rng  # nothing is left to chance
    kept, intensity = wetted(frame.points, frame.intensity, frame.ground, level)
    return replace(frame, intensity=intensity).kept(kept)


def wetted(points: Float32, intensity: Float32, ground: Bool, level: Level) -> tuple[Bool, Float32]:
    """Which points (N,) are still heard, and all intensities (N,) 0..255.

    Args:
        points: (N, 3) metres, sensor frame, z up.
        intensity: (N,) 0..255 on dry ground.
        ground: (N,) whether the point lies on ground that gets wet.
        level: The film.
    """
    ranges: Float64 = np.linalg.norm(points.astype(np.float64), axis=1)
    power = fit_ground(points, ranges, intensity, ground)
    if power is None:
        return np.ones(len(points), dtype=bool), intensity
    distance, cosine = ranges[ground], cosines(points[ground], ranges[ground])
    dry = intensity[ground] / cosine / power.emitted(distance)
    covered = min(level.water_mm / PAVEMENT_DEPTH_MM, 1.0)
    angle = np.arccos(cosine)
    # The published program divides by the angle in radians; so does this, to dim as much.
    below = _through_water(angle, np.clip(dry, DARKEST_GROUND, 1.0)) / np.maximum(angle, 1e-3)
    reflectivity = (1 - covered) * dry + covered * below
    new = np.clip(power.emitted(distance) * cosine * reflectivity, 0.0, intensity[ground])
    kept = np.ones(len(points), dtype=bool)
    kept[ground] = new > power.noise(distance, level.noise_share) * cosine
    dimmed = intensity.copy()
    dimmed[ground] = new
    return kept, dimmed


def _through_water(angle_rad: Float64, reflectivity: Float64) -> Float64:
    """Share of light (N,) that comes back from ground below a film of water.

    For light that oscillates in the plane of incidence, which passes best. With a share m
    mirrored at the surface from either side and a reflectivity q of the ground, what leaves after
    any number of reflections inside is (1 - m)^2 q / (1 - m q).
    """
    inside = np.arcsin(np.sin(angle_rad) * AIR / WATER)
    outer, inner = WATER * np.cos(angle_rad), AIR * np.cos(inside)
    mirrored = ((outer - inner) / (outer + inner)) ** 2
    back: Float64 = (1 - mirrored) ** 2 * reflectivity / (1 - mirrored * reflectivity)
    return back
