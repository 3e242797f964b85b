"""What makes a building site in a street: machines, barriers, cones.

Offers `excavator`, `wheel_loader`, `construction_vehicle` (either), `barrier` and `cone`.
"""

from __future__ import annotations

import numpy as np

from lima_bench.datasets.world.labels import Label
from lima_bench.datasets.world.materials import Material
from lima_bench.datasets.world.palette import near
from lima_bench.datasets.world.shapes import Builder, Texture
from lima_bench.datasets.world.things import Model

METAL, RUBBER, PAINT, GLASS = Material.METAL, Material.RUBBER, Material.CAR_PAINT, Material.GLASS


def excavator(rng: np.random.Generator) -> Model:
    """A tracked excavator with its boom folded ahead."""
    build = Builder(Label.CONSTRUCTION_VEHICLE, float(rng.integers(1000)))
    paint = near(rng, (0.90, 0.58, 0.06))
    for side in (-1, 1):
        build.box((-0.6, side * 0.95, 0.42), (3.4, 0.55, 0.8), RUBBER, top=(0.85, 1.0))
    build.box((-0.6, 0, 0.95), (1.4, 1.5, 0.3), METAL, (0.2, 0.2, 0.2))
    build.box((-1.1, 0, 1.65), (2.6, 2.4, 1.1), PAINT, paint, top=(0.92, 0.96))
    build.box((0.1, 0.75, 2.15), (1.3, 0.9, 1.5), GLASS, top=(0.8, 0.9))
    build.box((0.05, 0.75, 2.93), (1.2, 0.9, 0.08), PAINT, paint)
    build.rod((0.2, -0.2, 1.5), (1.7, -0.2, 3.3), 0.2, PAINT, paint)
    build.rod((1.7, -0.2, 3.3), (2.8, -0.2, 2.2), 0.16, PAINT, paint)
    build.rod((2.8, -0.2, 2.2), (2.5, -0.2, 0.8), 0.14, PAINT, paint)
    build.box((2.45, -0.2, 0.55), (0.7, 0.9, 0.7), METAL, (0.25, 0.25, 0.26), top=(1.2, 1.0))
    return Model(Label.CONSTRUCTION_VEHICLE, (5.8, 2.6, 3.5), build.shapes())


def wheel_loader(rng: np.random.Generator) -> Model:
    """A wheel loader with its shovel down."""
    build = Builder(Label.CONSTRUCTION_VEHICLE, float(rng.integers(1000)))
    paint = near(rng, (0.92, 0.66, 0.08))
    for x in (-1.4, 1.1):
        for side in (-1, 1):
            build.wheel((x, side * 0.95, 0.68), 0.68, 0.5)
            build.wheel((x, side * 1.08, 0.68), 0.36, 0.27, METAL, paint)
    build.box((-1.5, 0, 1.35), (2.2, 1.5, 1.0), PAINT, paint, top=(0.9, 0.9))
    build.box((0.9, 0, 1.05), (1.6, 1.1, 0.6), PAINT, paint)
    build.box((-0.3, 0, 2.2), (1.3, 1.4, 1.7), GLASS, top=(0.85, 0.9))
    build.box((-0.3, 0, 3.05), (1.4, 1.4, 0.1), PAINT, paint)
    for side in (-1, 1):
        build.rod((0.9, side * 0.45, 1.4), (2.4, side * 0.45, 0.6), 0.12, PAINT, paint)
    build.box((2.55, 0, 0.5), (0.8, 2.4, 0.9), METAL, (0.3, 0.28, 0.24), top=(1.15, 1.0))
    return Model(Label.CONSTRUCTION_VEHICLE, (6.1, 2.5, 3.15), build.shapes())


def construction_vehicle(rng: np.random.Generator) -> Model:
    """An excavator or a wheel loader."""
    return excavator(rng) if rng.random() < 0.55 else wheel_loader(rng)


def barrier(rng: np.random.Generator) -> Model:
    """One element of a temporary barrier: concrete, or a striped plank on feet."""
    build = Builder(Label.BARRIER, float(rng.integers(1000)))
    if rng.random() < 0.4:
        build.box(
            (0, 0, 0.42),
            (2.0, 0.5, 0.84),
            Material.CONCRETE,
            top=(1.0, 0.45),
            texture=Texture.SPECKLED,
        )
        return Model(Label.BARRIER, (2.0, 0.5, 0.85), build.shapes())
    build.box((0, 0, 0.80), (2.0, 0.09, 0.36), Material.STRIPED_PLASTIC, texture=Texture.STRIPES)
    build.box((0, 0, 0.36), (2.0, 0.09, 0.20), Material.STRIPED_PLASTIC, texture=Texture.STRIPES)
    for x in (-0.8, 0.8):
        build.box((x, 0, 0.45), (0.08, 0.06, 0.9), METAL)
        build.box((x, 0, 0.06), (0.2, 0.55, 0.12), RUBBER)
    if rng.random() < 0.5:
        build.ball((0.8, 0, 1.05), (0.1, 0.06, 0.1), Material.LAMP, (0.95, 0.6, 0.1))
    return Model(Label.BARRIER, (2.0, 0.55, 1.15), build.shapes())


def cone(rng: np.random.Generator) -> Model:
    """A traffic cone with its white collar."""
    tall = float(rng.uniform(0.7, 1.0))
    build = Builder(Label.TRAFFIC_CONE, float(rng.integers(1000)))
    orange = near(rng, (0.92, 0.34, 0.06), 0.02)
    build.box((0, 0, 0.035), (0.42, 0.42, 0.07), RUBBER)
    build.cone((0, 0, 0.06), 0.17, tall - 0.06, Material.ORANGE_PLASTIC, orange, top=0.22)
    build.cone(
        (0, 0, tall * 0.50),
        0.125,
        tall * 0.2,
        Material.STRIPED_PLASTIC,
        (0.93, 0.93, 0.9),
        top=0.72,
    )
    return Model(Label.TRAFFIC_CONE, (0.42, 0.42, tall), build.shapes())
