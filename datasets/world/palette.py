"""Colours that things of one kind come in, drawn at random; RGB in 0..1.

Offers `near`, `car_colour`, `wall_colour`, `vivid`, `fleet_colour`,
`cloth_colour`, and `pick` (a weighted draw).
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np

from lima_bench.datasets.world.shapes import Colour

# Shares of car colours on European and American roads are mostly grey, white and black.
_CAR = (
    ((0.86, 0.86, 0.85), 0.24),
    ((0.10, 0.10, 0.11), 0.18),
    ((0.36, 0.37, 0.39), 0.16),
    ((0.62, 0.63, 0.65), 0.14),
    ((0.10, 0.18, 0.42), 0.09),
    ((0.55, 0.08, 0.08), 0.08),
    ((0.16, 0.34, 0.28), 0.05),
    ((0.72, 0.64, 0.48), 0.06),
)
_WALLS = (
    (0.80, 0.76, 0.66),
    (0.72, 0.66, 0.56),
    (0.86, 0.84, 0.80),
    (0.66, 0.62, 0.60),
    (0.76, 0.60, 0.46),
    (0.58, 0.60, 0.58),
    (0.82, 0.74, 0.52),
)


def near(rng: np.random.Generator, colour: Colour, spread: float = 0.05) -> Colour:
    """`colour`, a little off."""
    red, green, blue = (
        min(max(base + spread * off, 0.02), 0.98)
        for base, off in zip(colour, rng.standard_normal(3).tolist(), strict=True)
    )
    return red, green, blue


def pick(rng: np.random.Generator, shares: Sequence[float]) -> int:
    """A position drawn by the shares there, which need not add up to 1."""
    left = float(rng.random()) * sum(shares)
    for position, share in enumerate(shares):
        left -= share
        if left < 0:
            return position
    return len(shares) - 1


def car_colour(rng: np.random.Generator) -> Colour:
    """The paint of a car."""
    return near(rng, _CAR[pick(rng, [share for _, share in _CAR])][0], 0.03)


def wall_colour(rng: np.random.Generator) -> Colour:
    """Plaster of a house."""
    return near(rng, _WALLS[int(rng.integers(len(_WALLS)))], 0.03)


def vivid(rng: np.random.Generator) -> Colour:
    """A strong colour: awnings, doors, cycles."""
    hue, light = rng.uniform(0, 1), rng.uniform(0.35, 0.65)
    return colorsys.hls_to_rgb(hue, light, rng.uniform(0.35, 0.75))


def fleet_colour(rng: np.random.Generator) -> Colour:
    """The paint of a lorry's box or a bus: often white or grey, else a muted colour."""
    if rng.random() < 0.4:
        return near(rng, (0.80, 0.80, 0.79), 0.06)
    hue, light = rng.uniform(0, 1), rng.uniform(0.28, 0.62)
    return colorsys.hls_to_rgb(hue, light, rng.uniform(0.25, 0.6))


def cloth_colour(rng: np.random.Generator) -> Colour:
    """A garment: mostly dark or muted."""
    return colorsys.hls_to_rgb(rng.uniform(), rng.uniform(0.12, 0.6), rng.uniform(0.05, 0.55))
