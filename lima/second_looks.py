"""Two looks at the same scan, row by row: Batch -> voxels of the first that meet the second.

Offers `second_looks` (which views to show), `TwinVoxels` (which voxel is which) and
`voxels_of_views` (the input of some views by itself, as `SomeVoxels`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Int
from torch import Tensor

from lima_bench.lima.batch import Batch
from lima_bench.lima.views import ScanInput, ViewPlan, plain_plan
from lima_bench.lima.voxels import Voxels


def second_looks(scans: Sequence[ScanInput]) -> ViewPlan:
    """Every scan, then every frame of the step once more; neighbouring keyframes are blind.

    What a recipe cuts out of a frame is missing in its second look too; neighbours stay whole.
    """
    plain = plain_plan(scans)
    anchors = [n for n, scan in enumerate(scans) if scan.anchor in (None, n)]
    first = (replace(view, whole=n not in anchors) for n, view in enumerate(plain.views))
    again = (replace(plain.views[n], again=n) for n in anchors)
    cameras = tuple(None if n in anchors else () for n in range(len(scans)))
    return ViewPlan((*first, *again), cameras)


@dataclass(frozen=True)
class TwinVoxels:
    """The voxels of the step's frames, each with its counterpart in the second look.

    A voxel's first point stands for it, and its counterpart is the voxel where that point lies in
    the second look. Voxels with the same counterpart are one: the first of them stands for all.
    Those without one take no part: outside of a grid with bounds.

    Attributes:
        row: Of the student's input: the point that stands for each, in the first look.
        twin: The row of that point in the second look.
        count: For each frame, how many there are; they lie frame after frame.
        number: For each row of the student's input, the one that it belongs to; -1 for none.
    """

    row: Int[Tensor, " twins"]
    twin: Int[Tensor, " twins"]
    count: tuple[int, ...]
    number: Int[Tensor, " rows"]

    @classmethod
    def of(cls, batch: Batch) -> TwinVoxels:
        """Those of a batch whose views are as `second_looks` wants them."""
        voxels, n_anchors = batch.voxels, batch.n_anchors
        again = torch.nonzero(batch.view >= batch.n_scan_views).squeeze(1)
        row_again = torch.full((len(batch.xyz),), -1, device=again.device)
        row_again[batch.source[again]] = again
        ours = torch.nonzero(batch.view[voxels.first] < n_anchors).squeeze(1)
        twin = row_again[batch.source[voxels.first[ours]]]
        leader = _leaders(torch.where(twin < 0, -1, voxels.inverse[twin]))
        kept = leader == torch.arange(len(ours), device=ours.device)
        # One entry more: rows without a voxel have voxel -1.
        of_voxel = torch.full((len(voxels.first) + 1,), -1, device=ours.device)
        of_voxel[ours] = torch.where(leader >= 0, (kept.cumsum(0) - 1)[leader], -1)
        row = voxels.first[ours[kept]]
        count = torch.bincount(batch.view[row], minlength=n_anchors)
        return cls(row, twin[kept], tuple(count.tolist()), of_voxel[voxels.inverse])


def _leaders(group: Int[Tensor, " members"]) -> Int[Tensor, " members"]:
    """For each member the first one of its group; -1 for those of group -1."""
    n_groups = int(group.max()) + 1 if len(group) else 0
    place = torch.arange(len(group), device=group.device)
    first = torch.full((n_groups + 1,), len(group), device=group.device)
    first.scatter_reduce_(0, torch.where(group < 0, n_groups, group), place, "amin")
    return torch.where(group < 0, -1, first[group])


@dataclass(frozen=True)
class SomeVoxels:
    """The student's input without all but some neighbouring views.

    Attributes:
        voxels: What is left; kernel maps are left to the network.
        row: For each of its voxels, the row of the whole input that stands for it.
        count: For each view, how many voxels it has.
    """

    voxels: Voxels
    row: Int[Tensor, " voxels"]
    count: tuple[int, ...]


def voxels_of_views(batch: Batch, start: int, stop: int) -> SomeVoxels:
    """The views from `start` to `stop` of a batch, whose rows and voxels lie view after view."""
    voxels = batch.voxels
    n_rows = torch.bincount(batch.view, minlength=stop)
    n_cells = torch.bincount(voxels.coords[:, 0].long(), minlength=stop)
    rows, cells = (slice(int(n[:start].sum()), int(n[:stop].sum())) for n in (n_rows, n_cells))
    shift = torch.tensor([start, 0, 0, 0], device=voxels.coords.device)
    inverse, grid = voxels.inverse[rows], voxels.grid
    part = replace(
        voxels,
        coords=voxels.coords[cells] - shift,
        features=voxels.features[cells],
        inverse=torch.where(inverse < 0, -1, inverse - cells.start),
        first=voxels.first[cells] - rows.start,
        xyz=voxels.xyz[rows],
        n_clouds=stop - start,
        level=None,
        grid=None if grid is None else replace(grid, cloud=grid.cloud[rows] - start),
    )
    return SomeVoxels(part, voxels.first[cells], tuple(n_cells[start:stop].tolist()))
