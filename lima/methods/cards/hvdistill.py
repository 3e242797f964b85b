"""HVDistill: settings and card."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from lima_bench.lima.methods.card import Count, Fraction, MethodCard, Positive, Share, Weight
from lima_bench.lima.recipes import Settings

Inner = Annotated[int, Field(ge=4, multiple_of=4)]


class HvdistillSettings(Settings):
    """HVDistill; see `lima_bench.lima.methods.hvdistill`. Lengths are metres.

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
            is the published 256 for ResNet-50, and at least 32.
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
