"""CleverDistiller (BMVC 2025), rebuilt: features follow the teacher's through a deep head.

Each point follows each pixel that sees it, as in ScaLR, but through several layers, so that what
is particular to images can stay in the head; and the features below it must tell where space is
full, which no image says (occupancy as in ALSO, CVPR 2023). Nothing is contrasted, no segment is
needed, nothing is learnt on the image side. The paper's text could not be read: methods-temporal
4.1 says what is known, 4.2 what stands in for the rest. Of ALSO's decoder the second answer, a
point's intensity, is left out: it is an option there.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from lima_bench.lima.api import Batch, Cells, Loss, Student, Teacher, sample_pixels
from lima_bench.lima.heads import head_distances, projection_head
from lima_bench.lima.losses import mean_or_zero
from lima_bench.lima.methods.cards.cleverdistiller import CleverdistillerSettings
from lima_bench.lima.occupancy import neighbours, queries_of
from lima_bench.lima.occupancy_decoder import OccupancyDecoder
from lima_bench.lima.rankme import rankme, spread_features
from lima_bench.lima.rows import paired_rows


class Cleverdistiller(nn.Module):
    """Direct similarity through an MLP, and occupancy from the features below it."""

    def __init__(
        self, settings: CleverdistillerSettings, teacher: Teacher, student: Student
    ) -> None:
        super().__init__()
        self.settings = settings
        self.teacher, self.student = teacher, student
        hidden = _hidden(settings, teacher.width)
        self.head = projection_head(student.width, hidden, teacher.width, norm=settings.head_norm)
        if settings.occupancy_weight:
            self.decoder = OccupancyDecoder(student.width, settings.latent)

    def forward(self, batch: Batch) -> Loss:
        """Mean distance over all pairs of the batch, and the weighted occupancy loss."""
        settings = self.settings
        pixels = sample_pixels(self.teacher(batch.images), batch.pairs, batch.images.size).detach()
        kept, rows = paired_rows(batch)
        cells = self.student.cells(batch.voxels)
        distances = head_distances(self.head, cells, rows, pixels, kept, settings.distance)
        loss = Loss(distill=mean_or_zero(distances))
        if settings.occupancy_weight:
            loss.terms["occupancy"] = settings.occupancy_weight * self._occupancy(batch, cells)
        return loss

    def _occupancy(self, batch: Batch, cells: Cells) -> Float[Tensor, ""]:
        """Cross-entropy over every meeting of a query and a point near it.

        The points are one per voxel: others of a voxel know nothing else.
        """
        settings = self.settings
        queries = queries_of(
            batch,
            settings.occupancy,
            settings.queries,
            depth_m=settings.depth_m,
            voxel_m=settings.voxel_m,
        )
        rows = batch.voxels.first
        xyz = batch.voxels.xyz[rows]
        query, support = neighbours(
            queries,
            xyz,
            batch.view[rows],
            radius_m=settings.radius_m,
            most=settings.supports,
        )
        features = cells.at(cells.features, rows)
        logits = self.decoder(features, queries.xyz[query] - xyz[support], support)
        full = queries.occupied[query].to(logits.dtype)
        return mean_or_zero(F.binary_cross_entropy_with_logits(logits, full, reduction="none"))

    def diagnose(self, batches: Iterable[Batch]) -> dict[str, float]:
        """RankMe of the student's features and of what the head makes of them."""
        features = spread_features(self.student, batches)
        device = next(self.head.parameters()).device
        return {
            "rankme_student": rankme(features),
            "rankme_head": rankme(self.head(features.to(device))),
            "rankme_points": float(len(features)),
        }


def _hidden(settings: CleverdistillerSettings, teacher_width: int) -> list[int]:
    """Widths of the head's hidden layers."""
    wide = teacher_width if settings.head_width == "teacher" else settings.head_width
    return [wide] * (settings.head_layers - 1)
