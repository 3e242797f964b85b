"""Draws the plan of a trail through open country: hills, ponds, puddles, mud, a concrete path.

Offers `draw_trail`, which stands in for `draw_street` where the style is wild. The trail is a
street without lanes: its half width is what a street calls its parking strip, and concrete paths
that cross it are what a street calls its branches.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from lima_bench.datasets.sample import Float64
from lima_bench.datasets.world.ground import STEP_M, Ground
from lima_bench.datasets.world.labels import Label
from lima_bench.datasets.world.relief import PATCH, WAVE
from lima_bench.datasets.world.street import BEYOND_M, Street, Style, draw_profile
from lima_bench.datasets.world.surface import tops

_WAVELENGTHS_M = (16.0, 27.0, 45.0, 80.0)
_POND, _SLAB = 0.35, 0.25
"""Chances of a pond and of a concrete slab along a trail that need not show them."""


def draw_trail(
    rng: np.random.Generator, style: Style, travel_m: float, *, all_classes: bool
) -> Street:
    """The plan of a trail along which the ego drives from x = 0 for `travel_m` metres.

    With `all_classes` it has a pond, puddles, mud and concrete near the ego's way.
    """
    start = -BEYOND_M
    profile = draw_profile(rng, style, start, travel_m + BEYOND_M)
    dry = Ground(
        start=start,
        profile=profile,
        tilt=float(style.slope * rng.uniform(-0.5, 0.5)),
        lane_width=0.0,
        lanes=1,
        median=0.0,
        parking=np.full(2, rng.uniform(1.2, 1.8)),
        cycle=np.zeros(2),
        walk=np.zeros(2),
        paved=np.zeros(2),
        branches=_paths(rng, profile, start, travel_m, certain=all_classes),
        crossings=np.empty((0, 2)),
        bald=float(rng.uniform(0.15, 0.4)),
        seed=int(rng.integers(1, 1 << 20)),
        steepest=1.0,
        waves=_waves(rng, style.slope),
    )
    trail = Street(dry, start_m=-65.0, end_m=travel_m + 75.0, style=style)
    patches = _Patches(rng, trail, travel_m)
    if all_classes or rng.random() < _POND:
        patches.pond()
    patches.wet_places(3 if all_classes else int(rng.integers(0, 4)))
    if rng.random() < _SLAB:
        patches.slab()
    wet = replace(dry, patches=patches.table)
    return replace(trail, ground=replace(wet, steepest=_steepest(wet, trail)))


def _waves(rng: np.random.Generator, slope: float) -> Float64:
    """Hills of four sizes, in any direction, each at most as steep as `slope`."""
    rows = np.empty((len(_WAVELENGTHS_M), WAVE))
    for row, longest in zip(rows, _WAVELENGTHS_M, strict=True):
        number, way = 2 * math.pi / (longest * rng.uniform(0.7, 1.0)), rng.uniform(0, 2 * math.pi)
        steep = slope * rng.uniform(0.3, 1.0)
        row[:] = (
            number * math.cos(way),
            number * math.sin(way),
            rng.uniform(0, 2 * math.pi),
            steep / number,
        )
    return rows


def _paths(
    rng: np.random.Generator, profile: Float64, start: float, travel_m: float, *, certain: bool
) -> Float64:
    """A concrete path across the trail, or none."""
    crosses = certain or rng.random() < 0.2
    x = float(rng.uniform(6.0, 14.0) + travel_m)
    turn, half = math.radians(rng.uniform(-35, 35)), float(rng.uniform(0.7, 1.2))
    if not crosses:
        return np.empty((0, 6))
    row = profile[int((x - start) / STEP_M)]
    yaw = math.atan(row[1]) + math.pi / 2 + turn
    return np.array([[x, row[0], math.cos(yaw), math.sin(yaw), half, 0.0]])


class _Patches:
    """Collects wet places and slabs along a trail; the first that covers a place shows there."""

    def __init__(self, rng: np.random.Generator, trail: Street, travel_m: float) -> None:
        self.rng, self.trail, self.travel_m = rng, trail, travel_m
        self._rows: list[tuple[float, ...]] = []

    @property
    def table(self) -> Float64:
        """As in `Ground.patches`."""
        return np.array(self._rows).reshape(-1, PATCH)

    def _add(
        self, x: float, offset: float, half: tuple[float, float], sunk_m: float, label: Label
    ) -> None:
        """A patch with half length and width `half`, turned a little against the trail."""
        px, py, z, yaw = self.trail.beside(x, offset)
        yaw += float(self.rng.normal(0, 0.3))
        level = z - sunk_m
        self._rows.append((px, py, math.cos(yaw), math.sin(yaw), *half, level, float(label)))

    def _along(self, beyond_m: float) -> float:
        return float(self.rng.uniform(1.5, self.travel_m + beyond_m))

    def pond(self) -> None:
        """Water beside the trail, in a hollow."""
        rng = self.rng
        half = float(rng.uniform(2.2, 4.5)), float(rng.uniform(1.6, 2.6))
        offset = float(rng.choice([-1.0, 1.0])) * (2.5 + half[1] + float(rng.uniform(0.5, 3.0)))
        self._add(self._along(7.0), offset, half, float(rng.uniform(0.2, 0.4)), Label.WATER)

    def wet_places(self, count: int) -> None:
        """Puddles in or beside the ruts, in mud; and mud alone."""
        rng = self.rng
        places = [(self._along(5.0), float(rng.uniform(-1.6, 1.6))) for _ in range(count)]
        for x, offset in places:
            half = float(rng.uniform(0.8, 1.8)), float(rng.uniform(0.5, 0.9))
            self._add(x, offset, half, 0.04, Label.PUDDLE)
        for x, offset in places:
            half = float(rng.uniform(1.7, 2.8)), float(rng.uniform(0.9, 1.5))
            self._add(x, offset, half, 0.0, Label.MUD)

    def slab(self) -> None:
        """A level slab of concrete beside the trail."""
        rng = self.rng
        half = float(rng.uniform(1.2, 2.5)), float(rng.uniform(1.0, 1.8))
        offset = float(rng.choice([-1.0, 1.0])) * (2.5 + half[1] + float(rng.uniform(0.5, 4.0)))
        self._add(self._along(18.0), offset, half, 0.0, Label.CONCRETE_SLAB)


def _steepest(ground: Ground, trail: Street) -> float:
    """The largest rise per metre around the trail, with a margin for what the grid misses."""
    step = 0.4
    x, y = np.meshgrid(
        np.arange(trail.start_m - 20, trail.end_m + 20, step), np.arange(-90.0, 90.0, step)
    )
    z = tops(ground.table, x.ravel(), y.ravel()).reshape(x.shape)
    rises = np.hypot(*np.gradient(z, step))
    return float(1.15 * rises.max() + 0.02)
