"""SLidR (CVPR 2022): what a superpixel's points look like should name that superpixel.

Points are averaged over each SLIC superpixel and must single out that superpixel's mean image
feature among all others of the batch (InfoNCE, one direction). The teacher is frozen; a linear head
on each side is learnt. Source: the authors' released code, as read in methods-spatial 0.5 to 1.1.
"""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor, nn

from lima_bench.lima.api import Batch, Loss, Student, Teacher
from lima_bench.lima.losses import info_nce, unit
from lima_bench.lima.methods.cards.slidr import SlidrSettings
from lima_bench.lima.pooling import group_mean, superpixel_means
from lima_bench.lima.rows import paired_rows


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
        superpixels = batch.images.superpixels
        if superpixels is None:
            raise ValueError("slidr needs superpixels in the batch: its card says so")
        n_ids = int(superpixels.max()) + 1
        points, count = self._point_means(batch, superpixels, n_ids)
        pixels = self._pixel_means(batch, superpixels, n_ids)
        if self.settings.renormalise_pool:
            points, pixels = unit(points), unit(pixels)
        if self.settings.mask_empty:
            points, pixels = points[count > 0], pixels[count > 0]
        return Loss(contrast=info_nce(points, pixels, self.settings.temperature))

    def _point_means(
        self, batch: Batch, superpixels: Int[Tensor, "images H W"], n_ids: int
    ) -> tuple[Float[Tensor, "groups width"], Int[Tensor, " groups"]]:
        """Mean unit embedding of each superpixel's points; a point seen twice counts twice."""
        kept, rows = paired_rows(batch)
        cells = self.student.cells(batch.voxels)
        points = cells.at(unit(self.point_head(cells.features)), rows)
        pairs = batch.pairs
        image = pairs.image[kept]
        segment = superpixels[image, pairs.row[kept], pairs.col[kept]].long()
        return group_mean(points, image * n_ids + segment, len(superpixels) * n_ids)

    def _pixel_means(
        self, batch: Batch, superpixels: Int[Tensor, "images H W"], n_ids: int
    ) -> Float[Tensor, "groups width"]:
        """Mean unit embedding over all pixels of each superpixel, with or without points.

        The head is linear and upsampling weights sum to 1, so it may act on the grid.
        """
        grids = self.teacher(batch.images).detach().to(self.pixel_head.weight.dtype)
        return superpixel_means(self.pixel_head(grids), superpixels, n_ids).flatten(0, 1)
