"""CenterPoint's head: features -> `Maps` -> `Loss`, or `Detections`.

Offers `CenterPointHead`. Layers as in mmdetection3d's CenterHead, first weights as in OpenPCDet
(detection 2.3, 3.3): its heat maps begin at a score of a tenth everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lima_bench.datasets.detection_facts import DetectionFacts
from lima_bench.downstream.detection.boxes import Detections, Truth
from lima_bench.downstream.detection.branches import branch_maps
from lima_bench.downstream.detection.centerpoint.code import BRANCHES, weights_of
from lima_bench.downstream.detection.centerpoint.decode import found_in
from lima_bench.downstream.detection.centerpoint.focal import centre_focal_loss
from lima_bench.downstream.detection.centerpoint.settings import (
    CenterPointRecipe,
    CenterPointSettings,
)
from lima_bench.downstream.detection.centerpoint.targets import Targets, build_targets
from lima_bench.downstream.detection.groups import labels_of_groups
from lima_bench.downstream.detection.head import MapGrid, Maps
from lima_bench.downstream.detection.ranked import best_first
from lima_bench.lima.loss import Loss
from lima_bench.lima.losses import full_precision, widen

HEATMAP = "heatmap"

FEW = 1e-4
"""Added to the number of boxes that their loss is divided by, as published."""


class CenterPointHead(nn.Module):
    """A heat map of centres for every class, and what a box is like at each cell.

    Args:
        in_channels: Of the features.
        recipe: Groups of classes, and the head's settings.
        facts: Which classes there are.
        grid: Where the map lies.

    Raises:
        UserError: The groups are not made of classes of `facts`.
    """

    def __init__(
        self, in_channels: int, recipe: CenterPointRecipe, facts: DetectionFacts, grid: MapGrid
    ) -> None:
        super().__init__()
        self.settings, self.grid = recipe.head, grid
        self.labels = labels_of_groups(recipe.groups, facts)
        self.shared = _convolved(in_channels, self.settings.shared)
        self.groups = nn.ModuleList(_Branches(self.settings, len(one)) for one in self.labels)

    def forward(self, features: Float[Tensor, "frames channels height width"]) -> Maps:
        """Raw maps of every group: ``heatmap`` before the sigmoid, and `BRANCHES`."""
        if tuple(features.shape[2:]) != self.grid.shape:
            raise ValueError(f"features {tuple(features.shape)} on a map of {self.grid.shape}")
        groups = [group for group in self.groups if isinstance(group, nn.ModuleDict)]
        return branch_maps([dict(one) for one in groups], self.shared(features))

    def loss(self, maps: Maps, truth: Sequence[Truth]) -> Loss:
        """The heat maps' focal loss, and the L1 loss of boxes, both summed over groups.

        Raises:
            UserError: A box has a number that is none; velocities may be NaN.
        """
        if len(truth) != len(maps[0][HEATMAP]):
            raise ValueError(f"{len(truth)} truths of {len(maps[0][HEATMAP])} frames")
        targets = build_targets(truth, self.labels, self.grid, self.settings)
        weights = weights_of(self.settings)
        pairs = list(zip(maps, targets, strict=True))
        heat = [centre_focal_loss(one[HEATMAP], target.heatmap) for one, target in pairs]
        box = [box_loss(one, target, weights) for one, target in pairs]
        return Loss(
            heatmap=torch.stack(heat).sum(), box=self.settings.box_weight * torch.stack(box).sum()
        )

    @torch.no_grad()
    def decode(self, maps: Maps) -> list[Detections]:
        """Boxes of every frame, after NMS inside each group, best first."""
        return [self._found(maps, frame) for frame in range(len(maps[0][HEATMAP]))]

    def _found(self, maps: Maps, frame: int) -> Detections:
        return best_first(
            [
                found_in(
                    {name: one[frame] for name, one in group.items()},
                    number,
                    labels,
                    self.grid,
                    self.settings,
                )
                for number, (group, labels) in enumerate(zip(maps, self.labels, strict=True))
            ]
        )


def box_loss(
    maps: dict[str, Float[Tensor, "frames channels rows columns"]],
    targets: Targets,
    weights: Sequence[float],
) -> Float[Tensor, ""]:
    """L1 distance of codes at the objects' cells, by object; 0 without any.

    Args:
        maps: Of one group.
        targets: Of it; what is NaN of a code is not learnt.
        weights: Of each number of a code.
    """
    place = (targets.frame, slice(None), targets.row, targets.column)
    with full_precision(targets.code.device):
        said = torch.cat([widen(maps[name][place]) for name in BRANCHES], 1)
        known = targets.code.isfinite()
        error = (said - targets.code.where(known, 0)).abs() * known
        return (error * error.new_tensor(weights)).sum() / (len(error) + FEW)


class _Branches(nn.ModuleDict):
    """What one group of classes asks: the regression branches begin as Kaiming, all else as torch.

    OpenPCDet takes the fan in, CenterPoint's first code the fan out.
    """

    def __init__(self, settings: CenterPointSettings, n_classes: int) -> None:
        channels = {**BRANCHES, HEATMAP: n_classes}
        super().__init__({name: _branch(settings, width) for name, width in channels.items()})
        for name in BRANCHES:
            for module in self[name].modules():
                if isinstance(module, nn.Conv2d):
                    nn.init.kaiming_normal_(module.weight)
                    if module.bias is not None:
                        nn.init.zeros_(module.bias)
        heatmap_bias = self[HEATMAP].get_parameter("1.bias")
        if settings.heatmap_bias is not None:
            nn.init.constant_(heatmap_bias, settings.heatmap_bias)


def _branch(settings: CenterPointSettings, channels: int) -> nn.Sequential:
    inside = _convolved(settings.shared, settings.branch)
    return nn.Sequential(inside, nn.Conv2d(settings.branch, channels, 3, padding=1))


def _convolved(in_channels: int, width: int) -> nn.Sequential:
    convolution = nn.Conv2d(in_channels, width, 3, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU(inplace=True))
