"""Bicycles and motorcycles, parked or ridden.

Offers `bicycle` and `motorcycle`; with a rider, the rider belongs to the cycle.
"""

from __future__ import annotations

import numpy as np

from lima_bench.datasets.world.labels import Label
from lima_bench.datasets.world.materials import Material
from lima_bench.datasets.world.palette import near, vivid
from lima_bench.datasets.world.people import rider_parts
from lima_bench.datasets.world.shapes import Builder, Texture
from lima_bench.datasets.world.things import Model

METAL, RUBBER, PAINT = Material.METAL, Material.RUBBER, Material.CAR_PAINT


def bicycle(rng: np.random.Generator, *, ridden: bool) -> Model:
    """A bicycle: spoked wheels, a diamond frame, saddle, bars, often a basket."""
    build = Builder(Label.RIDDEN_BICYCLE if ridden else Label.BICYCLE, float(rng.integers(1000)))
    paint = vivid(rng)
    for x in (-0.53, 0.53):
        build.wheel((x, 0, 0.34), 0.34, 0.06, texture=Texture.RINGS)
    frame = (
        ((-0.53, 0.34), (-0.16, 0.88)),
        ((-0.53, 0.34), (-0.05, 0.30)),
        ((-0.05, 0.30), (-0.18, 0.92)),
        ((-0.05, 0.30), (0.36, 0.82)),
        ((-0.16, 0.82), (0.36, 0.86)),
        ((0.53, 0.34), (0.36, 0.98)),
    )
    for start, end in frame:
        build.rod((start[0], 0, start[1]), (end[0], 0, end[1]), 0.032, METAL, paint)
    build.rod((0.36, -0.28, 1.0), (0.36, 0.28, 1.0), 0.025, METAL)
    build.box((-0.19, 0, 0.95), (0.26, 0.15, 0.07), RUBBER)
    if rng.random() < 0.6:
        build.box((0.58, 0, 0.88), (0.3, 0.34, 0.24), METAL, near(rng, (0.3, 0.3, 0.3)))
    build.box((-0.55, 0, 0.73), (0.4, 0.14, 0.05), METAL, (0.2, 0.2, 0.2))
    height = 1.08
    if ridden:
        rider_parts(build, rng, (-0.19, 0.98), (0.34, 1.02), (0.02, 0.22), rng.random() < 0.5)
        height = 1.86
    return Model(build.label, (1.75, 0.62, height), build.shapes())


def motorcycle(rng: np.random.Generator, *, ridden: bool) -> Model:
    """A motorcycle or scooter."""
    label = Label.RIDDEN_MOTORCYCLE if ridden else Label.MOTORCYCLE
    build = Builder(label, float(rng.integers(1000)))
    paint = vivid(rng)
    for x in (-0.70, 0.70):
        build.wheel((x, 0, 0.32), 0.32, 0.17)
        build.wheel((x, 0, 0.32), 0.19, 0.19, METAL)
    build.box((0.0, 0, 0.48), (0.75, 0.30, 0.36), METAL, (0.25, 0.25, 0.27))
    build.ball((0.20, 0, 0.80), (0.36, 0.18, 0.19), PAINT, paint)
    build.box((-0.42, 0, 0.80), (0.75, 0.26, 0.14), RUBBER, top=(1.0, 0.8))
    build.box((-0.75, 0, 0.72), (0.5, 0.2, 0.14), PAINT, paint)
    build.box((0.62, 0, 0.84), (0.28, 0.36, 0.46), PAINT, paint, top=(0.5, 0.8), shift=-0.1)
    build.box((0.76, 0, 0.82), (0.05, 0.2, 0.16), Material.LAMP)
    build.rod((0.72, 0, 0.32), (0.46, 0, 1.02), 0.055, METAL)
    build.rod((0.44, -0.36, 1.06), (0.44, 0.36, 1.06), 0.035, RUBBER)
    build.box((-0.98, 0, 0.62), (0.03, 0.2, 0.14), Material.SIGN_FACE, (0.9, 0.9, 0.85))
    if rng.random() < 0.5:
        build.box((-0.78, 0, 0.98), (0.36, 0.38, 0.34), RUBBER, (0.1, 0.1, 0.1))
    height = 1.22
    if ridden:
        rider_parts(build, rng, (-0.30, 0.88), (0.42, 1.06), (-0.05, 0.30), helmet=True)
        height = 1.78
    return Model(label, (2.06, 0.78, height), build.shapes())
