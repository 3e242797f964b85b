"""Cars, vans, lorries, buses and trailers, built of a few solids each.

Offers `car`, `truck`, `rigid_bus`, `bendy_bus`, `trailer`, `ambulance` and `police_car`: each
draws one `Model` from a generator.
"""

from __future__ import annotations

import numpy as np

from lima_bench.datasets.world.labels import Label
from lima_bench.datasets.world.materials import Material
from lima_bench.datasets.world.palette import car_colour, fleet_colour, near, pick
from lima_bench.datasets.world.shapes import Builder, Colour, Texture, concatenate
from lima_bench.datasets.world.things import Model

PAINT, GLASS, RUBBER = Material.CAR_PAINT, Material.GLASS, Material.RUBBER
METAL, LAMP, SIGN = Material.METAL, Material.LAMP, Material.SIGN_FACE
_DARK: Colour = (0.06, 0.06, 0.07)
_RED: Colour = (0.70, 0.06, 0.05)
_WHITE: Colour = (0.92, 0.91, 0.85)


def _builder(rng: np.random.Generator, label: Label) -> Builder:
    return Builder(label, float(rng.integers(1000)))


def _wheels(build: Builder, axles: list[float], width: float, radius: float) -> None:
    for x in axles:
        for side in (-1, 1):
            y = side * (width / 2 - 0.108)
            build.wheel((x, y, radius), radius, 0.24)
            rim = (x, y + side * 0.105, radius)
            build.wheel(rim, radius * 0.58, 0.04, METAL, (0.55, 0.56, 0.58))


def _lamps(build: Builder, length: float, width: float, height: float) -> None:
    for side in (-1, 1):
        y = side * (width / 2 - 0.24)
        build.box((length / 2 - 0.03, y, height), (0.05, 0.32, 0.14), LAMP, _WHITE)
        build.box((-length / 2 + 0.03, y, height + 0.05), (0.05, 0.26, 0.18), LAMP, _RED)
    build.box((-length / 2 + 0.015, 0.0, height - 0.18), (0.02, 0.5, 0.11), SIGN, _WHITE)


def _body(
    build: Builder,
    size: tuple[float, float, float],
    paint: Colour,
    *,
    waist: float,
    cabin: tuple[float, float],
    roof: tuple[float, float],
) -> None:
    """Lower body, glass and roof; `cabin` is (start, length) of the glass, shares of the length."""
    length, width, height = size
    build.box((0, 0, 0.28), (length * 0.94, width * 0.9, 0.2), RUBBER, _DARK)
    lower = waist - 0.26
    build.box(
        (0, 0, 0.26 + lower / 2), (length - 0.04, width, lower), PAINT, paint, top=(0.97, 0.94)
    )
    glass = length * cabin[1]
    middle = length * (cabin[0] + cabin[1] / 2 - 0.5)
    above = height - waist - 0.05
    build.box(
        (middle, 0, waist + above / 2), (glass, width * 0.93, above), GLASS, top=roof, shift=-0.05
    )
    top = (glass * roof[0] + 0.06, width * 0.93 * roof[1] + 0.03, 0.07)
    build.box((middle - 0.05, 0, height - 0.04), top, PAINT, paint)
    for side in (-1, 1):
        pillar = (middle - 0.1, side * width * 0.455, waist + above / 2)
        build.rod(
            (pillar[0], pillar[1], waist - 0.02),
            (pillar[0], side * width * 0.465 * roof[1], height - 0.05),
            0.045,
            PAINT,
            paint,
        )
        build.box(
            (middle + glass * 0.42, side * (width / 2 - 0.06), waist + 0.08),
            (0.12, 0.12, 0.12),
            PAINT,
            paint,
        )


def car(rng: np.random.Generator) -> Model:
    """A saloon, hatchback, estate, off-roader or van."""
    return _car(rng, Label.CAR, car_colour(rng), list(_FORMS)[int(rng.integers(len(_FORMS)))])


_FORMS = {
    "saloon": ((4.4, 4.95), (1.76, 1.9), (1.40, 1.50), 0.86, (0.20, 0.52), (0.60, 0.80)),
    "hatchback": ((3.7, 4.3), (1.68, 1.82), (1.44, 1.56), 0.90, (0.03, 0.66), (0.74, 0.82)),
    "estate": ((4.5, 4.9), (1.78, 1.9), (1.45, 1.58), 0.90, (0.02, 0.70), (0.80, 0.82)),
    "off-roader": ((4.4, 4.9), (1.85, 2.0), (1.65, 1.85), 1.05, (0.02, 0.70), (0.82, 0.84)),
    "van": ((4.8, 5.6), (1.9, 2.05), (1.95, 2.3), 1.20, (0.02, 0.86), (0.88, 0.90)),
}


def _car(rng: np.random.Generator, label: Label, paint: Colour, form: str) -> Model:
    lengths, widths, heights, waist, cabin, roof = _FORMS[form]
    length, width = float(rng.uniform(*lengths)), float(rng.uniform(*widths))
    height = float(rng.uniform(*heights))
    build = _builder(rng, label)
    _body(build, (length, width, height), paint, waist=waist, cabin=cabin, roof=roof)
    if form == "van" and rng.random() < 0.6:
        rear = length * 0.55
        build.box(
            (-length / 2 + rear / 2 + 0.02, 0, height * 0.6),
            (rear, width * 0.95, height * 0.78),
            PAINT,
            paint,
            top=(0.98, 0.93),
        )
    radius = 0.31 if form != "off-roader" else 0.37
    _wheels(build, [length * 0.31, -length * 0.30], width, radius)
    _lamps(build, length, width, 0.66 if form != "van" else 0.75)
    return Model(label, (length, width, height), build.shapes())


def _beacon(model: Model, rng: np.random.Generator, colour: Colour) -> Model:
    length, width, height = model.size
    build = _builder(rng, model.label)
    build.box((0.0, 0, height + 0.06), (0.3, width * 0.6, 0.14), LAMP, colour)
    shapes = concatenate([model.shapes, build.shapes()])
    return Model(model.label, (length, width, height + 0.13), shapes)


def police_car(rng: np.random.Generator) -> Model:
    """A police car with its light bar."""
    return _beacon(_car(rng, Label.POLICE_CAR, _WHITE, "saloon"), rng, (0.1, 0.2, 0.9))


def ambulance(rng: np.random.Generator) -> Model:
    """An ambulance with its light bar."""
    return _beacon(_car(rng, Label.AMBULANCE, (0.93, 0.9, 0.3), "van"), rng, (0.1, 0.2, 0.9))


def _cab(build: Builder, front: float, size: tuple[float, float, float], paint: Colour) -> None:
    """A lorry's cab whose front lies at x = `front`."""
    length, width, height = size
    middle = front - length / 2
    build.box(
        (middle, 0, 0.45 + (height - 0.45) / 2),
        (length, width, height - 0.45),
        PAINT,
        paint,
        top=(0.94, 0.95),
    )
    screen = (front - 0.03, 0, height * 0.70)
    build.box(screen, (0.1, width * 0.9, height * 0.27), GLASS)
    for side in (-1, 1):
        build.box(
            (front - 0.55, side * width * 0.475, height * 0.70), (0.75, 0.1, height * 0.24), GLASS
        )
        build.box((front + 0.0, side * (width / 2 - 0.25), 0.75), (0.06, 0.35, 0.18), LAMP, _WHITE)
    build.box((front - 0.02, 0, 0.55), (0.08, width * 0.95, 0.3), METAL, _DARK)


def truck(rng: np.random.Generator) -> Model:
    """A box lorry, tipper, flatbed or pick-up."""
    form = ("box", "tipper", "flatbed", "pick-up")[pick(rng, (0.5, 0.2, 0.15, 0.15))]
    if form == "pick-up":
        return _pick_up(rng)
    length, width = float(rng.uniform(6.4, 8.6)), float(rng.uniform(2.25, 2.5))
    build = _builder(rng, Label.TRUCK)
    paint, cab_height = car_colour(rng), float(rng.uniform(2.5, 2.9))
    _cab(build, length / 2 - 0.04, (1.9, width, cab_height), paint)
    bed = length - 2.1
    middle = -length / 2 + bed / 2 + 0.02
    build.box((0, 0, 0.75), (length * 0.92, 0.9, 0.25), METAL, _DARK)
    height = cab_height
    if form == "box":
        height = float(rng.uniform(3.1, 3.7))
        build.box(
            (middle, 0, (1.0 + height) / 2),
            (bed, width, height - 1.0),
            PAINT,
            fleet_colour(rng),
            texture=Texture.CORRUGATED,
        )
    elif form == "tipper":
        paint = near(rng, (0.75, 0.5, 0.12))
        build.box((middle, 0, 1.65), (bed * 0.9, width * 0.9, 1.3), METAL, paint, top=(1.1, 1.1))
    else:
        build.box((middle, 0, 1.05), (bed, width, 0.16), Material.WOOD)
        build.box(
            (middle, 0, 1.6), (bed * 0.7, width * 0.8, 0.9), Material.TARPAULIN, fleet_colour(rng)
        )
    _wheels(build, [length / 2 - 1.1, -length / 2 + 1.2, -length / 2 + 2.2], width, 0.48)
    _lamps(build, length, width, 0.8)
    return Model(Label.TRUCK, (length, width, max(height, 2.3)), build.shapes())


def _pick_up(rng: np.random.Generator) -> Model:
    length, width, height = float(rng.uniform(5.2, 5.7)), 2.0, float(rng.uniform(1.8, 1.95))
    build, paint = _builder(rng, Label.TRUCK), car_colour(rng)
    _body(build, (length, width, height), paint, waist=1.05, cabin=(0.36, 0.40), roof=(0.66, 0.86))
    rear = length * 0.36
    for side in (-1, 1):
        build.box(
            (-length / 2 + rear / 2, side * (width / 2 - 0.09), 1.12),
            (rear, 0.1, 0.4),
            PAINT,
            paint,
        )
    build.box((-length / 2 + 0.06, 0, 1.1), (0.08, width * 0.9, 0.4), PAINT, paint)
    _wheels(build, [length * 0.31, -length * 0.30], width, 0.40)
    _lamps(build, length, width, 0.8)
    return Model(Label.TRUCK, (length, width, height), build.shapes())


def _saloon_of_bus(
    build: Builder, middle: float, size: tuple[float, float, float], paint: Colour
) -> None:
    length, width, height = size
    build.box(
        (middle, 0, 0.35 + (height - 0.35) / 2),
        (length, width, height - 0.35),
        PAINT,
        paint,
        texture=Texture.BUS_WINDOWS,
        scale=height,
    )
    build.box((middle, 0, height - 0.02), (length * 0.5, width * 0.6, 0.16), METAL, (0.7, 0.7, 0.7))


def rigid_bus(rng: np.random.Generator) -> Model:
    """A city bus."""
    length, width, height = float(rng.uniform(10.2, 12.2)), 2.55, float(rng.uniform(3.0, 3.3))
    build, paint = _builder(rng, Label.BUS_RIGID), fleet_colour(rng)
    _saloon_of_bus(build, 0.0, (length - 0.1, width, height - 0.1), paint)
    build.box((length / 2 - 0.04, 0, height * 0.62), (0.06, width * 0.92, height * 0.42), GLASS)
    build.box(
        (length / 2 - 0.03, 0, height * 0.90), (0.06, width * 0.6, 0.25), LAMP, (0.9, 0.6, 0.1)
    )
    _wheels(build, [length * 0.28, -length * 0.24], width, 0.50)
    _lamps(build, length, width, 0.75)
    return Model(Label.BUS_RIGID, (length, width, height), build.shapes())


def bendy_bus(rng: np.random.Generator) -> Model:
    """An articulated bus with its bellows, driving straight."""
    length, width, height = float(rng.uniform(17.0, 18.2)), 2.55, float(rng.uniform(3.05, 3.25))
    build, paint = _builder(rng, Label.BUS_BENDY), fleet_colour(rng)
    front = length * 0.55
    rear = length - front - 1.2
    _saloon_of_bus(build, length / 2 - front / 2, (front - 0.1, width, height - 0.1), paint)
    _saloon_of_bus(build, -length / 2 + rear / 2, (rear, width, height - 0.1), paint)
    bellows = (length / 2 - front - 0.6, 0, height * 0.52)
    build.box(
        bellows,
        (1.3, width * 0.93, height * 0.85),
        RUBBER,
        (0.13, 0.13, 0.14),
        texture=Texture.CORRUGATED,
    )
    build.box((length / 2 - 0.04, 0, height * 0.62), (0.06, width * 0.92, height * 0.42), GLASS)
    _wheels(build, [length * 0.38, length * 0.08, -length * 0.3], width, 0.50)
    _lamps(build, length, width, 0.75)
    return Model(Label.BUS_BENDY, (length, width, height), build.shapes())


def trailer(rng: np.random.Generator) -> Model:
    """A lorry's trailer: box, container or low loader."""
    length, width = float(rng.uniform(7.0, 10.5)), float(rng.uniform(2.35, 2.5))
    build = _builder(rng, Label.TRAILER)
    build.box((0, 0, 1.0), (length, width * 0.5, 0.22), METAL, _DARK)
    form = ("box", "container", "tarpaulin")[int(rng.integers(3))]
    height = float(rng.uniform(3.3, 3.9))
    box = (length - 0.05, width, height - 1.12)
    material = {"box": PAINT, "container": METAL, "tarpaulin": Material.TARPAULIN}[form]
    texture = Texture.CORRUGATED if form == "container" else Texture.PLAIN
    build.box((0, 0, 1.11 + box[2] / 2), box, material, fleet_colour(rng), texture=texture)
    _wheels(build, [-length / 2 + 0.9, -length / 2 + 2.0, -length / 2 + 3.1], width, 0.46)
    for side in (-1, 1):
        build.rod((length * 0.3, side * 0.6, 0.05), (length * 0.3, side * 0.6, 1.0), 0.07, METAL)
        build.box((-length / 2 + 0.02, side * 0.9, 0.85), (0.05, 0.3, 0.2), LAMP, _RED)
    build.box(
        (-length / 2 + 0.01, 0, 0.85),
        (0.03, 1.2, 0.18),
        Material.STRIPED_PLASTIC,
        texture=Texture.STRIPES,
    )
    return Model(Label.TRAILER, (length, width, height), build.shapes())


def tractor(rng: np.random.Generator) -> Model:
    """The lorry that pulls a trailer: a cab and a short frame behind it."""
    length, width, height = 4.6, 2.45, float(rng.uniform(3.2, 3.7))
    build = _builder(rng, Label.TRUCK)
    _cab(build, length / 2 - 0.04, (2.1, width, height), car_colour(rng))
    build.box((-0.6, 0, 0.8), (3.2, 1.0, 0.3), METAL, _DARK)
    _wheels(build, [length / 2 - 1.2, -length / 2 + 0.9], width, 0.5)
    return Model(Label.TRUCK, (length, width, height), build.shapes())
