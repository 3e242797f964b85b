"""What every student network offers: `Backbone`, voxels in, one feature per voxel out."""

from __future__ import annotations

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor, nn

from lima_bench.lima.voxels import Voxels


class Backbone(nn.Module, ABC):
    """A network over a sparse grid.

    Attributes:
        width: Channels of its output.
        n_levels: Resolutions that it works at.
    """

    width: int
    n_levels: int

    @abstractmethod
    def forward(self, voxels: Voxels) -> Float[Tensor, "voxels width"]:
        """A feature for each voxel, in the order of `voxels.coords`."""
