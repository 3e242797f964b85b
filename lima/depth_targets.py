"""How far the cells of an image are, as the LiDAR measured it: pairs -> depth bins -> loss.

Offers `DepthBins`, `nearest_depths` and `depth_loss`. Source: methods-spatial 7.3.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from lima_bench.lima.batch import Batch, Lenses, PairIndex
from lima_bench.lima.losses import full_precision, widen
from lima_bench.lima.rows import paired_rows


@dataclass(frozen=True)
class DepthBins:
    """Depths in steps: bin n holds depths from ``start + n step`` to ``start + (n + 1) step``.

    Attributes:
        start_m: Where the first bin begins.
        step_m: Width of a bin.
        count: How many.
    """

    start_m: float
    step_m: float
    count: int

    @classmethod
    def between(cls, start_m: float, stop_m: float, step_m: float) -> DepthBins:
        """Bins that fill a range."""
        return cls(start_m, step_m, round((stop_m - start_m) / step_m))

    def of(self, depth_m: Float[Tensor, "*cells"]) -> Int[Tensor, "*cells"]:
        """The bin of each depth, -1 of one that lies in none."""
        number = ((depth_m - self.start_m) / self.step_m).floor()
        inside = (number >= 0) & (number < self.count)
        return torch.where(inside, number, -1).long()

    def lower_edges(self, device: torch.device) -> Float[Tensor, " bins"]:
        """Where the bins begin, in metres: the depths that a lifted image is thought to have."""
        return self.start_m + self.step_m * torch.arange(self.count, device=device)


def nearest_depths(
    batch: Batch, lenses: Lenses, shape: tuple[int, int]
) -> Float[Tensor, "images h w"]:
    """The least depth of any point that projects into each cell, metres; infinite without one.

    Only points that the student sees count, and of several at one pixel the last, as where a depth
    map is written point by point.

    Args:
        batch: Its pairs and points are read.
        lenses: Of its images.
        shape: (h, w) of the grid of cells that an image is divided into.
    """
    (height, width), pairs = batch.images.size, batch.pairs.at(paired_rows(batch)[0])
    pixel = (pairs.image * height + pairs.row) * width + pairs.col
    numbers = torch.arange(len(pixel), device=pixel.device)
    last = torch.full((len(lenses.scan) * height * width,), -1, device=pixel.device)
    last.scatter_reduce_(0, pixel, numbers, "amax")
    chosen = last[last >= 0]
    image = pairs.image[chosen]
    row = pairs.row[chosen] * shape[0] // height
    col = pairs.col[chosen] * shape[1] // width
    depth = _depths(batch, lenses, pairs)[chosen]
    nearest = depth.new_full((len(lenses.scan) * shape[0] * shape[1],), torch.inf)
    nearest.scatter_reduce_(0, (image * shape[0] + row) * shape[1] + col, depth, "amin")
    return nearest.view(-1, *shape)


def _depths(batch: Batch, lenses: Lenses, pairs: PairIndex) -> Float[Tensor, " pairs"]:
    """How far ahead of its camera the point of each pair lies, metres."""
    pose, image = lenses.camera_to_lidar, pairs.image
    way = batch.xyz[pairs.point].double() - pose[image, :3, 3]
    return (way * pose[image, :3, 2]).sum(dim=1)


def depth_loss(
    depth: Float[Tensor, "images depths h w"], bins: Int[Tensor, "images h w"]
) -> Float[Tensor, ""]:
    """Mean binary cross-entropy of every probability against "it is this bin"; 0 without a bin.

    Args:
        depth: Probabilities that sum to 1 over depths.
        bins: The bin of each cell; cells with -1 take no part.
    """
    known = torch.nonzero(bins.flatten() >= 0).squeeze(1)
    found = widen(depth).permute(0, 2, 3, 1).flatten(0, 2)[known]
    wanted = F.one_hot(bins.flatten()[known], depth.shape[1]).to(found.dtype)
    # Mixed precision refuses this loss, although its operands are wide here.
    with full_precision(depth.device):
        total = F.binary_cross_entropy(found.clamp(0, 1), wanted, reduction="sum")
    return total / max(wanted.numel(), 1)
