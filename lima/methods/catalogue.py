"""The methods there are, without their code: what a suite may name and what each one needs.

Offers `MethodCard`, `METHODS` and the frozen settings of every built-in method. Light: no torch,
so that planning never loads it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from lima_bench.common.registry import Registry
from lima_bench.lima.recipes import Settings


class RandomSettings(Settings):
    """No pretraining: the initial weights."""


Fraction = Annotated[float, Field(gt=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Cva = Literal["off", "mean", "mean_of_normalised", "center_weighted", "nearest_center", "max"]
Pool = Literal["mean", "max", "decay", "sim_gate", "softmax_sim"]
Mix = Literal["frustum", "laser", "polar", "none"]
Distance = Literal["l2norm", "cosine", "mse", "smooth_l1"]


class SlidrSettings(Settings):
    """SLidR, methods of CVPR 2022; see `lima_bench.lima.methods.slidr`.

    Attributes:
        width: Of the space in which points and pixels are compared.
        temperature: Of the contrast.
        renormalise_pool: Bring superpixel means back to unit length (TriCC does).
        mask_empty: Leave superpixels without points out (TriCC does not).
    """

    width: Annotated[int, Field(ge=1)] = 64
    temperature: Positive = 0.07
    renormalise_pool: bool = False
    mask_empty: bool = True


class ScalrSettings(Settings):
    """ScaLR with a MinkUNet student; see `lima_bench.lima.methods.scalr`.

    Attributes:
        cameras: Supervise from all cameras, or from one drawn per scan (the original).
        student_input: Show the full sweep, or only points that the cameras see (the original).
        distance: Of unit vectors; see `lima_bench.lima.losses`.
    """

    cameras: Literal["all", "one"] = "all"
    student_input: Literal["full", "visible"] = "full"
    distance: Distance = "l2norm"


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

    frames: Annotated[int, Field(ge=1)] = 6
    cva: Cva = "mean"
    align: Literal["nn"] = "nn"
    radius_m: Positive = 0.5
    pool: Pool = "mean"
    decay: Fraction = 0.8
    sim_threshold: Annotated[float, Field(ge=-1, le=1)] = 0.5
    coverage: Literal["current", "union"] = "union"
    mix: Mix = "frustum"
    mix_weight: Annotated[float, Field(ge=0)] = 1.0
    distance: Distance = "l2norm"
    reduce: Literal["pooled", "per_scan"] = "pooled"


class MethodCard(Settings):
    """What is known of a method before its code is loaded.

    Attributes:
        name: The method id.
        title: As the papers print it.
        venue: Where it was published.
        version: Raise it when the method's numbers change on purpose.
        implementation: ``"module:Class"`` of a built-in method, the class of a plug-in, or empty
            while the method is not built.
        settings: Its frozen settings class.
        needs: Cached stages it reads: ``features``, ``superpixels``.
        frames: How many frames it sees, the current one included, unless its settings say so.
        order: ``shuffled`` scans, or ``streams`` that walk one scene each in time.
        learns: Whether there is a loss; without one the initial weights are the result.
        reconstruction: Whether its paper's text could not be read.
    """

    name: str
    title: str
    venue: str = ""
    version: int = 1
    implementation: str | type[Any] = ""
    settings: type[Settings] = RandomSettings
    needs: tuple[Literal["features", "superpixels"], ...] = ("features",)
    frames: int = 1
    order: Literal["shuffled", "streams"] = "shuffled"
    learns: bool = True
    reconstruction: bool = False

    @property
    def is_built(self) -> bool:
        """Whether there is code to run."""
        return self.implementation != ""


_HERE = "lima_bench.lima.methods"
METHODS: Registry[MethodCard] = Registry("method")
for _card in (
    MethodCard(
        name="random",
        title="Random",
        implementation=f"{_HERE}.random:Random",
        needs=(),
        learns=False,
    ),
    MethodCard(
        name="slidr",
        title="SLidR",
        venue="CVPR'22",
        version=2,
        implementation=f"{_HERE}.slidr:Slidr",
        settings=SlidrSettings,
        needs=("features", "superpixels"),
    ),
    MethodCard(
        name="scalr",
        title="ScaLR",
        venue="CVPR'24",
        version=2,
        implementation=f"{_HERE}.scalr:Scalr",
        settings=ScalrSettings,
    ),
    MethodCard(
        name="lima",
        title="LiMA",
        venue="ICCV'25",
        version=2,
        implementation=f"{_HERE}.lima:Lima",
        settings=LimaSettings,
        order="streams",
    ),
    MethodCard(name="ppkt", title="PPKT", venue="arXiv'21"),
    MethodCard(name="st_slidr", title="ST-SLidR", venue="CVPR'23"),
    MethodCard(name="tricc", title="TriCC", venue="CVPR'23", frames=2),
    MethodCard(name="seal", title="Seal", venue="NeurIPS'23", frames=2, reconstruction=True),
    MethodCard(name="csc", title="CSC", venue="CVPR'24", reconstruction=True),
    MethodCard(name="hvdistill", title="HVDistill", venue="IJCV'24"),
    MethodCard(name="superflow", title="SuperFlow", venue="ECCV'24", frames=3),
    MethodCard(
        name="cleverdistiller", title="CleverDistiller", venue="BMVC'25", reconstruction=True
    ),
    MethodCard(name="pointcontrast", title="PointContrast", venue="ECCV'20"),
    MethodCard(name="gcc3d", title="GCC-3D", venue="ICCV'21", reconstruction=True),
):
    METHODS.add(_card.name, _card)
