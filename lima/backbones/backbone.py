"""What every student network offers: `Backbone`, voxels in, one feature per cell out."""

from __future__ import annotations

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor, nn

from lima_bench.common.errors import UserError
from lima_bench.lima.readout import OneCell, Readout
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
    def forward(self, voxels: Voxels) -> Float[Tensor, "cells width"]:
        """A feature for each cell of its output: by default, for each voxel of `voxels.coords`."""

    def readout(self, voxels: Voxels) -> Readout:
        """How the points that went into `voxels` read values kept per cell of the output.

        Raises:
            UserError: The grid has bounds, so that some points lie in no voxel.
        """
        if voxels.grid is not None:
            raise UserError(
                f"backbone {type(self).__name__}",
                "Its points read the voxels that they lie in; a grid with bounds leaves some out.",
                "Take voxels.bounds out of the student's recipe, or choose voxelnet.",
            )
        return OneCell(voxels.inverse)
