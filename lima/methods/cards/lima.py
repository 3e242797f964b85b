"""LiMA: settings and card."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from lima_bench.lima.methods.card import Count, Fraction, MethodCard, Positive, Weight
from lima_bench.lima.methods.cards.distance import Distance
from lima_bench.lima.recipes import Settings

Cva = Literal["off", "mean", "mean_of_normalised", "center_weighted", "nearest_center", "max"]
Pool = Literal["mean", "max", "decay", "sim_gate", "softmax_sim"]
Mix = Literal["frustum", "laser", "polar", "none"]


class LimaSettings(Settings):
    """LiMA; every axis the paper leaves open, with the default that its figure suggests.

    Attributes:
        frames: Frames that a target is made from, the current one included.
        cva: How cameras that see the same point are unified; ``off`` keeps one term per camera.
        align: How a past feature finds its point.
        radius_m: A past point farther than this lends nothing; assumed.
        pool: How current and past features become one target.
        decay: ``decay``: weight per frame of age; assumed.
        sim_threshold: ``sim_gate``: least cosine with the current feature; assumed.
        coverage: Supervise points that the cameras see now, or also those that memory covers.
        mix: How two scans become one.
        mix_weight: Of the mixed scans' loss.
        distance: Of unit vectors; see `lima_bench.lima.losses`.
        reduce: Average over all rows of the batch at once, which equals ScaLR when everything
            else is off, or over the rows of each scan and then over scans.
    """

    frames: Count = 6
    cva: Cva = "mean"
    align: Literal["nn"] = "nn"
    radius_m: Positive = 0.5
    pool: Pool = "mean"
    decay: Fraction = 0.8
    sim_threshold: Annotated[float, Field(ge=-1, le=1)] = 0.5
    coverage: Literal["current", "union"] = "union"
    mix: Mix = "frustum"
    mix_weight: Weight = 1.0
    distance: Distance = "l2norm"
    reduce: Literal["pooled", "per_scan"] = "pooled"


CARD = MethodCard(
    name="lima",
    title="LiMA",
    venue="ICCV'25",
    version=2,
    implementation="lima_bench.lima.methods.lima:Lima",
    settings=LimaSettings,
    order="streams",
)
