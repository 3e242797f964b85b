"""Particles in a LiDAR's beams: they shade what lies behind and send light back themselves.

Offers `Particles` and `echoes`. The model is M. Hahner et al., LiDAR Snowfall Simulation for Robust
3D Object Detection, CVPR 2022: each beam is a thin wedge in a plane that cuts the falling balls
into discs; every disc hides a share of the wedge, and the sensor reports the strongest point of
the sum of all pulses. Simplified here: discs are drawn for each beam by themselves (beams 0.2
degrees apart hardly share any), discs of one beam hide each other as if independent, and one
typical laser stands for all where the authors have a calibration of each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lima_bench.datasets.corruptions.frame import BRIGHTEST
from lima_bench.datasets.corruptions.pulse import SPEED_OF_LIGHT_M_S, half_wave, overlap
from lima_bench.datasets.sample import Bool, Float32, Float64, Int64

UNTOUCHED, DIMMED, SCATTERED = 0, 1, 2
"""State codes: no particle in the beam; a weaker target; the return is a particle (Robo3D)."""

DIVERGENCE_RAD = 3e-3
PULSE_WIDTH_S = 10e-9
"""Hahner 2022, from the data sheet of Velodyne's HDL-64E."""

FOCAL_DISTANCE_M, FOCAL_SLOPE = 24.0, 0.75
"""What most of the upper 32 lasers have in the public calibration of an HDL-64E S3D.

The sensor brightens what lies out of focus; the authors undo that before they compare powers and
do it again after. Published nuScenes-C was made so too, though its HDL-32E reports no such values:
dim targets near the sensor then lose to the faintest flake. Light snow has more and smaller flakes
than heavy snow, so it takes most points; published scores agree (2DPASS on SemanticKITTI-C: 47.99,
48.69, 48.91 from light to heavy; Robo3D ``docs/results``).
"""

SAME_TARGET_M = 0.2
"""A maximum this near the target is the target (Hahner 2022: two bins of 0.1 m)."""

_BIN_M = 0.1
_PULSE_M = SPEED_OF_LIGHT_M_S * PULSE_WIDTH_S
_PULSE_BINS = math.ceil(_PULSE_M / _BIN_M) + 1
_BEAMS_AT_ONCE = 1024


@dataclass(frozen=True)
class Particles:
    """What falls.

    Attributes:
        per_m2: Discs on a square metre of the beams' plane.
        mean_diameter_m: Of the balls; diameters are distributed exponentially.
        largest_m: No ball is larger; hardly any would be.
        reflectivity: Share of light that a particle returns.
    """

    per_m2: float
    mean_diameter_m: float
    largest_m: float
    reflectivity: float


@dataclass(frozen=True)
class Echoes:
    """What the sensor reports.

    Attributes:
        ranges_m: (N,) distances.
        intensity: (N,) whole numbers 0..255.
        state: (N,) `UNTOUCHED`, `DIMMED` or `SCATTERED`.
    """

    ranges_m: Float64
    intensity: Float64
    state: Int64


@dataclass(frozen=True)
class _Discs:
    """Discs in beams, sorted by beam and distance: beam, distance, share of the beam hidden."""

    beam: Int64
    range_m: Float64
    hides: Float64


def echoes(
    ranges_m: Float64, intensity: Float32, particles: Particles, rng: np.random.Generator
) -> Echoes:
    """Targets at `ranges_m` (N,) with clear-air `intensity` (N,) 0..255, seen through particles."""
    discs = _drawn(ranges_m, particles, rng)
    beams, free = np.arange(len(ranges_m)), np.ones(len(ranges_m))
    np.multiply.at(free, discs.beam, 1 - discs.hides)
    hit = np.bincount(discs.beam, minlength=len(ranges_m)) > 0
    flash = _unshaded(discs) * discs.hides * overlap(discs.range_m) / discs.range_m**2
    flash *= BRIGHTEST * particles.reflectivity
    # One pulse for every disc and one for every target, in the order of beams.
    beam = np.concatenate([discs.beam, beams[hit]])
    start = np.concatenate([discs.range_m, ranges_m[hit]])
    target = np.clip(intensity - _brightening(ranges_m), 0, BRIGHTEST) * free
    power = np.concatenate([flash, target[hit]])
    order = np.argsort(beam, kind="stable")
    peak_m, peak = _strongest(beam[order], start[order], power[order], beams[hit])
    new_m, seen = ranges_m.copy(), intensity.astype(np.float64)
    seen[hit] = np.clip(np.floor(peak + _brightening(peak_m)), 0, BRIGHTEST)
    same = (np.abs(peak_m - ranges_m[hit]) < SAME_TARGET_M) | (peak <= 0)
    new_m[hit] = np.where(same, ranges_m[hit], peak_m)
    state = np.full(len(ranges_m), UNTOUCHED, dtype=np.int64)
    state[hit] = np.where(same, DIMMED, SCATTERED)
    return Echoes(new_m, seen, state)


def _brightening(ranges_m: Float64) -> Float64:
    """What the sensor adds to intensities (N,) at these distances (Velodyne's HDL-64E manual)."""
    in_focus = (1 - FOCAL_DISTANCE_M / 131) ** 2
    added: Float64 = BRIGHTEST * FOCAL_SLOPE * np.abs(in_focus - (1 - ranges_m / 120) ** 2)
    return added


def _drawn(ranges_m: Float64, particles: Particles, rng: np.random.Generator) -> _Discs:
    """Discs that touch each beam before its target.

    They are of two kinds: centres inside the wedge, and centres at most a radius beside it. Of
    the second kind there are more the larger discs are, so their sizes are biased.
    """
    mean_radius = particles.mean_diameter_m * math.pi / 8
    inside, beside = DIVERGENCE_RAD * ranges_m**2 / 2, 2 * mean_radius * ranges_m
    count = rng.poisson(particles.per_m2 * (inside + beside))
    beam = np.repeat(np.arange(len(ranges_m)), count)
    is_inside = rng.random(len(beam)) * (inside + beside)[beam] < inside[beam]
    radius = _radii(is_inside, particles, rng)
    share = rng.random(len(beam))
    distance = ranges_m[beam] * np.where(is_inside, np.sqrt(share), share)
    distance = np.maximum(distance, radius + 1e-3)
    half = np.arcsin(radius / distance)
    edge, place = DIVERGENCE_RAD / 2, rng.uniform(-1, 1, len(beam))
    aside = np.where(is_inside, place * edge, np.sign(place) * (edge + np.abs(place) * half))
    hides = np.minimum(aside + half, edge) - np.maximum(aside - half, -edge)
    order = np.lexsort((distance, beam))
    return _Discs(beam[order], distance[order], np.clip(hides / DIVERGENCE_RAD, 0.0, 1.0)[order])


def _radii(is_inside: Bool, particles: Particles, rng: np.random.Generator) -> Float64:
    """Radii of discs: balls of exponential diameter, cut at a uniform height.

    Where the size counts once more: the sum of two such diameters, and a height from the
    projection of a uniform disc.
    """
    n = len(is_inside)
    diameter = rng.exponential(particles.mean_diameter_m, (2, n))
    uniform = rng.uniform(-1, 1, n)
    projected = np.sqrt(rng.random(n)) * np.cos(2 * np.pi * rng.random(n))
    ball = np.where(is_inside, diameter[0], diameter.sum(axis=0))
    height = np.where(is_inside, uniform, projected)
    radius: Float64 = np.minimum(ball, particles.largest_m) / 2 * np.sqrt(1 - height**2)
    return radius


def _unshaded(discs: _Discs) -> Float64:
    """The share of light that reaches each disc past the nearer ones of its beam."""
    logs = np.log(np.maximum(1 - discs.hides, 1e-12))
    before = np.cumsum(logs) - logs
    first = np.searchsorted(discs.beam, discs.beam)
    unshaded: Float64 = np.exp(before - before[first])
    return unshaded


def _strongest(
    beam: Int64, start_m: Float64, power: Float64, beams: Int64
) -> tuple[Float64, Float64]:
    """Place (M,) in metres and height (M,) of the largest sum of pulses in each of `beams` (M,).

    Pulses are sorted by beam. A pulse begins where its particle is and lasts `_PULSE_M`; its
    middle tells the distance.
    """
    places, heights = np.zeros(len(beams)), np.zeros(len(beams))
    n_bins = math.ceil(start_m.max(initial=0.0) / _BIN_M) + _PULSE_BINS + 1
    for low in range(0, len(beams), _BEAMS_AT_ONCE):
        some = beams[low : low + _BEAMS_AT_ONCE]
        part = slice(*np.searchsorted(beam, [some[0], some[-1] + 1]))
        row = np.searchsorted(some, beam[part])
        first = np.ceil(start_m[part] / _BIN_M).astype(np.int64)
        bins = first[:, None] + np.arange(_PULSE_BINS)
        shares = (bins * _BIN_M - start_m[part, None]) / _PULSE_M
        values = power[part, None] * half_wave(shares)
        cells = (row[:, None] * n_bins + bins).ravel()
        wave = np.bincount(cells, values.ravel(), len(some) * n_bins).reshape(-1, n_bins)
        best = wave.argmax(axis=1)
        places[low : low + len(some)] = best * _BIN_M - _PULSE_M / 2
        heights[low : low + len(some)] = wave[np.arange(len(some)), best]
    return places, heights
