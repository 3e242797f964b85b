"""Things that belong to a street: lamps, signs, lights, shelters, bins, racks.

Offers `lamp_post`, `traffic_sign`, `traffic_light`, `shelter`, `bench`, `bin_on_wheels`,
`cabinet`, `bicycle_rack`, `debris` and `dog`.
"""

from __future__ import annotations

import numpy as np

from lima_bench.datasets.world.labels import Label
from lima_bench.datasets.world.materials import Material
from lima_bench.datasets.world.palette import near, vivid
from lima_bench.datasets.world.shapes import Builder, Texture
from lima_bench.datasets.world.things import Model

METAL, SIGN, GLASS = Material.METAL, Material.SIGN_FACE, Material.GLASS
_BLUE, _YELLOW, _RED = (0.08, 0.20, 0.62), (0.92, 0.72, 0.10), (0.78, 0.08, 0.08)


def _builder(rng: np.random.Generator, label: Label) -> Builder:
    return Builder(label, float(rng.integers(1000)))


def lamp_post(rng: np.random.Generator) -> Model:
    """A street lamp whose arm reaches ahead (over the road)."""
    build = _builder(rng, Label.POLE)
    tall = float(rng.uniform(5.5, 8.0))
    grey = near(rng, (0.42, 0.44, 0.44), 0.04)
    build.cone((0, 0, 0), 0.11, tall, METAL, grey, top=0.6)
    build.cone((0, 0, 0), 0.17, 0.9, METAL, grey, top=0.9)
    build.rod((0, 0, tall - 0.1), (1.5, 0, tall + 0.25), 0.05, METAL, grey)
    build.box((1.7, 0, tall + 0.24), (0.7, 0.26, 0.14), Material.LAMP)
    return Model(Label.POLE, (0.4, 0.4, tall + 0.4), build.shapes())


def traffic_sign(rng: np.random.Generator) -> Model:
    """A sign on its pole, facing back along x."""
    build = _builder(rng, Label.TRAFFIC_SIGN)
    tall = float(rng.uniform(2.3, 2.9))
    build.cone((0, 0, 0), 0.05, tall, METAL, label=Label.POLE)
    colour = (_BLUE, _YELLOW, _RED, (0.88, 0.88, 0.86))[int(rng.integers(4))]
    if rng.random() < 0.55:
        build.wheel(
            (-0.07, 0, tall - 0.3), 0.38, 0.04, SIGN, colour, yaw=np.pi / 2, texture=Texture.SIGN
        )
    else:
        height = float(rng.uniform(0.55, 0.8))
        build.box((-0.07, 0, tall - 0.35), (0.04, 0.75, height), SIGN, colour, texture=Texture.SIGN)
    return Model(Label.TRAFFIC_SIGN, (0.5, 0.8, tall + 0.1), build.shapes())


def traffic_light(rng: np.random.Generator) -> Model:
    """A signal head on its pole, facing back along x."""
    build = _builder(rng, Label.TRAFFIC_LIGHT)
    build.cone((0, 0, 0), 0.08, 3.1, METAL, (0.25, 0.27, 0.26), label=Label.POLE)
    build.box((-0.12, 0, 2.75), (0.22, 0.34, 0.95), METAL, (0.07, 0.08, 0.07))
    lit = int(rng.integers(3))
    for i, colour in enumerate(((0.95, 0.1, 0.08), (0.95, 0.7, 0.1), (0.1, 0.85, 0.3))):
        glow = colour if i == lit else (colour[0] * 0.25, colour[1] * 0.25, colour[2] * 0.25)
        build.ball((-0.22, 0, 3.05 - 0.3 * i), (0.06, 0.11, 0.11), Material.LAMP, glow)
    return Model(Label.TRAFFIC_LIGHT, (0.5, 0.5, 3.3), build.shapes())


def shelter(rng: np.random.Generator) -> Model:
    """A bus shelter, open along -y."""
    build = _builder(rng, Label.STREET_FURNITURE)
    build.box((0, 0.65, 1.3), (3.6, 0.05, 2.0), GLASS, (0.45, 0.55, 0.58))
    build.box((1.8, 0.1, 1.3), (0.05, 1.1, 2.0), SIGN, vivid(rng), texture=Texture.SIGN)
    build.box((0, 0, 2.45), (3.9, 1.5, 0.12), METAL)
    for x in (-1.8, 0.0, 1.8):
        build.box((x, 0.65, 1.2), (0.1, 0.1, 2.4), METAL)
    build.box((0, 0.4, 0.5), (2.6, 0.4, 0.08), Material.WOOD)
    return Model(Label.STREET_FURNITURE, (3.9, 1.5, 2.55), build.shapes())


def bench(rng: np.random.Generator) -> Model:
    """A wooden bench."""
    build = _builder(rng, Label.STREET_FURNITURE)
    build.box((0, 0, 0.45), (1.6, 0.45, 0.07), Material.WOOD, texture=Texture.PLANKS)
    build.box((0, 0.22, 0.75), (1.6, 0.06, 0.4), Material.WOOD, texture=Texture.PLANKS)
    for x in (-0.65, 0.65):
        build.box((x, 0, 0.22), (0.08, 0.4, 0.44), METAL, (0.15, 0.15, 0.15))
    return Model(Label.STREET_FURNITURE, (1.6, 0.55, 1.0), build.shapes())


def bin_on_wheels(rng: np.random.Generator) -> Model:
    """A refuse bin that a person pushes."""
    build = _builder(rng, Label.PUSHABLE)
    colour = ((0.12, 0.32, 0.16), (0.16, 0.2, 0.4), (0.2, 0.2, 0.2))[int(rng.integers(3))]
    build.box((0, 0, 0.55), (0.55, 0.6, 0.9), Material.ORANGE_PLASTIC, colour, top=(1.2, 1.1))
    build.box((0, 0, 1.03), (0.7, 0.68, 0.08), Material.ORANGE_PLASTIC, near(rng, colour))
    for y in (-0.24, 0.24):
        build.wheel((-0.2, y, 0.11), 0.11, 0.06)
    return Model(Label.PUSHABLE, (0.72, 0.7, 1.08), build.shapes())


def cabinet(rng: np.random.Generator) -> Model:
    """A switch cabinet."""
    build = _builder(rng, Label.STREET_FURNITURE)
    build.box(
        (0, 0, 0.6), (1.0, 0.4, 1.2), METAL, near(rng, (0.52, 0.54, 0.5)), texture=Texture.PLANKS
    )
    return Model(Label.STREET_FURNITURE, (1.0, 0.4, 1.2), build.shapes())


def bicycle_rack(rng: np.random.Generator) -> Model:
    """Hoops to which bicycles are locked."""
    build = _builder(rng, Label.BICYCLE_RACK)
    for y in (-0.9, -0.3, 0.3, 0.9):
        for x in (-0.3, 0.3):
            build.rod((x, y, 0.0), (x, y, 0.8), 0.035, METAL)
        build.rod((-0.3, y, 0.8), (0.3, y, 0.8), 0.035, METAL)
    return Model(Label.BICYCLE_RACK, (0.7, 1.9, 0.85), build.shapes())


def debris(rng: np.random.Generator) -> Model:
    """A full rubbish bag."""
    build = _builder(rng, Label.DEBRIS)
    build.ball((0, 0, 0.2), (0.32, 0.26, 0.24), Material.TARPAULIN, near(rng, (0.15, 0.15, 0.17)))
    return Model(Label.DEBRIS, (0.64, 0.52, 0.45), build.shapes())


def dog(rng: np.random.Generator) -> Model:
    """A dog."""
    build = _builder(rng, Label.ANIMAL)
    fur = near(rng, (0.36, 0.26, 0.18), 0.08)
    build.ball((0, 0, 0.45), (0.36, 0.13, 0.15), Material.HAIR, fur)
    build.ball((0.4, 0, 0.62), (0.15, 0.09, 0.1), Material.HAIR, fur)
    for x in (-0.24, 0.24):
        for y in (-0.07, 0.07):
            build.rod((x, y, 0.0), (x, y, 0.4), 0.035, Material.HAIR, fur)
    return Model(Label.ANIMAL, (1.1, 0.3, 0.75), build.shapes())
