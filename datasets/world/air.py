"""What hangs in the air and what wets the road: a clear scan becomes one in fog, snow or rain.

Offers `disturbed` and `AIRS`. The optics are those of `lima_bench.datasets.corruptions`; returns
from the air get the world's classes for fog, snow and rain. Only beams that met something in clear
air are changed: those that went into the sky stay empty.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from lima_bench.common.errors import unknown_name
from lima_bench.datasets.corruptions import fog, snow, wet_ground
from lima_bench.datasets.corruptions.frame import BRIGHTEST, moved_along
from lima_bench.datasets.corruptions.particles import SCATTERED, Particles, echoes
from lima_bench.datasets.sample import Bool, Float32, Float64
from lima_bench.datasets.world.labels import Label
from lima_bench.datasets.world.recording import LidarScan

Air = Callable[[LidarScan, np.random.Generator], LidarScan]

WET = (
    Label.ROAD,
    Label.LANE_MARKING,
    Label.PARKING,
    Label.SIDEWALK,
    Label.OTHER_FLAT,
    Label.CURB,
    Label.CONCRETE_SLAB,
)
"""Ground on which water stands as a film."""

DENSE_FOG = (0.06, 0.02)
LIGHT_FOG = (0.02, 0.008)
"""Attenuation per metre and backscatter per metre and steradian. Assumed: people see 50 m and 150 m
(visibility is about 3 / attenuation), the sensor about 20 m and 35 m."""

SNOWFALL = snow.LEVELS["moderate"]

RAIN = Particles(per_m2=1.25, mean_diameter_m=0.0004, largest_m=0.006, reflectivity=0.05)
"""Drops at 10 mm/h: J. S. Marshall and W. M. Palmer (1948) give 3160 drops in a cubic metre with a
mean diameter of 0.4 mm, of which 3160 x 0.0004 cut a square metre of the beams' plane. The
reflectivity is assumed: water is clear, and only a few percent come back."""

FILM = wet_ground.LEVELS["moderate"]
"""Of water on the road in rain; which level is assumed."""


def disturbed(scan: LidarScan, air: str, rng: np.random.Generator) -> LidarScan:
    """`scan` with `air` between the sensor and the street, and rain on the road.

    Args:
        scan: Taken in clear air.
        air: One of `AIRS`.
        rng: Decides where particles are.

    Raises:
        UserError: There is no such air.
    """
    if air not in AIRS:
        raise unknown_name("world", "kind of air", air, AIRS)
    return AIRS[air](scan, rng)


def _fog(scan: LidarScan, rng: np.random.Generator, kind: tuple[float, float]) -> LidarScan:
    ranges = _ranges_m(scan)
    seen = fog.veil(ranges, _counts(scan), *kind, rng)
    changed = _returned(scan, ranges, seen.ranges_m, seen.intensity, seen.is_fog, Label.FOG)
    return _kept(changed, seen.intensity >= 1)


def _falling(
    scan: LidarScan, rng: np.random.Generator, particles: Particles, label: Label
) -> LidarScan:
    ranges = _ranges_m(scan)
    seen = echoes(ranges, _counts(scan), particles, rng)
    from_air = seen.state == SCATTERED
    changed = _returned(scan, ranges, seen.ranges_m, seen.intensity, from_air, label)
    return _kept(changed, seen.intensity >= 1)


def _rain(scan: LidarScan, rng: np.random.Generator) -> LidarScan:
    ground = np.isin(scan.label, WET)
    heard, intensity = wet_ground.wetted(scan.points, _counts(scan), ground, FILM)
    wet = _kept(replace(scan, intensity=(intensity / BRIGHTEST).astype(np.float32)), heard)
    return _falling(wet, rng, RAIN, Label.RAIN)


AIRS: Mapping[str, Air] = {
    "dense_fog": lambda scan, rng: _fog(scan, rng, DENSE_FOG),
    "light_fog": lambda scan, rng: _fog(scan, rng, LIGHT_FOG),
    "snow": lambda scan, rng: _falling(scan, rng, snow.snowfall(SNOWFALL), Label.SNOW),
    "rain": _rain,
}
"""What may hang in the air, by name."""


_BY_POINT = ("points", "intensity", "ring", "column", "label", "instance", "moving", "second")


def _ranges_m(scan: LidarScan) -> Float64:
    ranges: Float64 = np.linalg.norm(scan.points.astype(np.float64), axis=1)
    return ranges


def _counts(scan: LidarScan) -> Float32:
    """Intensities 0..255 in whole numbers."""
    counts: Float32 = np.rint(scan.intensity * BRIGHTEST).astype(np.float32)
    return counts


def _returned(
    scan: LidarScan,
    ranges_m: Float64,
    new_m: Float64,
    counts: Float64,
    from_air: Bool,
    label: Label,
) -> LidarScan:
    """The scan with other distances and intensities; what comes from the air belongs to nothing."""
    return replace(
        scan,
        points=moved_along(scan.points, ranges_m, new_m),
        intensity=(counts / BRIGHTEST).astype(np.float32),
        label=np.where(from_air, int(label), scan.label),
        instance=np.where(from_air, 0, scan.instance),
        moving=scan.moving & ~from_air,
    )


def _kept(scan: LidarScan, mask: Bool) -> LidarScan:
    """The points of `mask`, in order."""
    values = {name: getattr(scan, name) for name in _BY_POINT}
    shorter = {name: value[mask] for name, value in values.items() if value is not None}
    return replace(scan, **shorter)
