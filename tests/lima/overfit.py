"""Whether a method can learn one small batch by heart, with the small network of the suite.

The batch is made so that there is something to learn: pixels that see a point lie where it projects
to, teacher features vary smoothly with direction, superpixels are stripes of the images.
"""

from __future__ import annotations

import numpy as np
import torch

from lima_bench.lima.api import MethodCard, Settings, load_method
from lima_bench.lima.backbones.catalogue import build_backbone
from lima_bench.lima.batch import Moment
from lima_bench.lima.company import company_of
from lima_bench.lima.pairs import Pairs
from lima_bench.lima.student import Student
from lima_bench.lima.synthetic import (
    GRID_SIZE,
    IMAGE_SIZE,
    N_CAMERAS,
    N_SUPERPIXELS,
    GridTeacher,
    SyntheticScan,
    accompanied,
)
from lima_bench.lima.synthetic_batch import FIRST, collate
from lima_bench.lima.views import plan_views

WIDTH = 5
LATE = Moment(step=9, steps_per_epoch=2, total_steps=10)
N_POINTS = 240


def coherent_drive(sequence: str, seed: int, *, frames: int = 3) -> tuple[SyntheticScan, ...]:
    """A sensor that moves a little among still landmarks and sees them where they are."""
    rng = np.random.default_rng(seed)
    azimuth = np.sort(rng.uniform(-np.pi, np.pi, N_POINTS))  # neighbours in a row share a voxel
    distance, height = rng.uniform(5, 20, N_POINTS), rng.uniform(-1, 1, N_POINTS)
    landmarks = np.column_stack(
        [distance * np.cos(azimuth), distance * np.sin(azimuth), height * distance / 4]
    )
    return tuple(_look(sequence, index, landmarks) for index in range(frames))


def _look(sequence: str, index: int, landmarks: np.ndarray) -> SyntheticScan:
    pose = np.eye(4)
    pose[:3, 3] = (0.2 * index, 0.0, 0.0)
    xyz = landmarks - pose[:3, 3]
    rows, cols = np.mgrid[: IMAGE_SIZE[0], : IMAGE_SIZE[1]]
    stripes = np.broadcast_to(cols * N_SUPERPIXELS // IMAGE_SIZE[1], rows.shape)
    return SyntheticScan(
        sequence=sequence,
        index=index,
        xyz=xyz.astype(np.float32),
        pose=pose,
        pairs=_pairs(xyz),
        grids=np.stack([_features(camera) for camera in range(N_CAMERAS)]).astype(np.float32),
        superpixels=np.stack([stripes] * N_CAMERAS).astype(np.int64),
        clusters=np.arange(N_POINTS) // 12 - 1,
    )


def _turn(camera: int) -> float:
    return 2 * np.pi * camera / N_CAMERAS


def _pairs(xyz: np.ndarray) -> Pairs:
    """As the lenses of `lima_bench.lima.synthetic_batch` see the points."""
    height, width = IMAGE_SIZE
    columns = []
    for camera in range(N_CAMERAS):
        angle = _turn(camera)
        ahead = xyz[:, 0] * np.cos(angle) + xyz[:, 1] * np.sin(angle)
        right = xyz[:, 0] * np.sin(angle) - xyz[:, 1] * np.cos(angle)
        with np.errstate(divide="ignore", invalid="ignore"):
            u = width * right / ahead + (width - 1) / 2
            v = -width * xyz[:, 2] / ahead + (height - 1) / 2
        seen = (ahead > 1) & (u > 0) & (u < width - 1) & (v > 0) & (v < height - 1)
        point = np.flatnonzero(seen)
        place = np.full(len(point), camera)
        columns.append(np.stack([point, place, v[point].round(), u[point].round()]))
    return Pairs(*np.concatenate(columns, axis=1).astype(np.int64))


def _features(camera: int) -> np.ndarray:
    """(h, w, WIDTH) smooth in the direction of the ray."""
    height, width = GRID_SIZE
    row, col = np.mgrid[0 : 1 : height * 1j, -0.5 : 0.5 : width * 1j]
    azimuth = _turn(camera) - np.arctan(col)
    waves = [np.cos(azimuth), np.sin(azimuth), np.cos(3 * azimuth), np.sin(3 * azimuth), row]
    return np.stack(waves, axis=-1)


def losses(
    card: MethodCard, settings: Settings | None = None, *, steps: int = 50, late: bool = False
) -> list[float]:
    """Total loss of every step on one batch that never changes, with the same draws each time.

    Args:
        card: The method.
        settings: Its settings; the defaults if None.
        steps: How many.
        late: As near the end of a run, where everything that is switched on in its course is on.
    """
    torch.manual_seed(0)
    chosen = settings or card.settings()
    student = Student(build_backbone("minkunet_tiny", 4, bn_momentum=0.1))
    cls = load_method(card)
    method = cls(chosen, GridTeacher(WIDTH), student).train()
    drives = [coherent_drive(name, seed) for seed, name in enumerate(("first", "second"))]
    placed = accompanied([drive[0] for drive in drives], drives, company_of(cls, chosen))
    plan = plan_views(cls, chosen, [one.input for one in placed], np.random.default_rng(0))
    batch = collate(placed, plan, moment=LATE if late else FIRST)
    if late and hasattr(method, "survey"):
        with torch.no_grad():
            method.survey([batch])
    optimiser = torch.optim.AdamW([p for p in method.parameters() if p.requires_grad], lr=0.01)
    found = []
    for _ in range(steps):
        torch.manual_seed(1)
        loss = method(batch).total
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        found.append(float(loss.detach()))
    return found
