"""Small made-up batches, a student and a teacher, for checking methods without any data.

Offers `SyntheticScan`, `random_drive`, `collate`, `TinyStudent` and `GridTeacher`. A drive is a
static cloud of landmarks seen from a moving sensor, so memory finds what it saw before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor, nn

from lima_bench.common.seeds import derive_seed
from lima_bench.lima.batch import Batch, Images, PairIndex, Scan
from lima_bench.lima.pairs import Pairs
from lima_bench.lima.readout import Cells, OneCell
from lima_bench.lima.views import ScanInput, ViewPlan, plain_plan
from lima_bench.lima.voxels import Voxels

Grid = npt.NDArray[np.float32]
IMAGE_SIZE = (16, 24)
GRID_SIZE = (4, 6)
N_CAMERAS = 3
N_SUPERPIXELS = 6


@dataclass(frozen=True)
class SyntheticScan:
    """One scan with its pairs and what its images hold.

    Attributes:
        sequence: The recording.
        index: Position in it.
        xyz: (N, 3) float32, metres.
        pose: 4x4 float64, LiDAR to global.
        pairs: Point-pixel pairs within `IMAGE_SIZE`.
        grids: (cameras, h, w, D) teacher features.
        superpixels: (cameras, H, W) ids.
    """

    sequence: str
    index: int
    xyz: npt.NDArray[np.float32]
    pose: npt.NDArray[np.float64]
    pairs: Pairs
    grids: Grid
    superpixels: npt.NDArray[np.int64]

    @property
    def input(self) -> ScanInput:
        """What `plan_views` is told of it."""
        return ScanInput(self.xyz, self.sequence, self.pairs)


def random_drive(
    sequence: str, *, frames: int = 3, points: int = 120, width: int = 5, seed: int = 0
) -> tuple[SyntheticScan, ...]:
    """A recording in which the sensor turns and moves among still landmarks.

    Every point is seen by no, one or two of three cameras.
    """
    rng = np.random.default_rng(derive_seed(seed, "drive", sequence))
    landmarks = rng.uniform((-20, -20, -3), (20, 20, 3), (points, 3))
    return tuple(_look(sequence, index, landmarks, rng=rng, width=width) for index in range(frames))


def _look(
    sequence: str,
    index: int,
    landmarks: npt.NDArray[np.float64],
    *,
    rng: np.random.Generator,
    width: int,
) -> SyntheticScan:
    angle = 0.1 * index
    pose = np.eye(4)
    pose[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    pose[:3, 3] = (1.5 * index, 0.3 * index, 0.0)
    xyz = (landmarks - pose[:3, 3]) @ pose[:3, :3]
    return SyntheticScan(
        sequence=sequence,
        index=index,
        xyz=xyz.astype(np.float32),
        pose=pose,
        pairs=_random_pairs(len(xyz), rng),
        grids=rng.normal(size=(N_CAMERAS, *GRID_SIZE, width)).astype(np.float32),
        superpixels=rng.integers(0, N_SUPERPIXELS, (N_CAMERAS, *IMAGE_SIZE)),
    )


def _random_pairs(points: int, rng: np.random.Generator) -> Pairs:
    seen = rng.random((points, N_CAMERAS)) < 0.4
    seen[seen.all(axis=1), 0] = False
    point, camera = np.nonzero(seen)
    row, col = (rng.integers(0, size, len(point)) for size in IMAGE_SIZE)
    return Pairs(point=point, camera=camera, row=row, col=col)


def without_pairs(scan: SyntheticScan) -> SyntheticScan:
    """The same scan, seen by no camera."""
    nothing = np.zeros(0, dtype=np.int64)
    return replace(scan, pairs=Pairs(point=nothing, camera=nothing, row=nothing, col=nothing))


def collate(
    scans: Sequence[SyntheticScan],
    plan: ViewPlan | None = None,
    *,
    augment_seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> Batch:
    """A batch of these scans; every two neighbouring rows of a view share a voxel.

    Args:
        scans: In order.
        plan: What the method wants to see; everything, if None.
        augment_seed: Of the random rotation of the student's copies.
        dtype: Of the voxels' and the images' features.
    """
    plan = plan or plain_plan([scan.input for scan in scans])
    stops = np.cumsum([len(scan.xyz) for scan in scans])
    starts = stops - [len(scan.xyz) for scan in scans]
    cameras = [range(N_CAMERAS) if kept is None else kept for kept in plan.cameras]
    source, view = _rows(plan, starts)
    xyz = torch.from_numpy(np.concatenate([scan.xyz for scan in scans]))
    return Batch(
        scans=tuple(
            Scan(
                id=f"{scan.sequence}/{scan.index}",
                sequence=scan.sequence,
                index=scan.index,
                start=int(start),
                stop=int(stop),
                lidar_to_global=torch.from_numpy(scan.pose),
            )
            for scan, start, stop in zip(scans, starts, stops, strict=True)
        ),
        xyz=xyz,
        voxels=_voxels(xyz[source].to(dtype), view, len(plan.views), augment_seed),
        source=source,
        view=view,
        n_scan_views=len(scans),
        pairs=_pair_index(scans, starts, cameras),
        images=_images(scans, cameras, dtype),
    )


def _rows(plan: ViewPlan, starts: npt.NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    source = [[starts[number] + part for number, part in view.parts] for view in plan.views]
    flat = [np.concatenate(parts) for parts in source]
    view = np.repeat(np.arange(len(flat)), [len(rows) for rows in flat])
    return torch.from_numpy(np.concatenate(flat)), torch.from_numpy(view)


def _voxels(xyz: Tensor, view: Tensor, n_views: int, seed: int) -> Voxels:
    generator = torch.Generator().manual_seed(seed)
    angle = torch.rand(n_views, generator=generator) * 2 * torch.pi
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).view(-1, 2, 2)
    flat = (turn.to(xyz.dtype)[view] @ xyz[:, :2, None]).squeeze(2)
    count = torch.bincount(view, minlength=n_views)
    place = torch.arange(len(view)) - (count.cumsum(0) - count)[view]
    keys, inverse = torch.unique(torch.stack([view, place // 2], 1), dim=0, return_inverse=True)
    first = torch.full((len(keys),), len(view)).scatter_reduce(
        0, inverse, torch.arange(len(view)), "amin"
    )
    coords = torch.cat([keys, torch.zeros(len(keys), 2, dtype=keys.dtype)], 1)
    features = torch.cat([flat, xyz[:, 2:], torch.ones_like(xyz[:, 2:])], 1)[first]
    return Voxels(coords, features, inverse, first, n_views)


def _pair_index(
    scans: Sequence[SyntheticScan],
    starts: npt.NDArray[np.int64],
    cameras: Sequence[Sequence[int]],
) -> PairIndex:
    columns: list[npt.NDArray[np.int64]] = []
    n_images = 0
    for scan, start, kept in zip(scans, starts, cameras, strict=True):
        image = np.full(N_CAMERAS, -1)
        image[list(kept)] = n_images + np.arange(len(kept))
        pairs = scan.pairs
        rows = np.isin(pairs.camera, list(kept))
        columns.append(
            np.stack([pairs.point + start, image[pairs.camera], pairs.row, pairs.col])[:, rows]
        )
        n_images += len(kept)
    return PairIndex(*torch.from_numpy(np.concatenate(columns, axis=1)))


def _images(
    scans: Sequence[SyntheticScan], cameras: Sequence[Sequence[int]], dtype: torch.dtype
) -> Images:
    grids = [scan.grids[list(kept)] for scan, kept in zip(scans, cameras, strict=True)]
    segments = [scan.superpixels[list(kept)] for scan, kept in zip(scans, cameras, strict=True)]
    stacked = torch.from_numpy(np.concatenate(grids)).to(dtype)
    return Images(
        size=IMAGE_SIZE,
        n_images=len(stacked),
        grids=stacked,
        superpixels=torch.from_numpy(np.concatenate(segments)),
    )


class TinyStudent(nn.Module):
    """A two-layer network on each voxel; no neighbourhoods."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.width = width
        self.net = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, width))

    def forward(self, voxels: Voxels) -> Float[Tensor, "rows width"]:
        """Voxel features, repeated for the rows inside."""
        return self.cells(voxels).features[voxels.inverse]

    def cells(self, voxels: Voxels) -> Cells:
        """Voxel features."""
        return Cells(self.net(voxels.features), OneCell(voxels.inverse))


class GridTeacher(nn.Module):
    """The batch's own grids through a frozen gain, so that a leaking gradient has where to go."""

    def __init__(self, width: int = 5) -> None:
        super().__init__()
        self.width = width
        self.gain = nn.Parameter(torch.ones(width), requires_grad=False)

    def forward(self, images: Images) -> Float[Tensor, "images h w width"]:
        """The cached grids."""
        if images.grids is None:
            raise ValueError("the batch carries no grids")
        grids: Tensor = images.grids * self.gain
        return grids
