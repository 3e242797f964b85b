"""People: walking and standing, with legs and arms that swing.

Offers `adult`, `child`, `worker`, `officer`, `stroller` and `rider_parts` for cycles.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from lima_bench.datasets.world.labels import Label
from lima_bench.datasets.world.materials import Material
from lima_bench.datasets.world.palette import cloth_colour, near
from lima_bench.datasets.world.shapes import Builder, Colour, Shapes
from lima_bench.datasets.world.things import Model

CLOTH, SKIN, HAIR = Material.CLOTH, Material.SKIN, Material.HAIR


class _Person:
    """Height and colours of one person."""

    def __init__(self, rng: np.random.Generator, label: Label, tall_m: float) -> None:
        self.label, self.tall_m = label, tall_m
        self.seed = float(rng.integers(1000))
        self.girth = float(rng.uniform(0.9, 1.15))
        self.top, self.trousers = cloth_colour(rng), cloth_colour(rng)
        self.skin = near(rng, (0.70, 0.52, 0.42), 0.10)
        self.hair = near(rng, (0.16, 0.12, 0.09), 0.06)
        self.coat, self.hat = CLOTH, False
        self.bag = bool(rng.random() < 0.3)
        if label == Label.CONSTRUCTION_WORKER:
            self.top, self.coat, self.hat = (0.95, 0.45, 0.08), Material.HI_VIS, True
        if label == Label.POLICE_OFFICER:
            self.top, self.trousers = (0.08, 0.10, 0.22), (0.07, 0.08, 0.12)


def _limb(
    build: Builder,
    start: tuple[float, float, float],
    length: float,
    swing: float,
    radius: float,
    material: Material,
    colour: Colour,
) -> None:
    end = (start[0] + length * math.sin(swing), start[1], start[2] - length * math.cos(swing))
    build.rod(start, end, radius, material, colour)


def _shapes(person: _Person, phase: float | None) -> Shapes:
    h, g = person.tall_m, person.girth
    swing = 0.0 if phase is None else 0.45 * math.sin(phase)
    build = Builder(person.label, person.seed)
    for side in (-1, 1):
        hip = (0.0, side * 0.05 * h * g, 0.50 * h)
        _limb(build, hip, 0.47 * h, side * swing, 0.042 * h * g, CLOTH, person.trousers)
        foot = math.sin(side * swing) * 0.47 * h + 0.03
        build.box(
            (foot, side * 0.05 * h, 0.03 * h),
            (0.15 * h, 0.06 * h, 0.06 * h),
            Material.RUBBER,
            (0.1, 0.08, 0.07),
        )
        shoulder = (0.0, side * 0.125 * h * g, 0.80 * h)
        _limb(build, shoulder, 0.33 * h, -side * swing, 0.028 * h * g, person.coat, person.top)
        hand = -side * swing
        build.ball(
            (0.35 * h * math.sin(hand), shoulder[1], 0.80 * h - 0.35 * h * math.cos(hand)),
            (0.03 * h, 0.03 * h, 0.03 * h),
            SKIN,
            person.skin,
        )
    build.box(
        (0, 0, 0.655 * h),
        (0.13 * h * g, 0.23 * h * g, 0.35 * h),
        person.coat,
        person.top,
        top=(0.95, 1.05),
    )
    build.ball((0, 0, 0.91 * h), (0.062 * h, 0.055 * h, 0.08 * h), SKIN, person.skin)
    if person.hat:
        build.ball(
            (0.01, 0, 0.955 * h),
            (0.085 * h, 0.075 * h, 0.05 * h),
            Material.ORANGE_PLASTIC,
            (0.95, 0.75, 0.1),
        )
    else:
        build.ball((-0.012 * h, 0, 0.935 * h), (0.066 * h, 0.06 * h, 0.066 * h), HAIR, person.hair)
    if person.bag:
        build.box(
            (-0.11 * h, 0, 0.68 * h), (0.09 * h, 0.17 * h, 0.25 * h), CLOTH, (0.15, 0.16, 0.2)
        )
    return build.shapes()


def _person(rng: np.random.Generator, label: Label, tall_m: float) -> Model:
    person = _Person(rng, label, tall_m)
    size = (0.5 * tall_m, 0.36 * tall_m * person.girth, 1.01 * tall_m)
    return Model(label, size, _shapes(person, None), functools.partial(_shapes, person))


def adult(rng: np.random.Generator) -> Model:
    """A grown person."""
    return _person(rng, Label.ADULT, float(rng.uniform(1.58, 1.92)))


def child(rng: np.random.Generator) -> Model:
    """A child."""
    return _person(rng, Label.CHILD, float(rng.uniform(1.0, 1.4)))


def worker(rng: np.random.Generator) -> Model:
    """A construction worker with helmet and reflective jacket."""
    return _person(rng, Label.CONSTRUCTION_WORKER, float(rng.uniform(1.68, 1.9)))


def officer(rng: np.random.Generator) -> Model:
    """A police officer."""
    return _person(rng, Label.POLICE_OFFICER, float(rng.uniform(1.7, 1.9)))


def stroller(rng: np.random.Generator) -> Model:
    """A pram."""
    build = Builder(Label.STROLLER, float(rng.integers(1000)))
    build.box((0.05, 0, 0.62), (0.7, 0.42, 0.36), CLOTH, cloth_colour(rng), top=(1.05, 1.0))
    build.ball((-0.15, 0, 0.8), (0.25, 0.21, 0.25), CLOTH, cloth_colour(rng))
    for x in (-0.3, 0.3):
        for y in (-0.2, 0.2):
            build.wheel((x, y, 0.13), 0.13, 0.05)
    build.rod((-0.3, 0, 0.7), (-0.5, 0, 1.0), 0.03, Material.METAL)
    return Model(Label.STROLLER, (1.05, 0.5, 1.08), build.shapes())


def rider_parts(
    build: Builder,
    rng: np.random.Generator,
    seat: tuple[float, float],
    bars: tuple[float, float],
    foot: tuple[float, float],
    helmet: bool,
) -> None:
    """A person on a cycle; `seat`, `bars` and `foot` are (x, z) of what they touch."""
    top, trousers = cloth_colour(rng), cloth_colour(rng)
    skin = near(rng, (0.70, 0.52, 0.42), 0.10)
    lean = (seat[0] + 0.28, seat[1] + 0.52)
    build.rod((seat[0], 0, seat[1] + 0.02), (lean[0], 0, lean[1]), 0.15, CLOTH, top)
    for side in (-1, 1):
        knee = ((seat[0] + foot[0]) / 2 + 0.22, (seat[1] + foot[1]) / 2 + 0.08)
        y = side * 0.13
        build.rod((seat[0], y, seat[1]), (knee[0], y, knee[1]), 0.075, CLOTH, trousers)
        build.rod((knee[0], y, knee[1]), (foot[0], y, foot[1]), 0.06, CLOTH, trousers)
        build.rod(
            (lean[0] - 0.02, side * 0.19, lean[1] - 0.06),
            (bars[0], side * 0.24, bars[1]),
            0.05,
            CLOTH,
            top,
        )
    head = (lean[0] + 0.07, 0.0, lean[1] + 0.2)
    build.ball(head, (0.11, 0.1, 0.14), SKIN, skin)
    cover = (head[0] - 0.02, 0.0, head[2] + 0.04)
    if helmet:
        build.ball(cover, (0.15, 0.13, 0.14), Material.ORANGE_PLASTIC, cloth_colour(rng))
    else:
        build.ball(cover, (0.12, 0.11, 0.12), HAIR, near(rng, (0.16, 0.12, 0.09), 0.06))
