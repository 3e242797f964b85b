"""SECOND's anchors: boxes of one size per class, at every place of the map, in every rotation.

Offers `AnchorGrid`, `anchor_grid` and `upright`. A *slot* is one class in one rotation: anchors
differ by frame, slot, row and column, and are numbered in this order. Slots follow the groups of
classes, so that those of a group lie side by side (OpenPCDet,
pcdet/models/dense_heads/target_assigner/anchor_generator.py; detection 4).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lima_bench.common.errors import UserError
from lima_bench.datasets.detection_facts import DetectionFacts
from lima_bench.downstream.detection.groups import labels_of_groups
from lima_bench.downstream.detection.head import MapGrid
from lima_bench.downstream.detection.second.settings import AnchorSettings, SecondSettings
from lima_bench.downstream.detection.settings import Groups


@dataclass(frozen=True)
class AnchorGrid:
    """Where the anchors stand, never written out one by one.

    Attributes:
        x: Of each column, metres, ascending; double precision, as all that is not counted.
        y: Of each row.
        slots: z of the middle, length, width, height, yaw.
        positive: Of each slot, the overlap from which an anchor learns an object.
        negative: The overlap below which it is background.
        first_slot: Of each class by the card's `detection`; -1 if no group has it.
        rotations: Slots of each class.
    """

    x: Float[Tensor, " columns"]
    y: Float[Tensor, " rows"]
    slots: Float[Tensor, "slots 5"]
    positive: Float[Tensor, " slots"]
    negative: Float[Tensor, " slots"]
    first_slot: Int[Tensor, " classes"]
    rotations: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Slots, rows, columns."""
        return len(self.slots), len(self.y), len(self.x)

    @property
    def n_anchors(self) -> int:
        """Of one frame."""
        return math.prod(self.shape)

    def places(self, anchors: Int[Tensor, " chosen"]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Frame, slot, row and column of anchors, by their numbers."""
        slots, rows, columns = self.shape
        line = anchors // columns
        return line // rows // slots, line // rows % slots, line % rows, anchors % columns

    def boxes(self, anchors: Int[Tensor, " chosen"]) -> Float[Tensor, "chosen 7"]:
        """x, y, z, length, width, height, yaw of anchors, by their numbers."""
        _, slot, row, column = self.places(anchors)
        return torch.cat((self.x[column, None], self.y[row, None], self.slots[slot]), 1)


def anchor_grid(
    settings: SecondSettings, groups: Groups, facts: DetectionFacts, grid: MapGrid
) -> AnchorGrid:
    """The anchors of all groups over a map, on the CPU.

    Args:
        settings: Sizes, rotations, thresholds, and how anchors lie on the map.
        groups: Names of classes.
        facts: Says which label each name has.
        grid: The map.

    Raises:
        UserError: The groups are not made of classes of `facts`; or the map has one row or column
            only, between whose borders nothing can be spread.
    """
    order = [label for group in labels_of_groups(groups, facts) for label in group]
    first_slot = torch.full((len(facts.names),), -1)
    first_slot[order] = torch.arange(len(order)) * len(settings.rotations)
    chosen = [settings.anchors[facts.names[label]] for label in order for _ in settings.rotations]
    yaw = settings.rotations * len(order)
    rows, columns = grid.shape
    return AnchorGrid(
        _positions(settings, grid.lower[0], grid.cell_m[0], columns),
        _positions(settings, grid.lower[1], grid.cell_m[1], rows),
        _double([_slot(one, turn) for one, turn in zip(chosen, yaw, strict=True)]),
        _double([one.positive for one in chosen]),
        _double([one.negative for one in chosen]),
        first_slot,
        len(settings.rotations),
    )


def upright(
    length: Float[Tensor, " boxes"], width: Float[Tensor, " boxes"], yaw: Float[Tensor, " boxes"]
) -> Float[Tensor, "boxes 2"]:
    """Extents along x and y of each box, turned to the nearest axis.

    Length and width change places where the yaw, taken to -pi/2..pi/2, lies beyond +-pi/4.
    """
    turned = (yaw - math.pi * (yaw / math.pi + 0.5).floor()).abs() > math.pi / 4
    return torch.stack((torch.where(turned, width, length), torch.where(turned, length, width)), 1)


def _slot(one: AnchorSettings, yaw: float) -> tuple[float, float, float, float, float]:
    length, width, height = one.size
    return one.bottom_m + height / 2, length, width, height, yaw


def _double(numbers: list[Any]) -> Float[Tensor, "..."]:
    return torch.tensor(numbers, dtype=torch.float64)


def _positions(
    settings: SecondSettings, lower: float, cell_m: float, n_cells: int
) -> Float[Tensor, " cells"]:
    if settings.anchor_grid == "centred":
        return lower + cell_m * (torch.arange(n_cells, dtype=torch.float64) + 0.5)
    if n_cells < 2:
        raise UserError(
            "head.anchor_grid = spread",
            "Anchors cannot be spread from border to border of a map that is one cell wide.",
            "Take a wider grid of voxels, or anchor_grid: centred.",
        )
    return torch.linspace(lower, lower + cell_m * n_cells, n_cells, dtype=torch.float64)
