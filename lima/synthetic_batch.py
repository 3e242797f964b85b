"""Made-up scans -> `Batch`, for checking methods without any data.

Offers `collate`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lima_bench.lima.batch import Batch, Images, Lenses, Moment, PairIndex, Scan
from lima_bench.lima.synthetic import IMAGE_SIZE, N_CAMERAS, N_SUPERPIXELS, Placed, SyntheticScan
from lima_bench.lima.views import ViewPlan, plain_plan
from lima_bench.lima.voxels import Voxels

EDGE_M = 0.1
"""Said of cells that in truth hold two rows each, wherever they lie."""

FIRST = Moment(step=0, steps_per_epoch=4, total_steps=8)


def collate(
    scans: Sequence[SyntheticScan | Placed],
    plan: ViewPlan | None = None,
    *,
    augment_seed: int = 0,
    dtype: torch.dtype = torch.float32,
    moment: Moment = FIRST,
) -> Batch:
    """A batch of these scans; every two neighbouring rows of a view share a voxel.

    Args:
        scans: In order: without company, or each in its place.
        plan: What the method wants to see; everything, if None.
        augment_seed: Of the random rotation of the student's copies.
        dtype: Of the voxels' and the images' features.
        moment: Where in the run it stands.
    """
    placed = [one if isinstance(one, Placed) else Placed(one, n) for n, one in enumerate(scans)]
    plan = plan or plain_plan([one.input for one in placed])
    own = [one.scan for one in placed]
    stops = np.cumsum([len(scan.xyz) for scan in own])
    starts = stops - [len(scan.xyz) for scan in own]
    kept = _kept(placed, plan)
    source, view = _rows(plan, starts)
    motion = _motions(len(plan.views), augment_seed)
    xyz = torch.from_numpy(np.concatenate([scan.xyz for scan in own]))
    return Batch(
        scans=tuple(
            Scan(
                id=f"{one.scan.sequence}/{one.scan.index}",
                sequence=one.scan.sequence,
                index=one.scan.index,
                start=int(start),
                stop=int(stop),
                lidar_to_global=torch.from_numpy(one.scan.pose),
                anchor=one.anchor,
                offset=one.offset,
                dense=one.scan.dense,
                clusters=torch.from_numpy(one.scan.clusters),
            )
            for one, start, stop in zip(placed, starts, stops, strict=True)
        ),
        xyz=xyz,
        voxels=_voxels(xyz[source].to(dtype), view, motion),
        source=source,
        view=view,
        motion=motion,
        n_scan_views=len(own),
        pairs=_pair_index(own, starts, kept),
        images=_images(own, kept, dtype),
        moment=moment,
        edge_m=EDGE_M,
    )


def _kept(placed: Sequence[Placed], plan: ViewPlan) -> list[tuple[Sequence[int], int]]:
    """For each scan, the cameras that are kept and the number of the first one's image.

    A dense cloud looks through its anchor's, so its own images are not there a second time.
    """
    kept: list[tuple[Sequence[int], int]] = []
    n_images = 0
    for one, chosen in zip(placed, plan.cameras, strict=True):
        if one.scan.dense:
            kept.append(kept[one.anchor])
            continue
        cameras = range(N_CAMERAS) if chosen is None else chosen
        kept.append((cameras, n_images))
        n_images += len(cameras)
    return kept


def _motions(n_views: int, seed: int) -> Tensor:
    """A random rotation about z per view, 4x4."""
    generator = torch.Generator().manual_seed(seed)
    angle = torch.rand(n_views, generator=generator) * 2 * torch.pi
    motion = torch.eye(4, dtype=torch.float64).repeat(n_views, 1, 1)
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1)
    motion[:, :2, :2] = turn.view(-1, 2, 2)
    return motion


def _rows(plan: ViewPlan, starts: npt.NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    source = [[starts[number] + part for number, part in view.parts] for view in plan.views]
    flat = [np.concatenate(parts) for parts in source]
    view = np.repeat(np.arange(len(flat)), [len(rows) for rows in flat])
    return torch.from_numpy(np.concatenate(flat)), torch.from_numpy(view)


def _voxels(xyz: Tensor, view: Tensor, motion: Tensor) -> Voxels:
    n_views = len(motion)
    flat = (motion[:, :2, :2].to(xyz.dtype)[view] @ xyz[:, :2, None]).squeeze(2)
    count = torch.bincount(view, minlength=n_views)
    place = torch.arange(len(view)) - (count.cumsum(0) - count)[view]
    keys, inverse = torch.unique(torch.stack([view, place // 2], 1), dim=0, return_inverse=True)
    first = torch.full((len(keys),), len(view)).scatter_reduce(
        0, inverse, torch.arange(len(view)), "amin"
    )
    coords = torch.cat([keys, torch.zeros(len(keys), 2, dtype=keys.dtype)], 1)
    moved = torch.cat([flat, xyz[:, 2:]], 1)
    features = torch.cat([moved, torch.ones_like(xyz[:, 2:])], 1)[first]
    return Voxels(coords, features, inverse, first, moved, n_views)


def _pair_index(
    scans: Sequence[SyntheticScan],
    starts: npt.NDArray[np.int64],
    kept: Sequence[tuple[Sequence[int], int]],
) -> PairIndex:
    columns: list[npt.NDArray[np.int64]] = []
    for scan, start, (cameras, first) in zip(scans, starts, kept, strict=True):
        image = np.full(N_CAMERAS, -1)
        image[list(cameras)] = first + np.arange(len(cameras))
        pairs = scan.pairs
        rows = np.isin(pairs.camera, list(cameras))
        columns.append(
            np.stack([pairs.point + start, image[pairs.camera], pairs.row, pairs.col])[:, rows]
        )
    return PairIndex(*torch.from_numpy(np.concatenate(columns, axis=1)))


def _images(
    scans: Sequence[SyntheticScan], kept: Sequence[tuple[Sequence[int], int]], dtype: torch.dtype
) -> Images:
    shown = [(n, cameras) for n, (cameras, _) in enumerate(kept) if not scans[n].dense]
    grids = [scans[number].grids[list(cameras)] for number, cameras in shown]
    segments = [scans[number].superpixels[list(cameras)] for number, cameras in shown]
    stacked = torch.from_numpy(np.concatenate(grids)).to(dtype)
    return Images(
        size=IMAGE_SIZE,
        n_images=len(stacked),
        grids=stacked,
        superpixels=torch.from_numpy(np.concatenate(segments)),
        n_slots=N_SUPERPIXELS,
        lenses=_lenses([number for number, cameras in shown for _ in cameras], shown),
    )


def _lenses(scans: list[int], shown: Sequence[tuple[int, Sequence[int]]]) -> Lenses:
    """Cameras that look in different directions from the LiDAR's place, half a right angle wide."""
    height, width = IMAGE_SIZE
    intrinsic = [[float(width), 0, (width - 1) / 2], [0, float(width), (height - 1) / 2], [0, 0, 1]]
    angle = torch.tensor([float(c) for _, cameras in shown for c in cameras], dtype=torch.float64)
    angle = angle * (2 * torch.pi / N_CAMERAS)
    zero, one = torch.zeros_like(angle), torch.ones_like(angle)
    right = torch.stack([angle.sin(), -angle.cos(), zero], 1)
    ahead = torch.stack([angle.cos(), angle.sin(), zero], 1)
    pose = torch.eye(4, dtype=torch.float64).repeat(len(angle), 1, 1)
    pose[:, :3, :3] = torch.stack([right, torch.stack([zero, zero, -one], 1), ahead], 2)
    return Lenses(
        scan=torch.tensor(scans, dtype=torch.int64),
        intrinsic=torch.tensor(intrinsic, dtype=torch.float64).repeat(len(angle), 1, 1),
        camera_to_lidar=pose,
    )
