"""Where space is full and where it is empty, as a LiDAR tells: Batch -> `queries_of` -> `Queries`.

Offers `Queries`, `queries_of`, the two kinds `sight_queries` and `voxel_queries`, and `neighbours`,
the points that a query is judged by. The sensor stands at the origin of a scan, so the way to a
point is empty and what lies just behind it is full. Chance is drawn from torch's generator on the
CPU, which every training step seeds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lima_bench.lima.api import Batch
from lima_bench.lima.losses import full_precision, unit
from lima_bench.lima.nearest import rows_within

QueryKind = Literal["sight", "voxel"]


@dataclass(frozen=True)
class Queries:
    """Places whose occupancy is known.

    Attributes:
        xyz: Metres, where the view's augmentation has moved them.
        view: The view that they belong to.
        occupied: 1 or 0.
    """

    xyz: Float[Tensor, "queries 3"]
    view: Int[Tensor, " queries"]
    occupied: Float[Tensor, " queries"]


def queries_of(
    batch: Batch, kind: QueryKind, n_per_scan: int, *, depth_m: float, voxel_m: float
) -> Queries:
    """Queries of every scan of the batch, made from its points as they were before augmentation.

    Args:
        batch: The step's data.
        kind: ``sight`` for `sight_queries`, ``voxel`` for `voxel_queries`.
        n_per_scan: How many, where a scan has enough points.
        depth_m: Of what is full behind a point, for ``sight``.
        voxel_m: Edge of a voxel, for ``voxel``.
    """
    xyz, view, occupied = [], [], []
    for number in range(batch.n_scan_views):
        points = batch.xyz[batch.source[batch.view == number]]
        if kind == "sight":
            made, full = sight_queries(points, n_per_scan, depth_m)
        else:
            made, full = voxel_queries(points, n_per_scan, voxel_m)
        motion = batch.motion[number].to(made.dtype)
        with full_precision(made.device):  # half precision knows a place 50 m away to 3 cm
            xyz.append(made @ motion[:3, :3].T + motion[:3, 3])
        view.append(torch.full_like(full, number, dtype=torch.int64))
        occupied.append(full)
    return Queries(torch.cat(xyz), torch.cat(view), torch.cat(occupied))


def sight_queries(
    points: Float[Tensor, "points 3"], n: int, depth_m: float
) -> tuple[Float[Tensor, "queries 3"], Float[Tensor, " queries"]]:
    """ALSO's (CVPR 2023): a third each just behind points, just before them, anywhere before them.

    Points are drawn anew for each third; with u uniform in 0..1 and d the direction of point x,
    queries are ``x + depth u d`` (full), ``x - depth u d`` and ``u x`` (both empty).

    Args:
        points: In the LiDAR's frame, metres.
        n: How many queries; behind points lies what three does not divide.
        depth_m: Largest distance to the point.
    """
    third = n // 3
    behind, before, far = (_some(points, size) for size in (n - 2 * third, third, third))
    made = torch.cat(
        [
            behind + depth_m * _uniform(behind) * unit(behind),
            before - depth_m * _uniform(before) * unit(before),
            far * _uniform(far),
        ]
    )
    occupied = torch.zeros_like(made[:, 0])
    occupied[: len(behind)] = 1
    return made, occupied


def voxel_queries(
    points: Float[Tensor, "points 3"], n: int, voxel_m: float
) -> tuple[Float[Tensor, "queries 3"], Float[Tensor, " queries"]]:
    """Middles of voxels: half of them of points, half of those that rays to points pass through.

    A voxel is full if any point lies in it. The second half is drawn along rays, uniformly, so a
    voxel counts as often as rays cross it.

    Args:
        points: In the LiDAR's frame, metres.
        n: How many queries.
        voxel_m: Edge of a voxel.
    """
    if len(points) == 0:
        return points, points[:, 0]
    ends, rays = _some(points, n - n // 2), _some(points, n // 2)
    asked, taken = (
        (xyz / voxel_m).floor().long() for xyz in (torch.cat([ends, rays * _uniform(rays)]), points)
    )
    # Every ray begins in voxel 0, so the box of all voxels must hold it as well.
    low = taken.amin(0).clamp(max=0)
    extent = taken.amax(0).clamp(min=0) - low + 1
    occupied = torch.isin(_keys(asked - low, extent), _keys(taken - low, extent))
    return ((asked + 0.5) * voxel_m).to(points.dtype), occupied.to(points.dtype)


def neighbours(
    queries: Queries,
    xyz: Float[Tensor, "supports 3"],
    view: Int[Tensor, " supports"],
    *,
    radius_m: float,
    most: int,
) -> tuple[Int[Tensor, " near"], Int[Tensor, " near"]]:
    """Every (query, support) of one view that are no farther apart than the radius.

    Args:
        queries: What is asked.
        xyz: Support points, metres, moved like the queries.
        view: Of each support point.
        radius_m: How far a support point may be.
        most: Of a query with more, so many are drawn at random.
    """
    device = xyz.device
    order = torch.randperm(len(xyz))
    shuffled, places = xyz.detach().float().cpu()[order], queries.xyz.float().cpu()
    shuffled_view, asked_view = view.cpu()[order], queries.view.cpu()
    found: list[tuple[Tensor, Tensor]] = []
    for number in sorted(set(asked_view.tolist())):
        asked = torch.nonzero(asked_view == number).squeeze(1)
        there = torch.nonzero(shuffled_view == number).squeeze(1)
        rows = torch.from_numpy(
            rows_within(places[asked].numpy(), shuffled[there].numpy(), radius_m, most)
        ).long()
        query, slot = torch.nonzero(rows >= 0, as_tuple=True)
        found.append((asked[query], order[there[rows[query, slot]]]))
    if not found:
        return view[:0], view[:0]
    query, support = (torch.cat(column).to(device) for column in zip(*found, strict=True))
    return query, support


def _some(points: Float[Tensor, "points 3"], n: int) -> Float[Tensor, "some 3"]:
    """So many of the points, drawn without replacement; all, shuffled, if there are fewer."""
    return points[torch.randperm(len(points))[:n].to(points.device)]


def _uniform(like: Float[Tensor, "rows 3"]) -> Float[Tensor, "rows 1"]:
    return torch.rand(len(like), 1).to(like)


def _keys(places: Int[Tensor, "places 3"], extent: Int[Tensor, " 3"]) -> Int[Tensor, " places"]:
    """One number per voxel of a box of `extent` voxels."""
    return (places[:, 0] * extent[1] + places[:, 1]) * extent[2] + places[:, 2]
