"""Light and air: sun or clouds, haze, dusk, night, rain.

Offers `Weather` and `draw_weather`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lima_bench.datasets.world.palette import pick


class Weather(NamedTuple):
    """What decides how a place looks, for the kernels.

    Attributes:
        kind: 0 sunny, 1 cloudy, 2 dusk, 3 night, 4 rain.
        sun_x: Direction to the sun, unit vector.
        sun_y: See `sun_x`.
        sun_z: See `sun_x`.
        sun: Strength of direct light.
        ambient: Strength of light from the sky.
        warmth: Shift of direct light towards red.
        haze_per_m: Extinction per metre.
        clouds: Share of sky under cloud.
        headlight: Strength of the ego's own light.
        wet: How far surfaces are darkened and mirror the sky.
    """

    kind: int
    sun_x: float
    sun_y: float
    sun_z: float
    sun: float
    ambient: float
    warmth: float
    haze_per_m: float
    clouds: float
    headlight: float
    wet: float

    @property
    def name(self) -> str:
        """As a person would note it."""
        return NAMES[self.kind]


NAMES = ("sunny", "cloudy", "dusk", "night", "rain")


def draw_weather(rng: np.random.Generator, shares: Sequence[float]) -> Weather:
    """The weather of one scene; `shares` of the kinds in the order of `NAMES`."""
    kind = pick(rng, shares)
    turn = rng.uniform(0, 2 * math.pi)
    rise = math.radians(rng.uniform(28, 62) if kind != 2 else rng.uniform(8, 18))
    flat = math.cos(rise)
    sun, ambient = ((0.80, 0.50), (0.20, 0.78), (0.45, 0.34), (0.0, 0.11), (0.08, 0.62))[kind]
    return Weather(
        kind=kind,
        sun_x=flat * math.cos(turn),
        sun_y=flat * math.sin(turn),
        sun_z=math.sin(rise),
        sun=float(sun * rng.uniform(0.9, 1.1)),
        ambient=float(ambient * rng.uniform(0.9, 1.1)),
        warmth=0.35 if kind == 2 else 0.06,
        haze_per_m=float(rng.uniform(0.0008, 0.003) * (2.5 if kind == 4 else 1.0)),
        clouds=float((rng.uniform(0.1, 0.5), 0.95, rng.uniform(0.2, 0.7), 0.3, 1.0)[kind]),
        headlight=0.9 if kind == 3 else (0.15 if kind == 2 else 0.0),
        wet=0.7 if kind == 4 else 0.0,
    )
