"""Buildings, walls and fences.

Offers `block` (flats and offices), `house` (with a gabled roof), `wall` and `fence`; the front
faces -y.
"""

from __future__ import annotations

import numpy as np

from lima_bench.datasets.world.labels import Label
from lima_bench.datasets.world.materials import Material
from lima_bench.datasets.world.palette import near, vivid, wall_colour
from lima_bench.datasets.world.shapes import Builder, Colour, Texture
from lima_bench.datasets.world.things import Model


def _facade(rng: np.random.Generator) -> tuple[Material, Colour]:
    kind = rng.random()
    if kind < 0.35:
        return Material.BRICK, near(rng, (0.50, 0.28, 0.22), 0.05)
    if kind < 0.8:
        return Material.PLASTER, wall_colour(rng)
    return Material.CONCRETE, near(rng, (0.56, 0.56, 0.55), 0.04)


_DOORS: tuple[Colour, ...] = ((0.36, 0.24, 0.15), (0.16, 0.24, 0.20), (0.45, 0.12, 0.10))


def _door(rng: np.random.Generator) -> Colour:
    return near(rng, _DOORS[int(rng.integers(len(_DOORS)))], 0.03)


def _found(build: Builder, length_m: float, depth_m: float, deep_m: float) -> None:
    """A base that reaches into the ground, so that nothing floats where the ground falls."""
    size = (length_m, depth_m, deep_m + 0.08)
    build.box((0, 0, (0.08 - deep_m) / 2), size, Material.CONCRETE)


def block(rng: np.random.Generator, width_m: float, depth_m: float) -> Model:
    """A building of several floors with windows, often a shop below and a parapet above."""
    build = Builder(Label.BUILDING, float(rng.integers(1000)))
    material, colour = _facade(rng)
    floors = int(rng.integers(2, 7))
    shop = rng.random() < 0.5
    base = 3.6 if shop else 0.8
    floor = float(rng.uniform(2.9, 3.4))
    tall = base + floors * floor
    scale = floor + 10 * int(rng.integers(18, 33))
    build.box(
        (0, 0, base + floors * floor / 2),
        (width_m, depth_m, floors * floor),
        material,
        colour,
        texture=Texture.WINDOWS,
        scale=scale,
    )
    _found(build, width_m, depth_m, 1.5)
    under = (width_m - 0.1, depth_m - 0.1, base)
    if shop:
        build.box((0, 0, base / 2), under, material, near(rng, colour, 0.06), texture=Texture.SHOP)
        build.box(
            (0, -depth_m / 2 - 0.5, 3.1), (width_m * 0.7, 1.1, 0.14), Material.TARPAULIN, vivid(rng)
        )
    else:
        build.box((0, 0, base / 2), under, Material.CONCRETE)
        build.box(
            (width_m * 0.2, -depth_m / 2 - 0.04, 1.1), (1.2, 0.12, 2.2), Material.WOOD, _door(rng)
        )
    build.box(
        (0, 0, tall + 0.2),
        (width_m + 0.3, depth_m + 0.3, 0.4),
        Material.CONCRETE,
        near(rng, colour, 0.05),
    )
    if rng.random() < 0.5:
        build.box(
            (width_m * rng.uniform(-0.2, 0.2), 0, tall + 1.3), (3.0, 3.0, 1.9), Material.METAL
        )
    for k in range(int(rng.integers(0, 3))):
        x = width_m * (-0.3 + 0.3 * k)
        for level in range(floors):
            z = base + level * floor + 0.2
            build.box((x, -depth_m / 2 - 0.45, z), (2.2, 1.0, 0.14), Material.CONCRETE)
            build.box(
                (x, -depth_m / 2 - 0.92, z + 0.5),
                (2.2, 0.06, 0.9),
                Material.METAL,
                (0.3, 0.3, 0.32),
            )
    return Model(Label.BUILDING, (width_m + 0.3, depth_m + 2.0, tall + 2.3), build.shapes())


def house(rng: np.random.Generator, width_m: float, depth_m: float) -> Model:
    """A detached house with a gabled roof and a chimney."""
    build = Builder(Label.BUILDING, float(rng.integers(1000)))
    material, colour = _facade(rng)
    floors = int(rng.integers(1, 4))
    tall = 0.5 + floors * 2.8
    build.box(
        (0, 0, tall / 2),
        (width_m, depth_m, tall),
        material,
        colour,
        texture=Texture.WINDOWS,
        scale=2.8 + 10 * 26,
    )
    _found(build, width_m + 0.1, depth_m + 0.1, 1.5)
    pitch = float(rng.uniform(0.35, 0.5)) * depth_m
    tiles = near(rng, ((0.46, 0.22, 0.16), (0.28, 0.28, 0.30))[int(rng.integers(2))], 0.04)
    build.box(
        (0, 0, tall + pitch / 2),
        (width_m + 0.7, depth_m + 0.9, pitch),
        Material.ROOF_TILE,
        tiles,
        top=(0.92, 0.02),
        texture=Texture.TILES,
    )
    build.box(
        (width_m * 0.25, depth_m * 0.15, tall + pitch * 0.8),
        (0.6, 0.6, pitch * 0.8),
        Material.BRICK,
        texture=Texture.BRICKS,
    )
    build.box(
        (-width_m * 0.15, -depth_m / 2 - 0.04, 1.1), (1.1, 0.12, 2.1), Material.WOOD, _door(rng)
    )
    return Model(Label.BUILDING, (width_m + 0.7, depth_m + 0.9, tall + pitch), build.shapes())


def wall(rng: np.random.Generator, length_m: float) -> Model:
    """A garden wall along x."""
    build = Builder(Label.WALL, float(rng.integers(1000)))
    tall = float(rng.uniform(0.9, 2.2))
    _found(build, length_m, 0.3, 0.5)
    build.box(
        (0, 0, tall / 2),
        (length_m, 0.3, tall),
        Material.BRICK,
        near(rng, (0.52, 0.36, 0.28), 0.05),
        texture=Texture.BRICKS,
    )
    build.box((0, 0, tall + 0.05), (length_m, 0.4, 0.1), Material.CONCRETE)
    return Model(Label.WALL, (length_m, 0.4, tall + 0.1), build.shapes())


def fence(rng: np.random.Generator, length_m: float) -> Model:
    """A fence along x: wooden pickets or wire mesh between posts."""
    build = Builder(Label.FENCE, float(rng.integers(1000)))
    tall = float(rng.uniform(1.0, 1.8))
    wooden = rng.random() < 0.5
    material = Material.WOOD if wooden else Material.METAL
    colour = near(rng, (0.50, 0.40, 0.28) if wooden else (0.25, 0.32, 0.28), 0.06)
    build.box(
        (0, 0, tall / 2 - 0.1),
        (length_m, 0.06, tall + 0.2),
        material,
        colour,
        texture=Texture.MESH,
        scale=0.16 if wooden else 0.1,
    )
    posts = max(2, round(length_m / 2.5) + 1)
    for k in range(posts):
        x = length_m * (k / (posts - 1) - 0.5)
        build.box((x, 0, tall / 2 + 0.05), (0.1, 0.12, tall + 0.1), material, colour)
    return Model(Label.FENCE, (length_m, 0.2, tall + 0.1), build.shapes())
