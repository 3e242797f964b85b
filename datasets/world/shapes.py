"""The solids that everything above the ground is built of, as tables that kernels read.

Offers `Shapes` (a table of solids), `Builder` (makes one, part by part, in an object's own
frame: x ahead, y left, z up from the ground) and the numbers of the columns. Every solid stands
in a frame turned about the vertical only.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from lima_bench.datasets.sample import Float64
from lima_bench.datasets.world.labels import Label
from lima_bench.datasets.world.materials import OPTICS, Material

Int32 = npt.NDArray[np.int32]
Point = tuple[float, float, float]
Colour = tuple[float, float, float]


class Kind(IntEnum):
    """Forms that a ray can be cut with in closed form."""

    BOX = 0
    TAPERED = 1
    CONE = 2
    ELLIPSOID = 3
    WHEEL = 4
    ROD = 5


class Texture(IntEnum):
    """Patterns that a solid's surface may carry."""

    PLAIN = 0
    SPECKLED = 1
    BRICKS = 2
    WINDOWS = 3
    SHOP = 4
    LEAVES = 5
    PLANKS = 6
    STRIPES = 7
    CORRUGATED = 8
    TILES = 9
    SIGN = 10
    BUS_WINDOWS = 11
    RINGS = 12
    MESH = 13


# Columns of `Shapes.rows`. SHAPE_A.. mean: tapered box: share of length and width that the top
# keeps, shift of the top along x; cone: top radius / bottom radius; rod: cosine and sine of the
# rise of its axis. EXTENT_* are half sides of the bounding box in the solid's own frame.
CX, CY, CZ, COS, SIN, HX, HY, HZ = range(8)
SHAPE_A, SHAPE_B, SHAPE_C = 8, 9, 10
VX, VY, VZ = 11, 12, 13
EXTENT_X, EXTENT_Y, EXTENT_Z = 14, 15, 16
RED, GREEN, BLUE = 17, 18, 19
SCALE, SEED = 20, 21
COLUMNS = 22

# Columns of `Shapes.tags`.
KIND, MATERIAL, TEXTURE, LABEL, INSTANCE, MOVING = range(6)
TAGS = 6


@dataclass(frozen=True)
class Shapes:
    """A table of solids.

    Attributes:
        rows: (n, COLUMNS) numbers.
        tags: (n, TAGS) integers.
    """

    rows: Float64
    tags: Int32

    def __len__(self) -> int:
        return len(self.rows)


def concatenate(tables: Iterable[Shapes]) -> Shapes:
    """One table of all solids, in order."""
    held = list(tables)
    if not held:
        return Shapes(np.empty((0, COLUMNS)), np.empty((0, TAGS), dtype=np.int32))
    return Shapes(
        np.concatenate([table.rows for table in held]),
        np.concatenate([table.tags for table in held]),
    )


def place(
    shapes: Shapes,
    position: tuple[float, float, float],
    yaw: float,
    velocity: tuple[float, float, float] = (0.0, 0.0, 0.0),
    *,
    instance: int = 0,
    moving: bool = False,
) -> Shapes:
    """Take an object from its own frame to the town's."""
    cos, sin = math.cos(yaw), math.sin(yaw)
    rows, tags = shapes.rows.copy(), shapes.tags.copy()
    x, y = shapes.rows[:, CX], shapes.rows[:, CY]
    rows[:, CX] = cos * x - sin * y + position[0]
    rows[:, CY] = sin * x + cos * y + position[1]
    rows[:, CZ] += position[2]
    own_cos, own_sin = shapes.rows[:, COS], shapes.rows[:, SIN]
    rows[:, COS] = cos * own_cos - sin * own_sin
    rows[:, SIN] = sin * own_cos + cos * own_sin
    rows[:, VX : VZ + 1] = velocity
    tags[:, INSTANCE] = instance
    tags[:, MOVING] = moving
    return Shapes(rows, tags)


class Builder:
    """Collects the parts of one object.

    Args:
        label: World class of parts that name none.
        seed: Makes the textures of this object its own; in 0..1000.
    """

    def __init__(self, label: Label, seed: float = 0.0) -> None:
        self.label, self.seed = label, seed
        self._rows: list[float] = []
        self._tags: list[int] = []

    def _add(
        self,
        kind: Kind,
        centre: Point,
        half: Point,
        extent: Point,
        yaw: float,
        form: Point,
        material: Material,
        colour: Colour | None,
        texture: Texture,
        scale: float,
        label: Label | None,
    ) -> None:
        red, green, blue = OPTICS[material].colour if colour is None else colour
        turn = (math.cos(yaw), math.sin(yaw))
        look = (red, green, blue, scale, self.seed)
        self._rows += (*centre, *turn, *half, *form, 0.0, 0.0, 0.0, *extent, *look)
        kept = self.label if label is None else label
        self._tags += (int(kind), int(material), int(texture), int(kept), 0, 0)

    def box(
        self,
        centre: Point,
        size: Point,
        material: Material,
        colour: Colour | None = None,
        *,
        yaw: float = 0.0,
        top: tuple[float, float] | None = None,
        shift: float = 0.0,
        texture: Texture = Texture.PLAIN,
        scale: float = 1.0,
        label: Label | None = None,
    ) -> None:
        """A box of full `size`; `top` is the share of length and width that its top keeps."""
        half = (size[0] / 2, size[1] / 2, size[2] / 2)
        kind = Kind.BOX if top is None else Kind.TAPERED
        form = (0.0, 0.0, 0.0) if top is None else (*top, shift)
        reach = half
        if top is not None:
            longest = max(half[0], half[0] * top[0] + abs(shift))
            reach = (longest, max(half[1], half[1] * top[1]), half[2])
        self._add(kind, centre, half, reach, yaw, form, material, colour, texture, scale, label)

    def cone(
        self,
        foot: Point,
        radius: float,
        height: float,
        material: Material,
        colour: Colour | None = None,
        *,
        top: float = 1.0,
        texture: Texture = Texture.PLAIN,
        scale: float = 1.0,
        label: Label | None = None,
    ) -> None:
        """An upright cylinder or cone on `foot`; `top` is top radius / bottom radius."""
        centre = (foot[0], foot[1], foot[2] + height / 2)
        half = (radius, radius, height / 2)
        widest = radius * max(1.0, top)
        reach, form = (widest, widest, height / 2), (top, 0.0, 0.0)
        self._add(
            Kind.CONE, centre, half, reach, 0.0, form, material, colour, texture, scale, label
        )

    def ball(
        self,
        centre: Point,
        radii: Point,
        material: Material,
        colour: Colour | None = None,
        *,
        texture: Texture = Texture.PLAIN,
        scale: float = 1.0,
        label: Label | None = None,
    ) -> None:
        """An ellipsoid."""
        form = (0.0, 0.0, 0.0)
        self._add(
            Kind.ELLIPSOID, centre, radii, radii, 0.0, form, material, colour, texture, scale, label
        )

    def wheel(
        self,
        centre: Point,
        radius: float,
        width: float,
        material: Material = Material.RUBBER,
        colour: Colour | None = None,
        *,
        yaw: float = 0.0,
        texture: Texture = Texture.PLAIN,
        label: Label | None = None,
    ) -> None:
        """A cylinder whose axis lies along y (turned by `yaw`): wheels, discs of signs."""
        half = (radius, width / 2, radius)
        form = (0.0, 0.0, 0.0)
        self._add(Kind.WHEEL, centre, half, half, yaw, form, material, colour, texture, 1.0, label)

    def rod(
        self,
        start: Point,
        end: Point,
        radius: float,
        material: Material,
        colour: Colour | None = None,
        *,
        texture: Texture = Texture.PLAIN,
        label: Label | None = None,
    ) -> None:
        """A round bar from `start` to `end`: limbs, frames, branches, arms of cranes."""
        across = math.hypot(end[0] - start[0], end[1] - start[1])
        length = math.hypot(across, end[2] - start[2])
        rise = (across / length, (end[2] - start[2]) / length)
        yaw = math.atan2(end[1] - start[1], end[0] - start[0])
        centre = (
            (start[0] + end[0]) / 2,
            (start[1] + end[1]) / 2,
            (start[2] + end[2]) / 2,
        )
        half = (length / 2, radius, radius)
        reach = (
            rise[0] * length / 2 + abs(rise[1]) * radius,
            radius,
            abs(rise[1]) * length / 2 + rise[0] * radius,
        )
        form = (rise[0], rise[1], 0.0)
        self._add(Kind.ROD, centre, half, reach, yaw, form, material, colour, texture, 1.0, label)

    def shapes(self) -> Shapes:
        """The table of everything added so far."""
        rows = np.array(self._rows).reshape(-1, COLUMNS)
        return Shapes(rows, np.array(self._tags, dtype=np.int32).reshape(-1, TAGS))
