"""LiMA: settings and card."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lima_bench.lima.methods.card import Count, Fraction, MethodCard, Positive, Weight
from lima_bench.lima.methods.cards.distance import Distance
from lima_bench.lima.recipes import Settings

Cva = Literal["off", "mean", "mean_of_normalised", "center_weighted", "nearest_center", "max"]
Align = Literal["nn", "voxel", "reproject"]
Pool = Literal["mean", "max", "decay", "sim_gate", "softmax_sim"]
Mix = Literal["frustum", "laser", "polar", "none"]
Partner = Literal["different", "same"]


class LimaSettings(Settings):
    """LiMA; every axis the paper leaves open, with the default that its figure suggests.

    The paper states six frames, past ones; all other values are assumed (methods-temporal 3.2).
    Of the axes that are named there two are missing: windows of sweeps and camera sweeps instead
    of keyframes, and leaving out what moves by boxes or scene flow, which would look at labels.
    Whether images are mirrored is not set here but in the recipe (`PretrainRecipe.images`).

    Attributes:
        frames: Frames that a target is made from, the current one included.
        window: Look at ``past`` frames only, or ``centred``: half of the others (rounded down) are
            later ones, which come with the batch.
        stride: Keyframes from one frame of the window to the next.
        access: How past frames are come by. ``streams``: every place of the batch walks through
            one recording in time and remembers. ``random``: frames are drawn in any order, as for
            every other method, and the window comes along with each; see
            `lima_bench.lima.methods.lima` for what that costs.
        cva: How cameras that see the same point are unified; ``off`` keeps one term per camera,
            and of a past point the feature of its first camera.
        occlusion: ``zbuffer`` drops pairs whose point lies behind what an eighth of the image's
            resolution shows there; see `lima_bench.lima.occlusion`.
        align: How a past feature finds its point: the nearest past point, the mean of the past
            points in the same voxel, or the past images at the place where the point would be.
        radius_m: ``nn``: a past point farther than this lends nothing.
        voxel_m: ``voxel``: edge of a voxel in the current LiDAR frame.
        pool: How current and past features become one target.
        decay: ``decay``: weight per keyframe of age.
        sim_threshold: ``sim_gate``: least cosine with the current feature.
        coverage: Supervise points that the cameras see now, or also those that memory covers.
        targets: One per point, or their mean per ``voxel`` of the student's input.
        head: One ``linear`` layer, or an ``mlp`` with one hidden layer of 2048, as ScaLR+ has.
        mix: How two scans become one.
        partner: Mix with a scan of a ``different`` recording of the batch, where there is one, or
            with the keyframe before in the ``same`` recording.
        mix_only: Teach on mixtures alone.
        mix_weight: Of the mixed scans' loss.
        distance: Of unit vectors; see `lima_bench.lima.losses`.
        reduce: Average over all rows of the batch at once, which equals ScaLR when everything
            else is off, or over the rows of each scan and then over scans.
    """

    frames: Count = 6
    window: Literal["past", "centred"] = "past"
    stride: Literal[1, 2] = 1
    access: Literal["streams", "random"] = "streams"
    cva: Cva = "mean"
    occlusion: Literal["none", "zbuffer"] = "none"
    align: Align = "nn"
    radius_m: Positive = 0.5
    voxel_m: Positive = 0.5
    pool: Pool = "mean"
    decay: Fraction = 0.8
    sim_threshold: Annotated[float, Field(ge=-1, le=1)] = 0.5
    coverage: Literal["current", "union"] = "union"
    targets: Literal["point", "voxel"] = "point"
    head: Literal["linear", "mlp"] = "linear"
    mix: Mix = "frustum"
    partner: Partner = "different"
    mix_only: bool = False
    mix_weight: Weight = 1.0
    distance: Distance = "l2norm"
    reduce: Literal["pooled", "per_scan"] = "pooled"

    @model_validator(mode="after")
    def _teaches_something(self) -> Self:
        if self.mix_only and self.mix == "none":
            raise ValueError("mix_only needs mixtures, but mix is none")
        return self

    @property
    def n_later(self) -> int:
        """Frames of the window after the current one."""
        return (self.frames - 1) // 2 if self.window == "centred" else 0

    @property
    def n_earlier(self) -> int:
        """Frames of the window before the current one."""
        return self.frames - 1 - self.n_later

    @property
    def n_remembered(self) -> int:
        """Frames of the window that a memory holds."""
        return self.n_earlier if self.access == "streams" else 0

    @property
    def brought(self) -> tuple[int, ...]:
        """Keyframes after the current one (negative: before) of the window's other frames."""
        earlier = range(-self.n_earlier, -self.n_remembered)
        return tuple(self.stride * n for n in (*earlier, *range(1, self.n_later + 1)))

    @property
    def brings_partners(self) -> bool:
        """Whether scans come along to be mixed with."""
        return self.mix != "none" and self.partner == "same"


CARD = MethodCard(
    name="lima",
    title="LiMA",
    venue="ICCV'25",
    version=2,
    implementation="lima_bench.lima.methods.lima:Lima",
    settings=LimaSettings,
    order="streams",
    note="no code of it was published: what its figure leaves open is assumed, see `ablation`",
)
