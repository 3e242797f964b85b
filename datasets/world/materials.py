"""What things are made of: another taxonomy than their classes, with what light does to each.

Offers `Material`, and by material id: `COLOUR` (base RGB), `REFLECTIVITY` (near infrared, as the
LiDAR sees it) and `DROP_OUT` (share of pulses that never come back). The stand-in image teacher
is trained on these ids, never on classes. Light: numpy only.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from lima_bench.datasets.sample import Float64


class Material(IntEnum):
    """Material ids."""

    SKY = 0
    ASPHALT = 1
    PAINT = 2
    PAVING = 3
    KERB_STONE = 4
    RED_ASPHALT = 5
    GRASS = 6
    SOIL = 7
    BRICK = 8
    PLASTER = 9
    CONCRETE = 10
    GLASS = 11
    ROOF_TILE = 12
    WOOD = 13
    FOLIAGE = 14
    BARK = 15
    CAR_PAINT = 16
    RUBBER = 17
    CLOTH = 18
    SKIN = 19
    HAIR = 20
    METAL = 21
    ORANGE_PLASTIC = 22
    STRIPED_PLASTIC = 23
    SIGN_FACE = 24
    LAMP = 25
    HI_VIS = 26
    TARPAULIN = 27


class Optics(NamedTuple):
    """How one material looks.

    Attributes:
        colour: Base RGB in 0..1; most things carry a colour of their own and ignore it.
        reflectivity: Share of a 905 nm pulse that comes back from a surface seen straight on.
        drop_out: Share of pulses that give no return even at short range.
    """

    colour: tuple[float, float, float]
    reflectivity: float
    drop_out: float


OPTICS: dict[Material, Optics] = {
    Material.SKY: Optics((0.62, 0.72, 0.85), 0.0, 1.0),
    Material.ASPHALT: Optics((0.25, 0.25, 0.26), 0.10, 0.05),
    Material.PAINT: Optics((0.82, 0.82, 0.78), 0.55, 0.02),
    Material.PAVING: Optics((0.52, 0.50, 0.47), 0.24, 0.03),
    Material.KERB_STONE: Optics((0.60, 0.60, 0.58), 0.32, 0.02),
    Material.RED_ASPHALT: Optics((0.47, 0.24, 0.20), 0.18, 0.04),
    Material.GRASS: Optics((0.26, 0.38, 0.16), 0.42, 0.06),
    Material.SOIL: Optics((0.38, 0.30, 0.21), 0.28, 0.05),
    Material.BRICK: Optics((0.52, 0.28, 0.22), 0.34, 0.02),
    Material.PLASTER: Optics((0.76, 0.71, 0.62), 0.50, 0.02),
    Material.CONCRETE: Optics((0.58, 0.57, 0.55), 0.38, 0.02),
    Material.GLASS: Optics((0.22, 0.28, 0.34), 0.06, 0.55),
    Material.ROOF_TILE: Optics((0.48, 0.26, 0.20), 0.30, 0.02),
    Material.WOOD: Optics((0.45, 0.32, 0.20), 0.36, 0.02),
    Material.FOLIAGE: Optics((0.20, 0.36, 0.13), 0.46, 0.10),
    Material.BARK: Optics((0.30, 0.24, 0.18), 0.30, 0.03),
    Material.CAR_PAINT: Optics((0.55, 0.55, 0.58), 0.30, 0.12),
    Material.RUBBER: Optics((0.07, 0.07, 0.08), 0.05, 0.15),
    Material.CLOTH: Optics((0.35, 0.36, 0.45), 0.26, 0.04),
    Material.SKIN: Optics((0.78, 0.58, 0.47), 0.40, 0.03),
    Material.HAIR: Optics((0.18, 0.13, 0.10), 0.12, 0.10),
    Material.METAL: Optics((0.48, 0.50, 0.52), 0.34, 0.06),
    Material.ORANGE_PLASTIC: Optics((0.93, 0.38, 0.08), 0.48, 0.02),
    Material.STRIPED_PLASTIC: Optics((0.90, 0.88, 0.86), 0.60, 0.02),
    Material.SIGN_FACE: Optics((0.85, 0.12, 0.12), 0.95, 0.00),
    Material.LAMP: Optics((0.95, 0.92, 0.80), 0.60, 0.05),
    Material.HI_VIS: Optics((0.80, 0.90, 0.15), 0.75, 0.01),
    Material.TARPAULIN: Optics((0.35, 0.42, 0.50), 0.30, 0.03),
}

COLOUR: Float64 = np.array([OPTICS[material].colour for material in Material])
"""Base RGB in 0..1 by material id."""

REFLECTIVITY: Float64 = np.array([OPTICS[material].reflectivity for material in Material])
"""Reflectivity in 0..1 by material id."""

DROP_OUT: Float64 = np.array([OPTICS[material].drop_out for material in Material])
"""Share of lost pulses by material id."""
