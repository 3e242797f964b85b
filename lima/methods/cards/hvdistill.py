"""HVDistill: settings and card."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from lima_bench.lima.methods.card import Count, Fraction, MethodCard, Positive, Share, Weight
from lima_bench.lima.recipes import Settings

Inner = Annotated[int, Field(ge=4, multiple_of=4)]

WHOLE = 1e-6
"""What a number of cells may differ from a whole one: edges are decimal fractions."""


class HvdistillSettings(Settings):
    """HVDistill; see `lima_bench.lima.methods.hvdistill`. Lengths are metres.

    Values: the released code (methods-spatial 7), but where one is said to be assumed.

    Attributes:
        width: Of the spaces in which features are compared.
        temperature: Of both contrasts.
        bev_weight: Of the contrast in bird's-eye view.
        bev_from: Share of the run from which it counts: the published code has two stages of
            unknown lengths; assumed: 10 epochs of 50.
        depth_weight: Of the loss of depth.
        depth_from_m: Where the first bin of depth begins.
        depth_to_m: Where the last one ends.
        depth_step_m: Width of a bin.
        inner: Channels inside the depth network; None is an eighth of the teacher's width, which
            is the published 256 for ResNet-50, and at least 32: for other teachers assumed.
        half_extent_m: Points farther away in x or y are left out, and end the bird's-eye grid.
        lowest_m: Lower points are left out.
        highest_m: Higher points are left out.
        lift_half_height_m: Image cells that are lifted farther up or down are left out.
        lattice_m: Edge of the cells on which columns are made; 4 x 4 of them are one bird's-eye
            cell, 80 one slab of its height.
        bn_momentum: Of the BatchNorm between the convolutions that make columns.
    """

    width: Count = 64
    temperature: Positive = 0.07
    bev_weight: Weight = 0.25
    bev_from: Share = 0.2
    depth_weight: Weight = 60.0
    depth_from_m: Positive = 1.0
    depth_to_m: Positive = 60.0
    depth_step_m: Positive = 0.5
    inner: Inner | None = None
    half_extent_m: Positive = 51.2
    lowest_m: float = -5.0
    highest_m: float = 3.0
    lift_half_height_m: Positive = 10.0
    lattice_m: Positive = 0.1
    bn_momentum: Fraction = 0.05

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        if self.depth_to_m - self.depth_from_m < self.depth_step_m:
            raise ValueError("depth_to_m lies at least depth_step_m beyond depth_from_m")
        if not self.lowest_m < self.highest_m:
            raise ValueError("lowest_m lies below highest_m")
        cells = self.half_extent_m / (4 * self.lattice_m)
        if round(cells) < 1 or abs(cells - round(cells)) > WHOLE:
            raise ValueError("half_extent_m is a whole number of bird's-eye cells, 4 x lattice_m")
        return self


CARD = MethodCard(
    name="hvdistill",
    title="HVDistill",
    venue="IJCV'24",
    implementation="lima_bench.lima.methods.hvdistill:Hvdistill",
    settings=HvdistillSettings,
    needs=("features", "superpixels"),
    heads_2d="linear, and a bird's-eye branch that learns depth",
    note=(
        "One run with all three losses, the bird's-eye one from a fifth of it on: how long the two "
        "published stages are is not stated. On voxels other than its Cartesian ones of 0.1 m, "
        "columns are made on a lattice of that size."
    ),
)
