"""The layouts that are recognised: whose names, which library's kernels, which of our networks.

Offers `Layout`, `Network`, `minkunet`, `voxelnet`, `LAYOUTS` and `OURS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import nn

from lima_bench.lima.adopt import kernels, naming
from lima_bench.lima.adopt.kernels import KernelOrder
from lima_bench.lima.adopt.naming import Naming
from lima_bench.lima.backbones.catalogue import build_backbone
from lima_bench.lima.backbones.minkunet import (
    PLAN_18,
    PLAN_34,
    PLAN_34_SLIDR,
    PLAN_50,
    MinkUNet,
    Plan,
)

OURS = "lima-bench"
"""The layout of the files that `lima_bench.lima.checkpoint` writes."""

_PROJECTION = "head of pretraining; every task brings its own"
_CLASSES = "classes of another task; every task brings its own"
_SLIDR_HEADS = {
    "final.": _PROJECTION,
    "final_cycle.": "TriCC's matching head; every task brings its own",
    "final_triple.": "TriCC's second matching head; every task brings its own",
    "final_1.": "HVDistill's head for the image plane; every task brings its own",
    "final_2.": "HVDistill's head for the bird's-eye view; every task brings its own",
}
_RESIDUAL = {
    "conv1.0.conv1.": "It is a VoxelResBackBone8x, the residual flavour (voxelnet_residual), whose "
    "weights do not fit the plain VoxelBackBone8x (voxelnet)."
}
_SPVCNN = {"point_transforms.": "It is an SPVCNN: its point branches change every voxel feature."}


@dataclass(frozen=True)
class Network:
    """One of our networks, as far as names and shapes go.

    Attributes:
        build: Input channels to the network.
        n_stages: Of its encoder.
        stem: Our names of its first convolution's weights and of its first normalisation's.
    """

    build: Callable[[int], nn.Module]
    n_stages: int
    stem: tuple[str, str] = ("stem.0.convolution.weight", "stem.0.norm.weight")


def minkunet(plan: Plan) -> Network:
    """The MinkUNet of a plan."""
    return Network(lambda channels: MinkUNet(plan, channels, 0.1), len(plan.encoder))


def voxelnet(name: str) -> Network:
    """The VoxelNet of a backbone id."""

    def build(channels: int) -> nn.Module:
        return build_backbone(name, channels, bn_momentum=0.1)

    return Network(build, 3, stem=("conv_input.0.weight", "conv_input.1.weight"))


@dataclass(frozen=True)
class Layout:
    """One way in which a network is kept.

    Attributes:
        name: What ``--layout`` takes.
        title: Whose it is.
        naming: Names of the layers.
        orders: How kernels may be stored.
        networks: Ours that are kept so, by backbone id.
        marks: Beginnings of names that every file of this layout has, where its stem alone does not
            tell it from another.
        told_by: Beginnings of names that only this layout has among those that share its naming;
            empty: it has none.
        heads: Beginnings of names beside the trunk, and why they are left out.
        refused: Beginnings of names that make it another network, and which.
        asked: Whether it is taken only when asked for by name, because nothing in a file tells it
            from another.
    """

    name: str
    title: str
    naming: Naming
    orders: tuple[KernelOrder, ...]
    networks: Mapping[str, Network]
    marks: tuple[str, ...] = ()
    told_by: tuple[str, ...] = ()
    heads: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    asked: bool = False


_SLIDR = {"minkunet34_slidr": minkunet(PLAN_34_SLIDR)}
_TWO_STEMS = {"minkunet34": minkunet(PLAN_34), "minkunet18": minkunet(PLAN_18)}
_SPARSE_ENCODER = (kernels.SPCONV_ZYX, kernels.SPCONV1_ZYX)
_MMDET3D_HEADS = {"decode_head.": _CLASSES, "auxiliary_head.": _CLASSES, "conv_seg.": _CLASSES}

LAYOUTS: Mapping[str, Layout] = {
    layout.name: layout
    for layout in (
        Layout(
            "tricc",
            "TriCC (MinkowskiEngine, MLP heads)",
            naming.slidr,
            (kernels.MINKOWSKI,),
            _SLIDR,
            told_by=("final_cycle.", "final_triple."),
            heads=_SLIDR_HEADS,
        ),
        Layout(
            "hvdistill",
            "HVDistill (MinkowskiEngine, Cartesian voxels)",
            naming.slidr,
            (kernels.MINKOWSKI,),
            _SLIDR,
            told_by=("final_1.", "final_2."),
            heads=_SLIDR_HEADS,
        ),
        Layout(
            "slidr",
            "SLidR, PPKT, ST-SLidR, CSC (MinkowskiEngine)",
            naming.slidr,
            (kernels.MINKOWSKI,),
            _SLIDR,
            heads=_SLIDR_HEADS,
        ),
        Layout(
            "superflow",
            "SuperFlow, LiMoE (torchsparse)",
            naming.superflow,
            (kernels.TORCHSPARSE,),
            {**_TWO_STEMS, "minkunet50": minkunet(PLAN_50)},
            refused=_SPVCNN,
        ),
        Layout(
            "mmdet3d-torchsparse",
            "mmdetection3d (torchsparse)",
            naming.mmdet3d_torchsparse,
            (kernels.TORCHSPARSE,),
            _TWO_STEMS,
            heads=_MMDET3D_HEADS,
            refused=_SPVCNN,
        ),
        Layout(
            "mmdet3d-minkowski",
            "mmdetection3d (MinkowskiEngine)",
            naming.mmdet3d_minkowski,
            (kernels.MINKOWSKI,),
            _TWO_STEMS,
            heads=_MMDET3D_HEADS,
        ),
        Layout(
            "mmdet3d-spconv",
            "mmdetection3d (spconv; indices batch, x, y, z)",
            naming.mmdet3d_spconv,
            (kernels.SPCONV_XYZ, kernels.SPCONV1_XYZ),
            _TWO_STEMS,
            heads=_MMDET3D_HEADS,
        ),
        Layout(
            "slidr-spconv-zyx",
            "SLidR's names with weights of spconv; indices batch, z, phi, rho",
            naming.slidr,
            (kernels.SPCONV_ZYX, kernels.SPCONV1_ZYX),
            _SLIDR,
            heads=_SLIDR_HEADS,
            asked=True,
        ),
        Layout(
            "slidr-spconv-xyz",
            "SLidR's names with weights of spconv; indices batch, rho, phi, z",
            naming.slidr,
            (kernels.SPCONV_XYZ, kernels.SPCONV1_XYZ),
            _SLIDR,
            heads=_SLIDR_HEADS,
            asked=True,
        ),
        Layout(
            "openpcdet",
            "VoxelBackBone8x of OpenPCDet, SLidR and CSC (spconv; indices batch, z, y, x)",
            naming.same,
            (kernels.SPCONV_ZYX, kernels.SPCONV1_ZYX),
            {"voxelnet": voxelnet("voxelnet")},
            marks=("conv1.",),
            heads={"final.": _PROJECTION},
            refused=_RESIDUAL,
        ),
        Layout(
            "mmdet3d-voxelnet",
            "SparseEncoder of mmdetection3d, conv_module (spconv or mmcv; indices batch, z, y, x)",
            naming.mmdet3d_voxelnet,
            _SPARSE_ENCODER,
            {"voxelnet": voxelnet("voxelnet")},
            marks=("encoder_layers.encoder_layer1.0.0.",),
        ),
        Layout(
            "mmdet3d-voxelnet-residual",
            "SparseEncoder of mmdetection3d, basicblock (spconv or mmcv; indices batch, z, y, x)",
            naming.mmdet3d_voxelnet_residual,
            _SPARSE_ENCODER,
            {"voxelnet_residual": voxelnet("voxelnet_residual")},
            marks=("encoder_layers.encoder_layer1.0.conv1.",),
        ),
    )
}
"""By name; those that are told by more stand before those told by less."""
