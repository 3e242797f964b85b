"""The methods there are, without their code: what a suite may name and what each one needs.

Offers `MethodCard`, `METHODS` and the frozen settings of every built-in method. Light: no torch,
so that planning never loads it.
"""

from __future__ import annotations

from typing import Literal

from lima_bench.common.registry import Registry
from lima_bench.lima.recipes import Settings


class RandomSettings(Settings):
    """No pretraining: the initial weights."""


class SlidrSettings(Settings):
    """SLidR, methods of CVPR 2022; see `lima_bench.lima.methods.slidr`."""

    width: int = 64
    temperature: float = 0.07
    renormalise_pool: bool = False
    mask_empty: bool = True


class ScalrSettings(Settings):
    """ScaLR with a MinkUNet student; see `lima_bench.lima.methods.scalr`."""

    cameras: Literal["all", "one"] = "all"
    student_input: Literal["full", "visible"] = "full"
    distance: Literal["l2norm", "cosine", "mse", "smooth_l1"] = "l2norm"


class LimaSettings(Settings):
    """LiMA; every axis the paper leaves open, with the default that its figure suggests."""

    frames: int = 6
    cva: Literal[
        "off", "mean", "mean_of_normalised", "center_weighted", "nearest_center", "max"
    ] = "mean"
    align: Literal["nn"] = "nn"
    radius_m: float = 0.5
    pool: Literal["mean", "max", "decay", "sim_gate", "softmax_sim"] = "mean"
    decay: float = 0.8
    sim_threshold: float = 0.5
    coverage: Literal["current", "union"] = "union"
    mix: Literal["frustum", "laser", "polar", "none"] = "frustum"
    mix_weight: float = 1.0
    distance: Literal["l2norm", "cosine", "mse", "smooth_l1"] = "l2norm"


class MethodCard(Settings):
    """What is known of a method before its code is loaded.

    Attributes:
        name: The method id.
        title: As the papers print it.
        venue: Where it was published.
        version: Raise it when the method's numbers change on purpose.
        implementation: ``"module:Class"``, or empty while the method is not built.
        settings: Its frozen settings class.
        needs: Cached stages it reads: ``features``, ``superpixels``.
        frames: How many frames it sees, the current one included, unless its settings say so.
        order: ``shuffled`` scans, or ``streams`` that walk one scene each in time.
        reconstruction: Whether its paper's text could not be read.
    """

    name: str
    title: str
    venue: str = ""
    version: int = 1
    implementation: str = ""
    settings: type[Settings] = RandomSettings
    needs: tuple[Literal["features", "superpixels"], ...] = ("features",)
    frames: int = 1
    order: Literal["shuffled", "streams"] = "shuffled"
    reconstruction: bool = False


_HERE = "lima_bench.lima.methods"
METHODS: Registry[MethodCard] = Registry("method")
for _card in (
    MethodCard(name="random", title="Random", implementation=f"{_HERE}.random:Random", needs=()),
    MethodCard(
        name="slidr",
        title="SLidR",
        venue="CVPR'22",
        implementation=f"{_HERE}.slidr:Slidr",
        settings=SlidrSettings,
        needs=("features", "superpixels"),
    ),
    MethodCard(
        name="scalr",
        title="ScaLR",
        venue="CVPR'24",
        implementation=f"{_HERE}.scalr:Scalr",
        settings=ScalrSettings,
    ),
    MethodCard(
        name="lima",
        title="LiMA",
        venue="ICCV'25",
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
