"""ScaLR (CVPR 2024) with a sparse student: each point follows the pixel that sees it.

A linear head on the student, nothing learnt on the image side, and the mean distance of unit
vectors over all point-pixel pairs of the batch. Source: methods-temporal 1.1 and 1.6. The original
shows one camera and only the points that it sees; the LiMA tables do not say, so both are axes. Its
authors' later ScaLR+ (1.5) has a hidden layer in the head, and a recipe of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from torch import nn

from lima_bench.lima.api import Batch, Loss, Student, Teacher, sample_pixels
from lima_bench.lima.heads import head_distances, projection_head
from lima_bench.lima.losses import mean_or_zero
from lima_bench.lima.methods.cards.scalr import ScalrSettings
from lima_bench.lima.rows import paired_rows
from lima_bench.lima.views import ScanInput, View, ViewPlan, plain_plan


class Scalr(nn.Module):
    """One regression term per (point, camera) pair."""

    def __init__(self, settings: ScalrSettings, teacher: Teacher, student: Student) -> None:
        super().__init__()
        self.settings = settings
        self.teacher, self.student = teacher, student
        hidden = [settings.head_width] if settings.head == "mlp" else []
        self.head = projection_head(student.width, hidden, teacher.width)

    def forward(self, batch: Batch) -> Loss:
        """Mean over all pairs of the batch, so scans with more visible points weigh more."""
        pixels = sample_pixels(self.teacher(batch.images), batch.pairs, batch.images.size).detach()
        kept, rows = paired_rows(batch)
        cells = self.student.cells(batch.voxels)
        distances = head_distances(self.head, cells, rows, pixels, kept, self.settings.distance)
        return Loss(distill=mean_or_zero(distances))

    @staticmethod
    def plan_views(
        settings: ScalrSettings, scans: Sequence[ScanInput], rng: np.random.Generator
    ) -> ViewPlan:
        """All of every scan, or one random camera, or only the points that cameras see."""
        if settings.cameras == "all":
            cameras: tuple[tuple[int, ...] | None, ...] = (None,) * len(scans)
        else:
            cameras = tuple(_one_camera(scan, rng) for scan in scans)
        if settings.student_input == "full":
            return ViewPlan(plain_plan(scans).views, cameras)
        seen = (_visible(scan, kept) for scan, kept in zip(scans, cameras, strict=True))
        return ViewPlan(tuple(View(((number, part),)) for number, part in enumerate(seen)), cameras)


def _one_camera(scan: ScanInput, rng: np.random.Generator) -> tuple[int, ...] | None:
    """A camera drawn from those that see any point; all of them where none does."""
    cameras = np.unique(scan.pairs.camera)
    return (int(rng.choice(cameras)),) if len(cameras) else None


def _visible(scan: ScanInput, cameras: tuple[int, ...] | None) -> npt.NDArray[np.int64]:
    """The points seen by any of `cameras`, in order; there may be none."""
    pairs = scan.pairs
    points = pairs.point if cameras is None else pairs.point[np.isin(pairs.camera, cameras)]
    visible: npt.NDArray[np.int64] = np.unique(points).astype(np.int64)
    return visible
