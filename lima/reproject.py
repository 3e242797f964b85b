"""Where points of one frame would be in the images of another: LiMA's alignment by projection.

Offers `Gaze`, how the cameras of a frame looked: `Gaze.of` a scan, `Gaze.pairs` of any points with
its images, `Gaze.front` of pairs that are already known. Rule: methods-temporal 3.4, ``reproject``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from lima_bench.lima.batch import Images, PairIndex
from lima_bench.lima.occlusion import nearest_depths, shown

MIN_DEPTH_M = 1.0
"""Along the camera's axis; what is nearer makes no pair, as in `lima_bench.lima.pairs`."""


@dataclass(frozen=True)
class Gaze:
    """How the cameras of one frame looked at the world.

    Attributes:
        first: Number, in its batch, of the first of its images.
        size: (height, width) of the resized images, pixels.
        grid: (height, width) of their features, cells.
        intrinsic: In those pixels, float64.
        camera_to_lidar: Camera at its own time to LiDAR at the frame's time, float64.
        nearest_m: The nearest depth in every cell of a coarse image (`lima_bench.lima.occlusion`),
            if what is hidden is to make no pair.
    """

    first: int
    size: tuple[int, int]
    grid: tuple[int, int]
    intrinsic: Float[Tensor, "cameras 3 3"]
    camera_to_lidar: Float[Tensor, "cameras 4 4"]
    nearest_m: Float[Tensor, "cameras rows cols"] | None = None

    @classmethod
    def of(cls, images: Images, scan: int, grid: tuple[int, int]) -> Gaze:
        """That of a scan of a batch, given by its number."""
        lenses = images.lenses
        if lenses is None:
            raise ValueError("the batch does not say how its images look at the world")
        ours = torch.nonzero(lenses.scan == scan).squeeze(1)
        first = int(ours[0]) if len(ours) else 0
        intrinsic, pose = lenses.intrinsic[ours], lenses.camera_to_lidar[ours]
        return cls(first, images.size, grid, intrinsic, pose)

    @property
    def cells(self) -> slice:
        """The feature cells of these images among those of their batch."""
        n_cells = self.grid[0] * self.grid[1]
        return slice(self.first * n_cells, (self.first + len(self.intrinsic)) * n_cells)

    def with_depths(self, xyz: Float[Tensor, "points 3"], pairs: PairIndex) -> Gaze:
        """The same, in which the points of `pairs` hide what is behind them."""
        camera = pairs.image - self.first
        shape = (len(self.intrinsic), *self.size)
        nearest = nearest_depths(camera, pairs.row, pairs.col, self._depths(xyz, pairs), shape)
        return replace(self, nearest_m=nearest)

    def front(self, xyz: Float[Tensor, "points 3"], pairs: PairIndex) -> PairIndex:
        """Those of the frame's own pairs whose points are not hidden."""
        if self.nearest_m is None:
            return pairs
        camera, depth = pairs.image - self.first, self._depths(xyz, pairs)
        return pairs.at(shown(self.nearest_m, camera, pairs.row, pairs.col, depth))

    def pairs(self, xyz: Float[Tensor, "points 3"], carry: Float[Tensor, "4 4"]) -> PairIndex:
        """The pairs of another frame's points with these images, which count from 0.

        A pair needs a depth above 1 m and ``0 < u < width - 1``, ``0 < v < height - 1``, strict, in
        the resized image; its pixel is the nearest one. The loader rounds in the full image first,
        so that for one and the same frame a pixel of its own may be one further.

        Args:
            xyz: Metres, in the other frame's LiDAR frame.
            carry: From there to this frame's LiDAR frame, float64.
        """
        to_camera = torch.linalg.inv(self.camera_to_lidar) @ carry
        local = torch.einsum("cij,nj->cni", to_camera[:, :3, :3], xyz.double())
        local = local + to_camera[:, None, :3, 3]
        depth = local[..., 2]
        u, v, _ = (torch.einsum("cij,cnj->icn", self.intrinsic, local) / depth).unbind()
        seen = (depth > MIN_DEPTH_M) & _inside(u, self.size[1]) & _inside(v, self.size[0])
        camera, point = torch.nonzero(seen, as_tuple=True)
        found = PairIndex(point, camera, v[seen].round().long(), u[seen].round().long())
        if self.nearest_m is None:
            return found
        front = shown(self.nearest_m, found.image, found.row, found.col, depth[seen])
        return found.at(front)

    def _depths(self, xyz: Float[Tensor, "points 3"], pairs: PairIndex) -> Float[Tensor, " pairs"]:
        """Along the axis of the camera of each pair, metres, float64."""
        pose = self.camera_to_lidar[pairs.image - self.first]
        offset = xyz[pairs.point].double() - pose[:, :3, 3]
        depth: Tensor = (offset * pose[:, :3, 2]).sum(dim=1)
        return depth


def _inside(place: Tensor, length: int) -> Tensor:
    return (place > 0) & (place < length - 1)
