"""Fog: targets fade with distance, and where the fog itself shines brighter it is the return.

Offers `corrupt`, `LEVELS` and `veil`, the optics alone. The model is M. Hahner et al., Fog
Simulation on Real LiDAR Point Clouds, ICCV 2021: the received power is the emitted pulse folded
with the channel's response. A target at R0 loses exp(-2 a R0) of its power. The fog in front of
it sends back, at the time that belongs to R, with T the pulse's duration,

    I(R) = integral over t in 0..T of pulse(t) g(R - c t / 2) dt,
    g(r) = overlap(r) exp(-2 a r) / r^2,

in units of the target's own power: b / b0 R0^2 max over R <= R0 of I(R). The brighter of the two
is reported.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from lima_bench.datasets.corruptions.frame import BRIGHTEST, FOG, RawFrame, moved_along
from lima_bench.datasets.corruptions.pulse import SPEED_OF_LIGHT_M_S, half_wave, overlap
from lima_bench.datasets.sample import Bool, Float32, Float64

ATTENUATIONS_PER_M = (0.0, 0.005, 0.01, 0.02, 0.03, 0.06)
"""One is drawn for each frame (Robo3D ``create/nuscenes_c/fog``)."""

HALF_POWER_WIDTH_S = 20e-9
"""The pulse lasts twice as long (Hahner 2021)."""

TARGET_BACKSCATTER = 1e-6 / math.pi
"""b0, per steradian: the authors' calibration together with I(R) in seconds, no reflectivity."""

SPREAD_M = 10.0
"""Fog returns scatter as if their target lay up to so much nearer or farther (Robo3D)."""

LARGEST_SPREAD = 2.0
"""Largest factor of that scatter. Assumed: without a bound, near targets would scatter their fog
returns to infinity or behind the sensor."""

_STEP_M, _LONGEST_M = 0.1, 250.0
_STEPS_IN_PULSE = 400


@dataclass(frozen=True)
class Level:
    """How thick the fog is.

    Attributes:
        backscatter: b, per metre and steradian.
    """

    backscatter: float


LEVELS: Mapping[str, Level] = {
    "light": Level(0.008),
    "moderate": Level(0.05),
    "heavy": Level(0.2),
}
"""Robo3D ``create/nuscenes_c/fog/fog_simulation.py``."""


@dataclass(frozen=True)
class Veiled:
    """What a sensor reports in fog.

    Attributes:
        ranges_m: (N,) distances.
        intensity: (N,) 0..255.
        is_fog: (N,) whether the return is from the fog.
    """

    ranges_m: Float64
    intensity: Float64
    is_fog: Bool


def corrupt(frame: RawFrame, level: Level, rng: np.random.Generator) -> RawFrame:
    """The frame in fog: as many points, those that are fog labelled 41."""
    ranges = frame.ranges_m
    attenuation = float(rng.choice(ATTENUATIONS_PER_M))
    seen = veil(ranges, frame.intensity, attenuation, level.backscatter, rng)
    return replace(
        frame,
        points=moved_along(frame.points, ranges, seen.ranges_m),
        intensity=seen.intensity.astype(np.float32),
        labels=np.where(seen.is_fog, FOG, frame.labels),
    )


def veil(
    ranges_m: Float64,
    intensity: Float32,
    attenuation_per_m: float,
    backscatter: float,
    rng: np.random.Generator,
) -> Veiled:
    """Targets at `ranges_m` (N,) with clear-air `intensity` (N,) 0..255, seen through fog.

    Args:
        ranges_m: Distances of the targets.
        intensity: What they would return in clear air.
        attenuation_per_m: a.
        backscatter: b, per metre and steradian.
        rng: Scatters the fog returns along their beams.
    """
    target = np.round(np.exp(-2 * attenuation_per_m * ranges_m) * intensity)
    distances, integrals = _soft_echo(attenuation_per_m)
    place = np.minimum(np.round(ranges_m / _STEP_M).astype(np.int64), len(integrals) - 1)
    gain = backscatter / TARGET_BACKSCATTER * ranges_m**2
    fog = np.minimum(gain * integrals[place] * intensity, BRIGHTEST)
    is_fog = fog > target
    spread = ranges_m / np.maximum(ranges_m + rng.uniform(-SPREAD_M, SPREAD_M, len(ranges_m)), 1e-3)
    spread = np.clip(spread, 1 / LARGEST_SPREAD, LARGEST_SPREAD)
    return Veiled(
        ranges_m=np.where(is_fog, distances[place] * spread, ranges_m),
        intensity=np.where(is_fog, fog, target),
        is_fog=is_fog,
    )


@lru_cache(maxsize=16)
def _soft_echo(attenuation_per_m: float) -> tuple[Float64, Float64]:
    """By target distance in steps: where the fog in front shines brightest, and I(R) there.

    Time is integrated by the rule of midpoints.
    """
    ranges = np.arange(0.0, _LONGEST_M + _STEP_M, _STEP_M)
    duration = 2 * HALF_POWER_WIDTH_S
    times = (np.arange(_STEPS_IN_PULSE) + 0.5) / _STEPS_IN_PULSE * duration
    echo = np.zeros_like(ranges)
    for time in times:
        r = ranges - SPEED_OF_LIGHT_M_S * time / 2
        near = np.maximum(r, 1e-6)
        response = overlap(r) * np.exp(-2 * attenuation_per_m * near) / near**2
        echo += half_wave(np.array(time / duration)) * response
    echo *= duration / _STEPS_IN_PULSE
    best = np.maximum.accumulate(echo)
    place = np.maximum.accumulate(np.where(echo >= best, np.arange(len(echo)), 0))
    return ranges[place], best
