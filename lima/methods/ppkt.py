"""PPKT (2021), as SLidR's authors built it for LiDAR: a point should name the pixel that sees it.

Some thousand point-pixel pairs are drawn from the batch; each point must single out its own pixel
among all drawn ones (InfoNCE, one direction). The teacher is frozen; a linear head on each side is
learnt. Source: methods-spatial 2, with the loss of 1.1.
"""

from __future__ import annotations

from torch import nn

from lima_bench.lima.api import Batch, Loss, Student, Teacher, sample_pixels
from lima_bench.lima.contrast import contrast
from lima_bench.lima.draws import drawn
from lima_bench.lima.losses import unit
from lima_bench.lima.methods.cards.ppkt import PpktSettings
from lima_bench.lima.rows import paired_rows


class Ppkt(nn.Module):
    """Contrast of points and pixels, pair by pair."""

    def __init__(self, settings: PpktSettings, teacher: Teacher, student: Student) -> None:
        super().__init__()
        self.settings = settings
        self.teacher, self.student = teacher, student
        self.point_head = nn.Linear(student.width, settings.width)
        self.pixel_head = nn.Linear(teacher.width, settings.width)

    def forward(self, batch: Batch) -> Loss:
        """InfoNCE over the drawn pairs of all scans."""
        kept, rows = paired_rows(batch)
        chosen = drawn(len(kept), self.settings.n_pairs, kept.device)
        cells = self.student.cells(batch.voxels)
        points = cells.at(unit(self.point_head(cells.features)), rows[chosen])
        # The head is linear and upsampling weights sum to 1: it may act on what was sampled.
        grids = self.teacher(batch.images).detach().to(self.pixel_head.weight.dtype)
        pixels = sample_pixels(grids, batch.pairs.at(kept[chosen]), batch.images.size)
        pixels = unit(self.pixel_head(pixels))
        return Loss(contrast=contrast(points, pixels, self.settings.temperature))
