"""The student: a backbone whose voxel features are handed back to the points.

Offers `Student`.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from lima_bench.lima.backbones.backbone import Backbone
from lima_bench.lima.take import take_rows
from lima_bench.lima.voxels import Voxels


class Student(nn.Module):
    """A 3D backbone, asked per point or per voxel.

    Args:
        backbone: Gives features per voxel.
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    @property
    def width(self) -> int:
        """Channels of a point's feature."""
        return self.backbone.width

    def forward(self, voxels: Voxels) -> Float[Tensor, "points width"]:
        """Each point takes the feature of its voxel."""
        return take_rows(self.per_voxel(voxels), voxels.inverse)

    def per_voxel(self, voxels: Voxels) -> Float[Tensor, "voxels width"]:
        """The features themselves, for those who need few points or go over them in parts."""
        features: Tensor = self.backbone(voxels)
        return features
