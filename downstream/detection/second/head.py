"""SECOND's head: for every anchor, whether it is an object and how the object differs from it.

Offers `SecondHead`. A convolution that all groups of classes share; then, group by group, six
branches: scores, and the five parts of a box's code. As in OpenPCDet's multi-head configuration for
nuScenes (cbgs_second_multihead.yaml, pcdet/models/dense_heads/anchor_head_multi.py; detection 4):
the scores of a group are about its own classes alone, and there is no direction classifier.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lima_bench.common.errors import UserError
from lima_bench.datasets.detection_facts import DetectionFacts
from lima_bench.downstream.detection.boxes import Detections, Truth
from lima_bench.downstream.detection.branches import branch_maps
from lima_bench.downstream.detection.groups import labels_of_groups
from lima_bench.downstream.detection.head import MapGrid, Maps
from lima_bench.downstream.detection.second.anchors import AnchorGrid, anchor_grid
from lima_bench.downstream.detection.second.assign import assign
from lima_bench.downstream.detection.second.decode import found_in_frame
from lima_bench.downstream.detection.second.losses import box_loss, classification_loss
from lima_bench.downstream.detection.second.maps import SCORES, Group, Read, groups_of
from lima_bench.downstream.detection.second.settings import SecondRecipe, SecondSettings
from lima_bench.downstream.detection.stacked import stacked
from lima_bench.lima.loss import Loss
from lima_bench.lima.tree import to_device

CPU = torch.device("cpu")

EPS = 1e-3
"""Of the shared BatchNorm; those inside the branches have torch's own."""


class SecondHead(nn.Module):
    """A `lima_bench.downstream.detection.head.Head`.

    Args:
        in_channels: Of the 2D network's output.
        recipe: Its groups of classes, and everything in ``recipe.head``.
        facts: Which classes there are, and how many boxes of a frame count.
        grid: Where the map lies.

    Raises:
        UserError: The groups do not fit the classes, or the map has no room for anchors.
    """

    def __init__(
        self, in_channels: int, recipe: SecondRecipe, facts: DetectionFacts, grid: MapGrid
    ) -> None:
        super().__init__()
        self.settings = settings = recipe.head
        self.most_boxes = facts.most_boxes
        anchors = anchor_grid(settings, recipe.groups, facts, grid)
        self._anchors = {CPU: anchors}
        self._shape = grid.shape
        self.groups = groups_of(labels_of_groups(recipe.groups, facts), anchors.rotations)
        self.shared = nn.Sequential(
            nn.Conv2d(in_channels, settings.shared, 3, padding=1, bias=False),
            nn.BatchNorm2d(settings.shared, eps=EPS, momentum=recipe.bn_momentum),
            nn.ReLU(inplace=True),
        )
        self.branches = nn.ModuleList(
            nn.ModuleDict(
                {name: _branch(settings, name, width) for name, width in group.widths.items()}
            )
            for group in self.groups
        )

    def forward(self, features: Float[Tensor, "frames channels height width"]) -> Maps:
        """Raw maps by group: ``classes`` and the parts of a code.

        Raises:
            UserError: The map is not of the size for which anchors were laid.
        """
        if tuple(features.shape[2:]) != self._shape:
            height, width = features.shape[2:]
            raise UserError(
                "detector: head",
                f"The map has {height} x {width} cells, and anchors were laid for "
                f"{self._shape[0]} x {self._shape[1]}.",
                "Let the 2D network's output have the size of the encoder's map: rows and columns "
                "that its strides divide.",
            )
        groups = [group for group in self.branches if isinstance(group, nn.ModuleDict)]
        return branch_maps([dict(one) for one in groups], self.shared(features))

    def loss(self, maps: Maps, truth: Sequence[Truth]) -> Loss:
        """Focal loss of every score and L1 of the codes of anchors that learn an object.

        Both are divided by the number of such anchors in their frame, all classes together and at
        least 1, and are means over the batch.

        Raises:
            UserError: A box holds something that is no number, other than a speed of NaN.
        """
        if len(truth) != len(maps[0][SCORES]):
            raise ValueError(f"maps of {len(maps[0][SCORES])} frames, truth of {len(truth)}")
        objects = stacked(truth)
        boxes, label, frame = objects.boxes, objects.label, objects.frame
        anchors = self._anchors_on(boxes.device)
        lesson = assign(boxes, label, frame, anchors)
        counts = (lesson.positive // anchors.n_anchors).bincount(minlength=len(truth))
        share = 1 / (counts.clamp_min(1).double() * len(truth))
        read = self._read(maps)
        return Loss(
            classification=classification_loss(read, lesson, share, anchors, self.settings),
            box=box_loss(read, lesson, share, anchors, boxes, self.settings),
        )

    @torch.no_grad()
    def decode(self, maps: Maps) -> list[Detections]:
        """Boxes of every frame, best first, after NMS of each class by itself."""
        scores = maps[0][SCORES]
        anchors, read = self._anchors_on(scores.device), self._read(maps)
        return [
            found_in_frame(read, frame, anchors, self.settings, self.most_boxes)
            for frame in range(len(scores))
        ]

    def _anchors_on(self, device: torch.device) -> AnchorGrid:
        if device not in self._anchors:
            self._anchors[device] = to_device(self._anchors[CPU], device)
        return self._anchors[device]

    def _read(self, maps: Maps) -> list[tuple[Group, Read]]:
        return [
            (group, group.read(one, self.settings.branches))
            for group, one in zip(self.groups, maps, strict=True)
        ]


def _branch(settings: SecondSettings, name: str, out_channels: int) -> nn.Sequential:
    """Two convolutions; scores begin at the prior, codes with Kaiming over the outputs."""
    first = nn.Conv2d(settings.shared, settings.branch, 3, padding=1, bias=False)
    last = nn.Conv2d(settings.branch, out_channels, 3, padding=1)
    assert last.bias is not None
    if name == SCORES:
        nn.init.constant_(last.bias, -math.log((1 - settings.prior) / settings.prior))
    else:
        for layer in (first, last):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(last.bias)
    return nn.Sequential(first, nn.BatchNorm2d(settings.branch), nn.ReLU(inplace=True), last)
