"""SLidR (CVPR 2022): what a superpixel's points look like should name that superpixel.

Points are averaged over each SLIC superpixel and must single out that superpixel's mean image
feature among all others of the batch (InfoNCE, one direction). The teacher is frozen; a linear head
on each side is learnt. Source: the authors' released code, as read in methods-spatial 0.5 to 1.1.
"""

from __future__ import annotations

from torch import nn

from lima_bench.lima.api import Batch, Loss, Student, Teacher
from lima_bench.lima.losses import info_nce, unit
from lima_bench.lima.methods.cards.slidr import SlidrSettings
from lima_bench.lima.segments import Segments, superpoint_means


class Slidr(nn.Module):
    """Contrast of superpixel means between the student and a trainable head on the teacher."""

    def __init__(self, settings: SlidrSettings, teacher: Teacher, student: Student) -> None:
        super().__init__()
        self.settings = settings
        self.teacher, self.student = teacher, student
        self.point_head = nn.Linear(student.width, settings.width)
        self.pixel_head = nn.Linear(teacher.width, settings.width)

    def forward(self, batch: Batch) -> Loss:
        """InfoNCE over the superpixels of all images that hold at least one pair."""
        segments = Segments.of(batch)
        points, count = superpoint_means(self.student, self.point_head, batch, segments)
        grids = self.teacher(batch.images).detach().to(self.pixel_head.weight.dtype)
        pixels = segments.pixel_means(self.pixel_head(grids))
        if self.settings.renormalise_pool:
            points, pixels = unit(points), unit(pixels)
        if self.settings.mask_empty:
            points, pixels = points[count > 0], pixels[count > 0]
        return Loss(contrast=info_nce(points, pixels, self.settings.temperature))
