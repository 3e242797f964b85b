"""Which network is taught and what it is fed, as data.

Offers `VoxelSettings`, `GridBounds`, `InputSettings` and `StudentSettings`. Light: no torch.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lima_bench.lima.settings import Settings

WHOLE = 1e-3
"""What a number of cells may differ from a whole one: edges are decimal fractions."""


Corner = tuple[float, float, float]
"""x, y, z in metres."""


class GridBounds(Settings):
    """A grid of fixed place and size, as detectors have; points outside it are in no cell.

    Attributes:
        lower: Where the first cell begins.
        upper: Where the last one ends.
        max_points: A cell is fed the mean of its first so many points.
        max_cells: Of one scan: once so many are occupied, points start no further ones.
        spare_layers: Empty layers above `upper`; detectors have one, which makes 41 of 40.
    """

    lower: Corner = (-51.2, -51.2, -5.0)
    upper: Corner = (51.2, 51.2, 3.0)
    max_points: Annotated[int, Field(ge=1)] = 10
    max_cells: Annotated[int, Field(ge=1)] = 60_000
    spare_layers: Annotated[int, Field(ge=0)] = 0


class VoxelSettings(Settings):
    """The grid.

    Attributes:
        kind: ``cylindrical`` cells are (rho, phi, z), ``cartesian`` ones (x, y, z).
        size: Cell edges: metres, and degrees for phi.
        rounding: How a coordinate becomes a cell index.
        shift: Make indices non-negative by the ``minimum`` per cloud, or by multiples of 16
            (``aligned16``), which keeps the down-sampling grid in place.
        bounds: A Cartesian grid that begins and ends somewhere, cells rounded down from there; None
            lets it reach wherever points are, and the first point of a cell stands for it.
    """

    kind: Literal["cylindrical", "cartesian"] = "cylindrical"
    size: tuple[float, float, float] = (0.1, 1.0, 0.1)
    rounding: Literal["round", "floor"] = "round"
    shift: Literal["minimum", "aligned16"] = "minimum"
    bounds: GridBounds | None = None

    @property
    def extent(self) -> tuple[int, int, int] | None:
        """Cells along each axis of a grid with bounds, spare layers included."""
        if self.bounds is None:
            return None
        sides = zip(self.bounds.lower, self.bounds.upper, self.size, strict=True)
        first, second, third = (round((upper - lower) / size) for lower, upper, size in sides)
        return first, second, third + self.bounds.spare_layers

    @model_validator(mode="after")
    def _bounds_fit(self) -> Self:
        if self.bounds is None:
            return self
        if self.kind != "cartesian" or self.rounding != "floor":
            raise ValueError("a grid with bounds is cartesian, and rounding is floor")
        for lower, upper, size in zip(self.bounds.lower, self.bounds.upper, self.size, strict=True):
            cells = (upper - lower) / size
            if round(cells) < 1 or abs(cells - round(cells)) > WHOLE:
                raise ValueError(f"from {lower} to {upper} m lie {cells:g} cells of {size} m")
        return self


class InputSettings(Settings):
    """What the student is fed per voxel.

    Attributes:
        channels: Point attributes in order.
        intensity: ``raw`` file value, ``unit`` (card's scale to 0..1), or either ``_plus_one``.
        max_range_m: Points beyond this distance in x-y are left out; None keeps all.
        box_m: Pretraining leaves out points outside this box: lower and upper corner. Before
            augmentation, as `max_range_m`.
    """

    channels: tuple[Literal["x", "y", "z", "intensity"], ...] = ("x", "y", "z", "intensity")
    intensity: Literal["raw", "raw_plus_one", "unit", "unit_plus_one"] = "raw"
    max_range_m: float | None = None
    box_m: tuple[Corner, Corner] | None = None


class StudentSettings(Settings):
    """Which 3D network, and what goes into it."""

    backbone: str = "minkunet34"
    voxels: VoxelSettings = VoxelSettings()
    inputs: InputSettings = InputSettings()
