"""What grows and lies about in open country: bushes, tall grass, logs, rubble, posts, barriers.

Offers `shrub`, `tuft`, `log`, `rubble`, `post` and `concrete_barrier`.
"""

from __future__ import annotations

import math

import numpy as np

from lima_bench.datasets.world.labels import Label
from lima_bench.datasets.world.materials import Material
from lima_bench.datasets.world.palette import near
from lima_bench.datasets.world.shapes import Builder, Colour, Texture
from lima_bench.datasets.world.things import Model

_LEAVES: tuple[Colour, ...] = (
    (0.24, 0.34, 0.13),
    (0.34, 0.38, 0.16),
    (0.20, 0.29, 0.14),
    (0.44, 0.40, 0.20),
)
_STRAW: tuple[Colour, ...] = ((0.46, 0.46, 0.22), (0.36, 0.44, 0.18), (0.58, 0.52, 0.30))
_GREY: Colour = (0.58, 0.57, 0.54)
_BRICK: Colour = (0.52, 0.30, 0.23)


def _builder(rng: np.random.Generator, label: Label) -> Builder:
    return Builder(label, float(rng.integers(1000)))


def _one_of(rng: np.random.Generator, colours: tuple[Colour, ...]) -> Colour:
    return near(rng, colours[int(rng.integers(len(colours)))], 0.03)


def shrub(rng: np.random.Generator, wide_m: float) -> Model:
    """A bush about `wide_m` across: clumps of leaves down to the ground."""
    build = _builder(rng, Label.BUSH)
    colour, tall = _one_of(rng, _LEAVES), wide_m * float(rng.uniform(0.45, 0.9))
    turn = float(rng.uniform(0, 2 * math.pi))
    count = 3 if wide_m > 1.6 else 2
    for k in range(count):
        angle = turn + 2 * math.pi * k / count
        out, radius = 0.22 * wide_m, wide_m * float(rng.uniform(0.24, 0.34))
        height = tall * float(rng.uniform(0.7, 1.0)) / 2
        middle = (out * math.cos(angle), out * math.sin(angle), 0.85 * height)
        leaves = near(rng, colour, 0.02)
        build.ball(
            middle, (radius, radius, height), Material.FOLIAGE, leaves, texture=Texture.LEAVES
        )
    return Model(Label.BUSH, (wide_m, wide_m, tall), build.shapes())


def tuft(rng: np.random.Generator) -> Model:
    """Grass that stands higher than the rest, a metre or two across."""
    build = _builder(rng, Label.GRASSLAND)
    wide, tall = float(rng.uniform(0.6, 1.8)), float(rng.uniform(0.2, 0.5))
    build.ball(
        (0, 0, 0.1),
        (wide / 2, wide * float(rng.uniform(0.3, 0.5)), tall),
        Material.GRASS,
        _one_of(rng, _STRAW),
        texture=Texture.LEAVES,
    )
    return Model(Label.GRASSLAND, (wide, wide, tall), build.shapes())


def log(rng: np.random.Generator) -> Model:
    """A felled trunk along x, with the stub of a branch."""
    build = _builder(rng, Label.LOG)
    length, radius = float(rng.uniform(2.5, 5.0)), float(rng.uniform(0.16, 0.32))
    bark = near(rng, (0.34, 0.27, 0.20), 0.04)
    lift = float(rng.uniform(-0.1, 0.12))
    build.rod(
        (-length / 2, 0, radius * 0.8),
        (length / 2, 0, radius * 0.8 + lift),
        radius,
        Material.BARK,
        bark,
        texture=Texture.PLANKS,
    )
    stub = length * float(rng.uniform(-0.3, 0.3))
    side = float(rng.choice([-1.0, 1.0]))
    build.rod(
        (stub, 0, radius),
        (stub + 0.4, side * 0.5, radius + 0.7),
        radius * 0.35,
        Material.BARK,
        bark,
    )
    return Model(Label.LOG, (length, 2 * radius + 0.3, 2 * radius + 0.5), build.shapes())


def rubble(rng: np.random.Generator) -> Model:
    """A heap of broken concrete and bricks."""
    build = _builder(rng, Label.RUBBLE)
    wide, tall = float(rng.uniform(2.0, 3.6)), float(rng.uniform(0.6, 1.3))
    core = (wide * 0.8, wide * 0.7, tall * 0.8)
    build.box(
        (0, 0, core[2] / 2 - 0.05),
        core,
        Material.CONCRETE,
        near(rng, _GREY, 0.04),
        top=(0.35, 0.3),
        texture=Texture.SPECKLED,
    )
    for _ in range(int(rng.integers(14, 24))):
        angle, out = float(rng.uniform(0, 2 * math.pi)), float(rng.uniform(0.1, 0.5)) * wide
        size = tuple(float(side) for side in rng.uniform(0.15, 0.6, 3))
        brick = rng.random() < 0.3
        build.box(
            (
                out * math.cos(angle),
                0.85 * out * math.sin(angle),
                max(0.05, tall * (1 - 2 * out / wide)),
            ),
            (size[0], size[1], size[2]),
            Material.BRICK if brick else Material.CONCRETE,
            near(rng, _BRICK if brick else _GREY, 0.05),
            yaw=float(rng.uniform(0, math.pi)),
            texture=Texture.SPECKLED,
        )
    return Model(Label.RUBBLE, (wide, wide * 0.9, tall + 0.3), build.shapes())


def post(rng: np.random.Generator) -> Model:
    """A wooden mast, some with a crossbar for wires."""
    build = _builder(rng, Label.POLE)
    tall, radius = float(rng.uniform(3.5, 7.5)), float(rng.uniform(0.09, 0.15))
    wood = near(rng, (0.40, 0.32, 0.24), 0.04)
    build.cone((0, 0, -0.3), radius, tall + 0.3, Material.WOOD, wood, top=0.8)
    if rng.random() < 0.6:
        build.box((0, 0, tall - 0.5), (0.12, 1.8, 0.14), Material.WOOD, wood)
    return Model(Label.POLE, (0.4, 0.4, tall), build.shapes())


def concrete_barrier(rng: np.random.Generator) -> Model:
    """One element of a concrete barrier along x."""
    build = _builder(rng, Label.BARRIER)
    grey = near(rng, (0.66, 0.65, 0.61), 0.04)
    foot = ((0, 0, 0.12), (2.4, 0.6, 0.3))
    build.box(*foot, Material.CONCRETE, grey, texture=Texture.SPECKLED)
    body = ((0, 0, 0.55), (2.4, 0.5, 0.6))
    build.box(*body, Material.CONCRETE, grey, top=(1.0, 0.4), texture=Texture.SPECKLED)
    return Model(Label.BARRIER, (2.4, 0.6, 0.86), build.shapes())
