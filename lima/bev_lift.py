"""Images laid out on the ground: depth and context of image cells -> features of bird's-eye cells.

Offers `BevGrid`, `frustum_cells` and `lift`. Each image cell sends its context along its ray, to
every depth as much as that depth is likely (Lift-Splat, ECCV 2020). What all rays would carry,
cells times depths times channels, is never made: a bird's-eye cell is a weighted sum of contexts,
and only cells that somebody asks for are summed.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from lima_bench.lima.batch import Lenses
from lima_bench.lima.losses import widen


@dataclass(frozen=True)
class BevGrid:
    """Square cells around the sensor.

    Attributes:
        half_extent_m: The grid reaches so far in x and y, either way.
        cell_m: Edge of a cell.
        half_height_m: What is farther up or down than this lies in no cell.
    """

    half_extent_m: float
    cell_m: float
    half_height_m: float

    @property
    def side(self) -> int:
        """Cells along x, and along y."""
        return round(2 * self.half_extent_m / self.cell_m)

    def number(
        self,
        view: Int[Tensor, "*places"],
        x: Int[Tensor, "*places"],
        y: Int[Tensor, "*places"],
    ) -> Int[Tensor, "*places"]:
        """One number for a cell of one view's grid."""
        return (view * self.side + x) * self.side + y

    def cells(self, view: int, xyz: Float[Tensor, "3 *points"]) -> Int[Tensor, "*points"]:
        """The number of the cell of each point of a view; -1 for none."""
        x, y = (((along + self.half_extent_m) / self.cell_m).floor_() for along in xyz[:2])
        inside = (x >= 0) & (x < self.side) & (y >= 0) & (y < self.side)
        inside &= (xyz[2] >= -self.half_height_m) & (xyz[2] < self.half_height_m)
        number = self.number(torch.tensor(view, device=xyz.device), x.long(), y.long())
        return torch.where(inside, number, -1)


def frustum_cells(
    grid: BevGrid,
    lenses: Lenses,
    motion: Float[Tensor, "views 4 4"],
    shape: tuple[int, int],
    size: tuple[int, int],
    depths_m: Float[Tensor, " depths"],
) -> Int[Tensor, "images depths h w"]:
    """The bird's-eye cell of every image cell at every depth; -1 outside of the grid.

    Args:
        grid: In the frame of the augmented cloud, so that both sides mean the same place.
        lenses: Of the images.
        motion: What moved the cloud of each scan: augmented from LiDAR frame.
        shape: (h, w) of image cells; those at the corners lie on the corner pixels.
        size: (height, width) of the images, in the pixels of `lenses`.
        depths_m: Along the camera's axis.
    """
    device = lenses.intrinsic.device
    row, col = (
        torch.linspace(0, pixels - 1, n, device=device, dtype=torch.float64)
        for pixels, n in zip(size, shape, strict=True)
    )
    pixel = torch.stack(
        [col.expand(shape), row[:, None].expand(shape), torch.ones_like(col).expand(shape)]
    )
    to_cloud = motion[lenses.scan].double() @ lenses.camera_to_lidar
    turn = to_cloud[:, :3, :3] @ torch.linalg.inv(lenses.intrinsic)
    found = torch.empty((len(lenses.scan), len(depths_m), *shape), dtype=torch.int64, device=device)
    for image, view in enumerate(lenses.scan.tolist()):
        # In double precision: whole depths straight ahead lie on the edges of cells.
        rays = torch.einsum("ij,jhw->ihw", turn[image], pixel)[:, None]
        camera = to_cloud[image, :3, 3, None, None, None]
        found[image] = grid.cells(view, camera + depths_m.double()[:, None, None] * rays)
    return found


def lift(
    depth: Float[Tensor, "images depths h w"],
    context: Float[Tensor, "images width h w"],
    cells: Int[Tensor, "images depths h w"],
    wanted: Int[Tensor, " wanted"],
    n_cells: int,
) -> Float[Tensor, "wanted width"]:
    """What arrives at some bird's-eye cells: the sum of ``depth * context``; 0 where nothing does.

    Args:
        depth: How likely each image cell is so far.
        context: What each image cell sends.
        cells: The number of the bird's-eye cell of each image cell at each depth, or -1.
        wanted: Different numbers.
        n_cells: How many numbers there are.
    """
    images, n_depths, height, width = depth.shape
    n_pixels = height * width
    slot = torch.full((n_cells + 1,), -1, device=cells.device)
    slot[wanted] = torch.arange(len(wanted), device=cells.device)
    target = slot[cells.flatten()]  # -1 reads the last entry, which nobody wants
    arriving = torch.nonzero(target >= 0).squeeze(1)
    target = target[arriving]
    arriving = arriving[torch.argsort(target, stable=True)]
    count = torch.bincount(target, minlength=len(wanted))
    sender = arriving // (n_depths * n_pixels) * n_pixels + arriving % n_pixels
    return F.embedding_bag(
        sender,
        widen(context).permute(0, 2, 3, 1).reshape(images * n_pixels, -1),
        count.cumsum(0) - count,
        mode="sum",
        per_sample_weights=widen(depth).flatten().index_select(0, arriving),
    )
