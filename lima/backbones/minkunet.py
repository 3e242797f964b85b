"""MinkUNet: a sparse residual U-Net, from a table of widths and block counts.

Offers `Plan`, `MinkUNet` and the builders that `lima_bench.lima.backbones.catalogue` names. The
published networks differ in their stem and in which BatchNorm layers take the recipe's momentum
(methods-spatial 10.1-10.2, methods-temporal 0.5).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lima_bench.lima.backbones.backbone import Backbone
from lima_bench.lima.backbones.sparse.layers import (
    DownConv,
    SparseTensor,
    SubmanifoldConv,
    UpConv,
)
from lima_bench.lima.backbones.sparse.maps import Level
from lima_bench.lima.backbones.sparse.norm import BatchNorm, normed
from lima_bench.lima.take import take_rows
from lima_bench.lima.voxels import Voxels

DEFAULT_MOMENTUM = 0.1


@dataclass(frozen=True)
class Stage:
    """One resolution of the encoder or decoder: blocks of a width."""

    width: int
    n_blocks: int


@dataclass(frozen=True)
class Plan:
    """Everything that tells one MinkUNet from another.

    Attributes:
        stem: Output width of each convolution of the stem.
        encoder: Stages from fine to coarse; each first halves the resolution.
        decoder: Stages from coarse to fine, one for each of the encoder.
        block: ``basic`` (two 3x3x3) or ``bottleneck`` (1, 3, 1, four times the width outside).
        momentum_in_blocks: Whether the recipe's BatchNorm momentum reaches the main path of the
            residual blocks; SLidR's code keeps torch's default there.
        n_outputs: How many of the finest decoder levels make up the output, side by side.
    """

    stem: tuple[int, ...]
    encoder: tuple[Stage, ...]
    decoder: tuple[Stage, ...]
    block: Literal["basic", "bottleneck"] = "basic"
    momentum_in_blocks: bool = True
    n_outputs: int = 1


class _NormRelu(nn.Module):
    """A sparse convolution, BatchNorm and ReLU."""

    def __init__(self, convolution: nn.Module, width: int, momentum: float) -> None:
        super().__init__()
        self.convolution = convolution
        self.norm = BatchNorm(width, momentum=momentum)

    def forward(self, x: SparseTensor, *levels: Level) -> SparseTensor:
        y: SparseTensor = self.convolution(x, *levels)
        return y.replace(normed(self.norm, y.features))


class Pointwise(nn.Module):
    """A kernel of 1 and BatchNorm, on features alone; a ReLU too where it is asked for."""

    def __init__(self, c_in: int, c_out: int, momentum: float, *, relu: bool = False) -> None:
        super().__init__()
        self.relu = relu
        self.linear = nn.Linear(c_in, c_out, bias=False)
        self.norm = BatchNorm(c_out, momentum=momentum)

    def forward(self, features: Float[Tensor, "voxels c_in"]) -> Float[Tensor, "voxels c_out"]:
        """Other features of the same voxels."""
        return normed(self.norm, self.linear(features), relu=self.relu)


class _BasicBlock(nn.Module):
    """Two convolutions beside a shortcut."""

    expansion = 1

    def __init__(self, c_in: int, width: int, momentum: float, inner_momentum: float) -> None:
        super().__init__()
        self.first = _NormRelu(SubmanifoldConv(c_in, width), width, inner_momentum)
        self.second = SubmanifoldConv(width, width)
        self.norm = BatchNorm(width, momentum=inner_momentum)
        self.shortcut = Pointwise(c_in, width, momentum) if c_in != width else nn.Identity()

    def forward(self, x: SparseTensor) -> SparseTensor:
        y = self.second(self.first(x)).features
        return x.replace(normed(self.norm, y, self.shortcut(x.features)))


class _Bottleneck(nn.Module):
    """A narrow convolution between two of kernel 1, beside a shortcut."""

    expansion = 4

    def __init__(self, c_in: int, width: int, momentum: float, inner_momentum: float) -> None:
        super().__init__()
        wide = width * self.expansion
        self.narrow = Pointwise(c_in, width, inner_momentum, relu=True)
        self.middle = _NormRelu(SubmanifoldConv(width, width), width, inner_momentum)
        self.widen = Pointwise(width, wide, inner_momentum)
        self.shortcut = Pointwise(c_in, wide, momentum) if c_in != wide else nn.Identity()

    def forward(self, x: SparseTensor) -> SparseTensor:
        y = self.middle(x.replace(self.narrow(x.features)))
        wide = self.widen.linear(y.features)
        return x.replace(normed(self.widen.norm, wide, self.shortcut(x.features)))


class MinkUNet(Backbone):
    """The network of a `Plan`.

    Args:
        plan: Widths and blocks.
        in_channels: Input features per voxel.
        bn_momentum: Of the BatchNorm layers that take the recipe's.
    """

    def __init__(self, plan: Plan, in_channels: int, bn_momentum: float) -> None:
        super().__init__()
        self.plan, self.momentum = plan, bn_momentum
        self.n_levels = 1 + len(plan.encoder)
        self._block = _BasicBlock if plan.block == "basic" else _Bottleneck
        pairs = pairwise((in_channels, *plan.stem))
        self.stem = nn.Sequential(*(self._normed(SubmanifoldConv(a, b), b) for a, b in pairs))
        self.down, self.encoder = nn.ModuleList(), nn.ModuleList()
        self.up, self.decoder = nn.ModuleList(), nn.ModuleList()
        skips = self._build_encoder(plan.stem[-1])
        outputs = self._build_decoder(skips)
        self.width = sum(outputs[-plan.n_outputs :])

    def _build_encoder(self, width: int) -> list[int]:
        """Add the encoder; widths of every level from the stem's on."""
        widths = [width]
        for stage in self.plan.encoder:
            self.down.append(self._normed(DownConv(width, width), width))
            self.encoder.append(self._blocks(width, stage))
            width = stage.width * self._block.expansion
            widths.append(width)
        return widths

    def _build_decoder(self, skips: list[int]) -> list[int]:
        """Add the decoder; width of each of its levels, coarse to fine."""
        width, widths = skips[-1], []
        for stage, skip in zip(self.plan.decoder, reversed(skips[:-1]), strict=True):
            self.up.append(self._normed(UpConv(width, stage.width), stage.width))
            self.decoder.append(self._blocks(stage.width + skip, stage))
            width = stage.width * self._block.expansion
            widths.append(width)
        return widths

    def _normed(self, convolution: nn.Module, width: int) -> _NormRelu:
        return _NormRelu(convolution, width, self.momentum)

    def _blocks(self, c_in: int, stage: Stage) -> nn.Sequential:
        inner = self.momentum if self.plan.momentum_in_blocks else DEFAULT_MOMENTUM
        wide = stage.width * self._block.expansion
        inputs = [c_in, *[wide] * (stage.n_blocks - 1)]
        return nn.Sequential(
            *(self._block(width, stage.width, self.momentum, inner) for width in inputs)
        )

    def forward(self, voxels: Voxels) -> Float[Tensor, "voxels width"]:
        """A feature for each voxel, in the order of `voxels.coords`."""
        level = voxels.level or Level.of(voxels.coords, self.n_levels)
        x = self.stem(SparseTensor(voxels.features, level))
        skips = [x]
        for down, blocks in zip(self.down, self.encoder, strict=True):
            x = blocks(down(x))
            skips.append(x)
        outputs = []
        skips.pop()
        for up, blocks in zip(self.up, self.decoder, strict=True):
            skip = skips.pop()
            raised = up(x, skip.level).features
            x = blocks(skip.replace(torch.cat((raised, skip.features), dim=1)))
            outputs.append(x)
        return _side_by_side(outputs[-self.plan.n_outputs :])


def _side_by_side(outputs: list[SparseTensor]) -> Float[Tensor, "voxels width"]:
    """Features of all levels at the finest: each cell also takes those of the cells around it."""
    features = outputs[0].features
    for finer in outputs[1:]:
        raised = take_rows(features, finer.level.parent)
        features = torch.cat((finer.features, raised), dim=1)
    return features


def _stages(widths: tuple[int, ...], n_blocks: tuple[int, ...]) -> tuple[Stage, ...]:
    return tuple(Stage(*stage) for stage in zip(widths, n_blocks, strict=True))


PLAN_34 = Plan(
    stem=(32, 32),
    encoder=_stages((32, 64, 128, 256), (2, 3, 4, 6)),
    decoder=_stages((256, 128, 96, 96), (2, 2, 2, 2)),
)
"""Of SuperFlow and its successors."""

PLAN_34_SLIDR = replace(PLAN_34, stem=(32,), momentum_in_blocks=False)
"""Res16UNet34C as SLidR and its followers train it."""

PLAN_18 = replace(PLAN_34, encoder=_stages((32, 64, 128, 256), (2, 2, 2, 2)))

PLAN_50 = replace(PLAN_34, block="bottleneck")

PLAN_TINY = Plan(
    stem=(16,),
    encoder=_stages((32, 48, 64), (1, 1, 1)),
    decoder=_stages((48, 32, 16), (1, 1, 1)),
    n_outputs=2,
)
"""For the built-in world on a CPU: its coarser output lets a voxel know its surroundings."""


def minkunet34(in_channels: int, bn_momentum: float) -> MinkUNet:
    """MinkUNet-34 as in SuperFlow: two convolutions in the stem."""
    return MinkUNet(PLAN_34, in_channels, bn_momentum)


def minkunet34_slidr(in_channels: int, bn_momentum: float) -> MinkUNet:
    """MinkUNet-34 as in SLidR: one convolution in the stem."""
    return MinkUNet(PLAN_34_SLIDR, in_channels, bn_momentum)


def minkunet18(in_channels: int, bn_momentum: float) -> MinkUNet:
    """MinkUNet-18: two blocks everywhere."""
    return MinkUNet(PLAN_18, in_channels, bn_momentum)


def minkunet50(in_channels: int, bn_momentum: float) -> MinkUNet:
    """MinkUNet-50: bottleneck blocks."""
    return MinkUNet(PLAN_50, in_channels, bn_momentum)


def minkunet_tiny(in_channels: int, bn_momentum: float) -> MinkUNet:
    """A small MinkUNet with three resolutions below the finest."""
    return MinkUNet(PLAN_TINY, in_channels, bn_momentum)
