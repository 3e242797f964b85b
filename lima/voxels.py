"""Points -> voxels and back: cylindrical or Cartesian cells, with the map from point to voxel."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Voxels:
    """Occupied cells of a batch of clouds.

    Attributes:
        coords: Batch index and three cell indices (never negative); rows sorted and unique.
        features: Input features of each cell (of the first point that fell in it).
        inverse: For each point, its cell.
        first: For each cell, its first point.
        n_clouds: Number of clouds in the batch.
    """

    coords: Int[Tensor, "voxels 4"]
    features: Float[Tensor, "voxels channels"]
    inverse: Int[Tensor, " points"]
    first: Int[Tensor, " voxels"]
    n_clouds: int
