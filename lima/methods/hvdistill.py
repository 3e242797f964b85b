"""HVDistill (IJCV 2024): points and images are compared on the image plane and on the ground.

On the image plane this is SLidR. For the ground, a network learns the depth of image cells from
the projected points and lays them out as seen from above, where columns of voxels must single out
the cell that they stand in. Source: the authors' released code, as read in methods-spatial 7. There
the cloud's augmentation is forgotten when images are laid out, and so is the car's motion between
camera and LiDAR; here both take part.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from lima_bench.lima.api import Batch, Cells, Loss, Student, Teacher
from lima_bench.lima.batch import Lenses
from lima_bench.lima.bev_lift import BevGrid, frustum_cells, lift
from lima_bench.lima.columns import KERNELS, Columns
from lima_bench.lima.contrast import contrast
from lima_bench.lima.depth_net import DepthNet, camera_entries
from lima_bench.lima.depth_targets import DepthBins, depth_loss, nearest_depths
from lima_bench.lima.losses import info_nce, unit
from lima_bench.lima.methods.cards.hvdistill import HvdistillSettings
from lima_bench.lima.segments import Segments
from lima_bench.lima.upsampling import upsampled
from lima_bench.lima.views import ScanInput, View, ViewPlan

BRIDGE = 4
"""Embeddings are upsampled so many times, for ResNet-50 to the image's size, for the bridge to take
them down again."""

ImageMaps = Float[Tensor, "images width h w"]


class Hvdistill(nn.Module):
    """SLidR's contrast, a contrast in bird's-eye view, and the depth that the latter needs."""

    def __init__(self, settings: HvdistillSettings, teacher: Teacher, student: Student) -> None:
        super().__init__()
        self.settings = settings
        self.teacher, self.student = teacher, student
        self.bins = DepthBins.between(
            settings.depth_from_m, settings.depth_to_m, settings.depth_step_m
        )
        cell_m = settings.lattice_m * KERNELS[0][0] * KERNELS[1][0] * KERNELS[2][0]
        self.grid = BevGrid(settings.half_extent_m, cell_m, settings.lift_half_height_m)
        self.point_head = nn.Linear(student.width, settings.width)
        self.pixel_head = nn.Linear(teacher.width, settings.width)
        self.bridge = _Bridge(settings.width, teacher.width)
        inner = settings.inner or max(teacher.width // 8 // 4 * 4, 32)
        self.depth_net = DepthNet(teacher.width, inner, settings.width, self.bins.count)
        self.columns = Columns(settings.width, settings.lattice_m, settings.bn_momentum)

    def forward(self, batch: Batch) -> Loss:
        """Contrast on the image plane, depth, and later in the run contrast on the ground."""
        lenses = batch.images.lenses
        if lenses is None:
            raise ValueError("hvdistill needs to know how the images of a batch look at the world")
        grids = self.teacher(batch.images).detach().to(self.pixel_head.weight.dtype)
        pixels = self.pixel_head(grids)
        cells = self.student.cells(batch.voxels)
        points = unit(self.point_head(cells.features))
        depth, context = self.depth_net(self.bridge(pixels), camera_entries(lenses, pixels.dtype))
        bins = self.bins.of(nearest_depths(batch, lenses, (depth.shape[2], depth.shape[3])))
        loss = Loss(
            plane=self._plane(batch, cells, points, pixels),
            depth=self.settings.depth_weight * depth_loss(depth, bins),
        )
        if batch.moment.done >= self.settings.bev_from:
            ground = self._ground(batch, lenses, cells, points, depth, context)
            loss.terms["ground"] = self.settings.bev_weight * ground
        return loss

    def _plane(
        self,
        batch: Batch,
        cells: Cells,
        points: Float[Tensor, "cells width"],
        pixels: Float[Tensor, "images h w width"],
    ) -> Float[Tensor, ""]:
        """SLidR: means over superpixels that hold at least one pair."""
        segments = Segments.of(batch)
        anchors, count = segments.point_means(batch, cells, points)
        targets = segments.pixel_means(pixels)
        return info_nce(anchors[count > 0], targets[count > 0], self.settings.temperature)

    def _ground(
        self,
        batch: Batch,
        lenses: Lenses,
        cells: Cells,
        points: Float[Tensor, "cells width"],
        depth: ImageMaps,
        context: ImageMaps,
    ) -> Float[Tensor, ""]:
        """Columns of voxels against what the images say of their places, all of the batch."""
        first = batch.voxels.first
        features, places = self.columns(
            cells.at(points, first), batch.voxels.xyz[first], batch.view[first]
        )
        view, x, y = places[:, 0], places[:, 1], places[:, 2]
        x, y = x + self.grid.side // 2, y + self.grid.side // 2
        kept = (x > 0) & (x < self.grid.side) & (y > 0) & (y < self.grid.side)
        number = self.grid.number(view, x, y)[kept]
        wanted, column = torch.unique(number, return_inverse=True)
        shape = depth.shape[2], depth.shape[3]
        depths_m = self.bins.lower_edges(depth.device)
        frustum = frustum_cells(self.grid, lenses, batch.motion, shape, batch.images.size, depths_m)
        n_cells = len(batch.motion) * self.grid.side**2
        seen = unit(lift(depth, context, frustum, wanted, n_cells))
        return contrast(unit(features[kept]), seen, self.settings.temperature, column)

    @staticmethod
    def plan_views(
        settings: HvdistillSettings, scans: Sequence[ScanInput], rng: np.random.Generator
    ) -> ViewPlan:
        """Of every scan the points in a box around the sensor."""
        views = []
        for number, scan in enumerate(scans):
            x, y, z = scan.xyz.T
            near = (np.abs(x) < settings.half_extent_m) & (np.abs(y) < settings.half_extent_m)
            kept = np.flatnonzero(near & (z > settings.lowest_m) & (z < settings.highest_m))
            views.append(View(((number, kept.astype(np.int64)),)))
        return ViewPlan(tuple(views), (None,) * len(scans))


class _Bridge(nn.Module):
    """From embeddings, upsampled as the contrast sees them, back to maps as the teacher makes them.

    A convolution of 2 by stride 2 and one of 3 by stride 2, each with BatchNorm.
    """

    def __init__(self, width: int, wide: int) -> None:
        super().__init__()
        self.patches = nn.Linear(4 * width, 2 * width)
        self.rest = nn.Sequential(
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
            nn.Conv2d(2 * width, wide, kernel_size=3, stride=2, padding=1),
            nn.BatchNorm2d(wide),
        )

    def forward(self, grids: Float[Tensor, "images h w width"]) -> ImageMaps:
        # An image at a time, so that upsampled embeddings stay in a core's cache.
        halved = torch.stack([self._halved(grid) for grid in grids])
        maps: Tensor = self.rest(halved.permute(0, 3, 1, 2))
        return maps

    def _halved(self, grid: Float[Tensor, "h w width"]) -> Float[Tensor, "H W wide"]:
        """The first convolution: its patches do not overlap, so it is a product of matrices."""
        height, width, channels = grid.shape
        dense = unit(upsampled(grid[None], (BRIDGE * height, BRIDGE * width)))
        halves = BRIDGE * height // 2, BRIDGE * width // 2
        patches = dense.view(halves[0], 2, halves[1], 2, channels).transpose(1, 2)
        halved: Tensor = self.patches(patches.reshape(*halves, 4 * channels))
        return halved
