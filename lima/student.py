"""The student: a backbone whose features are handed back to the points.

Offers `Student`.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lima_bench.lima.backbones.backbone import Backbone
from lima_bench.lima.readout import Cells
from lima_bench.lima.voxels import Voxels


class Student(nn.Module):
    """A 3D backbone, asked per cell or per point.

    Args:
        backbone: Gives features per cell.
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    @property
    def width(self) -> int:
        """Channels of a point's feature."""
        return self.backbone.width

    def forward(self, voxels: Voxels) -> Float[Tensor, "points width"]:
        """One feature per point that went into the voxels."""
        cells = self.cells(voxels)
        return cells.at(
            cells.features, torch.arange(len(voxels.inverse), device=voxels.inverse.device)
        )

    def cells(self, voxels: Voxels) -> Cells:
        """What the network says, for those who need few points or compute per cell first."""
        return Cells(self.backbone(voxels), self.backbone.readout(voxels))
