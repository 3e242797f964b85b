"""Small made-up recordings, a student and a teacher, for checking methods without any data.

Offers `SyntheticScan`, `random_drive`, `Placed`, `alone`, `accompanied`, `TinyStudent` and
`GridTeacher`; `lima_bench.lima.synthetic_batch` makes batches of them. A drive is a static cloud of
landmarks seen from a moving sensor, so memory finds what it saw before.
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
from lima_bench.lima.batch import Images
from lima_bench.lima.pairs import Pairs
from lima_bench.lima.readout import Cells, OneCell
from lima_bench.lima.views import ScanInput
from lima_bench.lima.voxels import Voxels

Grid = npt.NDArray[np.float32]
IMAGE_SIZE = (16, 24)
GRID_SIZE = (4, 6)
N_CAMERAS = 3
N_SUPERPIXELS = 6
CLUSTER_SIZE = 12
"""Neighbouring landmarks that make up one 3D cluster; the first dozen belong to none."""


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
        clusters: (N,) the 3D cluster of each point, -1 for none.
        dense: Whether it stands for a cloud with earlier sweeps.
    """

    sequence: str
    index: int
    xyz: npt.NDArray[np.float32]
    pose: npt.NDArray[np.float64]
    pairs: Pairs
    grids: Grid
    superpixels: npt.NDArray[np.int64]
    clusters: npt.NDArray[np.int64]
    dense: bool = False


@dataclass(frozen=True)
class Placed:
    """A scan in its place in a batch.

    Attributes:
        scan: What is seen.
        anchor: Number, in the batch, of the scan that it accompanies.
        offset: Keyframes after that one.
    """

    scan: SyntheticScan
    anchor: int
    offset: int = 0

    @property
    def input(self) -> ScanInput:
        """What `plan_views` is told of it."""
        scan = self.scan
        return ScanInput(
            scan.xyz,
            scan.sequence,
            scan.pairs,
            anchor=self.anchor,
            offset=self.offset,
            dense=scan.dense,
        )


def alone(scans: Sequence[SyntheticScan]) -> list[Placed]:
    """Scans of a step, without company."""
    return [Placed(scan, number) for number, scan in enumerate(scans)]


def accompanied(
    scans: Sequence[SyntheticScan], drives: Sequence[Sequence[SyntheticScan]], company: Company
) -> list[Placed]:
    """Scans of a step with their company out of `drives`, in the order of a batch."""
    placed = alone(scans)
    for offset in company.offsets:
        for number, (scan, drive) in enumerate(zip(scans, drives, strict=True)):
            inside = 0 <= scan.index + offset < len(drive)
            other = company.at_the_end == "other_side" and 0 <= scan.index - offset < len(drive)
            step = offset if inside else -offset if other else 0
            placed.append(Placed(drive[scan.index + step] if step else scan, number, step))
    if company.sweeps:
        placed += [Placed(_denser(scan), number) for number, scan in enumerate(scans)]
    return placed


def _denser(scan: SyntheticScan) -> SyntheticScan:
    """Every point once more, a hand's breadth away, seen by the same pixel."""
    pairs, n_points = scan.pairs, len(scan.xyz)
    twice = Pairs(
        np.concatenate([pairs.point, pairs.point + n_points]),
        *(np.tile(column, 2) for column in (pairs.camera, pairs.row, pairs.col)),
    )
    xyz = np.concatenate([scan.xyz, scan.xyz + np.float32(0.1)])
    return replace(scan, xyz=xyz, pairs=twice, clusters=np.tile(scan.clusters, 2), dense=True)


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
        clusters=np.arange(len(xyz)) // CLUSTER_SIZE - 1,
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
