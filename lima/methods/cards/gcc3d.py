"""GCC-3D: settings and card."""

from __future__ import annotations

from lima_bench.lima.methods.card import Count, MethodCard, Positive, Share, Weight
from lima_bench.lima.recipes import Settings


class Gcc3dSettings(Settings):
    """GCC-3D, ICCV 2021; see `lima_bench.lima.methods.gcc3d`. Only its two ideas are published.

    Every value is assumed. Where the reconstruction counts 40 epochs, shares of the run stand here.

    Attributes:
        width: Of the space in which places are compared.
        temperature: Of that contrast.
        places: Places of a step, on each device.
        place_m: Edge of the cubes of which each has one place: eight voxels of 0.1 m.
        sigma_m: How far a place's neighbours are meant to look like it.
        hidden: Of the instances' head.
        instance_width: Of the space in which instances are compared with prototypes.
        prototypes: How many.
        bank: Instances that they are made from, at most.
        refreshes: Times in a run that they are made anew: once an epoch of forty.
        assign_temperature: Of an instance's likeness to prototypes.
        sharp_temperature: Likewise, where it is a target.
        entropy_weight: Of the reward for using all prototypes.
        harmonise_from: Share of the run after which instances are harmonised.
    """

    width: Count = 64
    temperature: Positive = 0.07
    places: Count = 2048
    place_m: Positive = 0.8
    sigma_m: Positive = 0.8
    hidden: Count = 256
    instance_width: Count = 128
    prototypes: Count = 128
    bank: Count = 65536
    refreshes: Count = 40
    assign_temperature: Positive = 0.1
    sharp_temperature: Positive = 0.05
    entropy_weight: Weight = 0.1
    harmonise_from: Share = 0.5


CARD = MethodCard(
    name="gcc3d",
    title="GCC-3D",
    venue="ICCV'21",
    implementation="lima_bench.lima.methods.gcc3d:Gcc3d",
    settings=Gcc3dSettings,
    needs=("clusters",),
    clusters="pseudo_instances",
    reconstruction=True,
    note="everything beyond the abstract's two ideas is reconstructed",
)
