"""Trees, bushes and hedges: crowns of leaves that light and laser pulses slip through.

Offers `tree`, `bush` and `hedge`.
"""

from __future__ import annotations

import math

import numpy as np

from lima_bench.datasets.world.labels import Label
from lima_bench.datasets.world.materials import Material
from lima_bench.datasets.world.palette import near
from lima_bench.datasets.world.shapes import Builder, Colour, Texture
from lima_bench.datasets.world.things import Model

FOLIAGE, BARK = Material.FOLIAGE, Material.BARK
_ROOT_M = 0.3
_GREENS: tuple[Colour, ...] = (
    (0.20, 0.36, 0.13),
    (0.26, 0.40, 0.14),
    (0.14, 0.30, 0.14),
    (0.32, 0.38, 0.12),
)
_AUTUMN: tuple[Colour, ...] = ((0.62, 0.38, 0.10), (0.55, 0.24, 0.10))


def _leaf_colour(rng: np.random.Generator) -> Colour:
    palette = _AUTUMN if rng.random() < 0.12 else _GREENS
    return near(rng, palette[int(rng.integers(len(palette)))], 0.025)


def tree(rng: np.random.Generator, reach_m: float) -> Model:
    """A broad-leaved tree whose crown reaches at most `reach_m`, or now and then a conifer."""
    build = Builder(Label.VEGETATION, float(rng.integers(1000)))
    green = _leaf_colour(rng)
    if rng.random() < 0.15 and reach_m > 2.2:
        return _conifer(build, rng, near(rng, (0.10, 0.24, 0.14), 0.02))
    clear, crown = float(rng.uniform(2.0, 3.0)), reach_m / 1.25 * float(rng.uniform(0.7, 1.0))
    trunk = float(rng.uniform(0.11, 0.24))
    build.cone(
        (0, 0, -_ROOT_M),
        trunk,
        clear + crown * 0.7 + _ROOT_M,
        BARK,
        top=0.6,
        texture=Texture.PLANKS,
        label=Label.TRUNK,
    )
    turn = rng.uniform(0, 2 * math.pi)
    for k in range(3):
        angle = turn + k * 2.1
        out = crown * rng.uniform(0.35, 0.5)
        x, y = out * math.cos(angle), out * math.sin(angle)
        z = clear + crown * rng.uniform(0.5, 0.9)
        build.rod((0, 0, clear * 0.9), (x, y, z), trunk * 0.4, BARK, label=Label.TRUNK)
        radius = crown * rng.uniform(0.62, 0.82)
        build.ball(
            (x, y, z),
            (radius, radius, radius * rng.uniform(0.75, 0.95)),
            FOLIAGE,
            near(rng, green, 0.015),
            texture=Texture.LEAVES,
        )
    top = clear + crown * 1.25
    build.ball(
        (0, 0, top),
        (crown * 0.8, crown * 0.8, crown * 0.75),
        FOLIAGE,
        green,
        texture=Texture.LEAVES,
    )
    return Model(Label.VEGETATION, (trunk * 2.5, trunk * 2.5, top + crown), build.shapes())


def _conifer(build: Builder, rng: np.random.Generator, green: Colour) -> Model:
    tall = float(rng.uniform(5.0, 9.0))
    build.cone(
        (0, 0, -_ROOT_M), 0.16, 1.4 + _ROOT_M, BARK, texture=Texture.PLANKS, label=Label.TRUNK
    )
    for k in range(3):
        foot, radius = 1.0 + k * tall * 0.25, tall * (0.24 - 0.06 * k)
        build.cone(
            (0, 0, foot), radius, tall * 0.45, FOLIAGE, green, top=0.08, texture=Texture.LEAVES
        )
    return Model(Label.VEGETATION, (0.5, 0.5, tall), build.shapes())


def bush(rng: np.random.Generator) -> Model:
    """A round bush of two or three clumps."""
    build = Builder(Label.VEGETATION, float(rng.integers(1000)))
    green, wide = _leaf_colour(rng), float(rng.uniform(0.5, 1.1))
    for _ in range(int(rng.integers(2, 4))):
        x, y = rng.uniform(-0.4, 0.4, 2) * wide
        radius = wide * rng.uniform(0.6, 0.85)
        build.ball(
            (float(x), float(y), radius * 0.7),
            (radius, radius, radius * 0.85),
            FOLIAGE,
            near(rng, green, 0.02),
            texture=Texture.LEAVES,
        )
    return Model(Label.VEGETATION, (2 * wide, 2 * wide, 1.4 * wide), build.shapes())


def hedge(rng: np.random.Generator, length_m: float) -> Model:
    """A clipped hedge along x."""
    build = Builder(Label.VEGETATION, float(rng.integers(1000)))
    tall, wide = float(rng.uniform(0.9, 1.9)), float(rng.uniform(0.6, 0.9))
    build.box(
        (0, 0, tall / 2), (length_m, wide, tall), FOLIAGE, _leaf_colour(rng), texture=Texture.LEAVES
    )
    return Model(Label.VEGETATION, (length_m, wide, tall), build.shapes())
