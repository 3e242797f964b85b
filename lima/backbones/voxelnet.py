"""VoxelNet: a detector's sparse encoder, from voxels of a grid with bounds to a bird's-eye map.

Offers `VoxelNet`, `STEM` and the builders that `lima_bench.lima.backbones.catalogue` names. Two
published flavours: the plain one, which published pretraining uses, and the residual one of stock
nuScenes detectors; their weights do not fit each other. A narrow plain one, whose map keeps twice
the resolution, is for the built-in world. Layers are called as in OpenPCDet (methods-spatial 10.6,
detection 3.2).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lima_bench.common.errors import UserError
from lima_bench.lima.backbones.backbone import Backbone
from lima_bench.lima.backbones.catalogue import BACKBONES
from lima_bench.lima.backbones.sparse.layers import SparseTensor, StridedConv, SubmanifoldConv
from lima_bench.lima.backbones.sparse.maps import Level
from lima_bench.lima.backbones.sparse.norm import BatchNorm, normed
from lima_bench.lima.backbones.sparse.window import Triple, Window
from lima_bench.lima.readout import Bilinear
from lima_bench.lima.voxels import Grid, Voxels

EPS, MOMENTUM = 1e-3, 0.01
"""Of every BatchNorm of the published encoders; recipes do not reach those."""

WIDTH = 128
"""Of the published encoders' output."""

STEM = "conv_input"
"""The layer that looks at the input; detectors feed it one channel more than pretraining does."""


class _Unit(nn.Sequential):
    """A sparse convolution, BatchNorm and ReLU."""

    def __init__(self, convolution: nn.Module, width: int) -> None:
        super().__init__(convolution, BatchNorm(width, eps=EPS, momentum=MOMENTUM))

    def forward(self, x: SparseTensor) -> SparseTensor:
        y: SparseTensor = self[0](x)
        return y.replace(normed(self[1], y.features))


class _ResidualBlock(nn.Module):
    """Two convolutions beside the identity, without biases as in mmdetection3d."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = SubmanifoldConv(width, width), SubmanifoldConv(width, width)
        self.bn1, self.bn2 = (BatchNorm(width, eps=EPS, momentum=MOMENTUM) for _ in range(2))

    def forward(self, x: SparseTensor) -> SparseTensor:
        y = x.replace(normed(self.bn1, self.conv1(x).features))
        return x.replace(normed(self.bn2, self.conv2(y).features, x.features))


def _plain_block(width: int) -> nn.Module:
    return _Unit(SubmanifoldConv(width, width), width)


class VoxelNet(Backbone):
    """An encoder whose cells, at a lower resolution and folded upwards, make up a map.

    Args:
        in_channels: Input features per voxel.
        widths: Of its four stages.
        n_first: Blocks of the first stage; the others have two, behind a strided convolution.
        block: Makes a block of a width.
        windows: Of the three strided convolutions and the last one.
        width: Of its output.
    """

    def __init__(
        self,
        in_channels: int,
        widths: tuple[int, int, int, int],
        n_first: int,
        block: Callable[[int], nn.Module],
        windows: Sequence[Window],
        width: int = WIDTH,
    ) -> None:
        super().__init__()
        self.width, self.n_levels, self.windows = width, 1 + len(windows), tuple(windows)
        first, second, third, fourth = widths
        *halving, last = windows
        self.conv_input = _Unit(SubmanifoldConv(in_channels, first), first)
        self.conv1 = nn.Sequential(*(block(first) for _ in range(n_first)))
        stages = zip((first, second, third), (second, third, fourth), halving, strict=True)
        self.conv2, self.conv3, self.conv4 = (
            nn.Sequential(_Unit(StridedConv(a, b, window), b), block(b), block(b))
            for a, b, window in stages
        )
        self.conv_out = _Unit(StridedConv(fourth, width, last), width)

    def forward(self, voxels: Voxels) -> Float[Tensor, "cells width"]:
        """A feature for each cell of the map that any voxel reaches."""
        return self._encoded(voxels).features

    def readout(self, voxels: Voxels) -> Bilinear:
        """Points read the map between its cells, at their place over the size of a cell.

        Without a shift of half a cell, as SLidR does: a point at the lower corner of the grid is on
        the first cell. Points beyond the border read the border.

        Raises:
            UserError: The grid has no bounds, or its map is not one layer deep.
        """
        grid = _grid_of(voxels)
        level, (width, height, depth) = self._levels(voxels)[-1], self.map_extent(grid.extent)
        if depth != 1:
            raise UserError(
                "student: voxels.bounds",
                f"Points read a map of one layer, and a grid of {grid.extent[2]} layers ends in "
                f"{depth}.",
                "Let it be 25 to 40 cells high, without spare layers.",
            )
        table = level.coords.new_full((voxels.n_clouds, width, height), -1)
        cloud, x, y, _ = level.coords.T
        table[cloud, x, y] = torch.arange(len(level.keys), device=table.device)
        xy = voxels.xyz[:, :2].double()
        edge = xy.new_tensor([grid.extent[0] // width, grid.extent[1] // height])
        places = (xy - xy.new_tensor(grid.lower[:2])) / (edge * xy.new_tensor(grid.size[:2]))
        return Bilinear.of(table, grid.cloud, places)

    def bird_eye(self, voxels: Voxels) -> Float[Tensor, "clouds channels height width"]:
        """The map, dense, zero where nothing is: what a detector's 2D network takes.

        Rows are y and columns x; layers are folded into channels, ``channel * layers + layer``.

        Raises:
            UserError: The grid has no bounds.
        """
        width, height, depth = self.map_extent(_grid_of(voxels).extent)
        cells = self._encoded(voxels)
        volume = cells.features.new_zeros(voxels.n_clouds, depth, height, width, self.width)
        cloud, x, y, z = cells.level.coords.T
        volume = volume.index_put((cloud, z, y, x), cells.features)
        return volume.permute(0, 4, 1, 2, 3).flatten(1, 2)

    def _encoded(self, voxels: Voxels) -> SparseTensor:
        x: SparseTensor = self.conv_input(SparseTensor(voxels.features, self._levels(voxels)[0]))
        for stage in (self.conv1, self.conv2, self.conv3, self.conv4, self.conv_out):
            x = stage(x)
        return x

    def map_extent(self, extent: Triple) -> Triple:
        """Cells of the map along x, y and z, of a grid that has so many."""
        for window in self.windows:
            extent = window.outputs(extent)
        return extent

    def _levels(self, voxels: Voxels) -> list[Level]:
        """The levels, finest first, built at most once per batch."""
        grid = _grid_of(voxels)
        level = voxels.level or _LEVELS.get(grid)
        if level is None:
            level = _LEVELS[grid] = Level.strided(voxels.coords, grid.extent, self.windows)
        levels = [level]
        for _ in self.windows:
            levels.append(levels[-1].coarser)
        return levels


_LEVELS: WeakKeyDictionary[Grid, Level] = WeakKeyDictionary()


def _grid_of(voxels: Voxels) -> Grid:
    if voxels.grid is None:
        raise UserError(
            "student: voxels",
            "VoxelNet needs a grid that begins and ends somewhere.",
            "Give voxels.bounds (cartesian, rounding: floor) in the student's recipe.",
        )
    return voxels.grid


def voxelnet(in_channels: int, bn_momentum: float) -> VoxelNet:
    """The plain encoder; its BatchNorm does not take the recipe's momentum."""
    del bn_momentum
    windows = BACKBONES.get("voxelnet").windows
    return VoxelNet(in_channels, (16, 32, 64, 64), 1, _plain_block, windows)


def voxelnet_residual(in_channels: int, bn_momentum: float) -> VoxelNet:
    """The residual encoder; its BatchNorm does not take the recipe's momentum."""
    del bn_momentum
    windows = BACKBONES.get("voxelnet_residual").windows
    return VoxelNet(in_channels, (16, 32, 64, 128), 2, _ResidualBlock, windows)


def voxelnet_tiny(in_channels: int, bn_momentum: float) -> VoxelNet:
    """The plain encoder for the built-in world, taught in hundreds of steps.

    Its third strided convolution halves height alone: a cell of its map is four voxels wide. Its
    BatchNorm takes the recipe's momentum: with 0.01 its statistics would be those of weights a
    hundred steps ago, and in evaluation it would find a tenth of what it finds in training.
    """
    card = BACKBONES.get("voxelnet_tiny")
    network = VoxelNet(in_channels, (16, 16, 32, 64), 1, _plain_block, card.windows, card.width)
    for module in network.modules():
        if isinstance(module, BatchNorm):
            module.momentum = bn_momentum
    return network
