"""CSC (CVPR 2024): superpixels are semantic classes, and classes have prototypes.

One term is SLidR's contrast with one group per class and image. The other asks that a group's
points name their class among prototypes, which mix the mean 3D and 2D feature of every class over
the data set; a calm pass over it (`lima_bench.lima.survey`) makes them anew every tenth of the run.
Source: the authors' released code, as read in methods-spatial 6.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from lima_bench.common.errors import UserError
from lima_bench.lima import ranks
from lima_bench.lima.api import Batch, Loss, Student, Teacher
from lima_bench.lima.losses import info_nce, mean_or_zero, products
from lima_bench.lima.methods.cards.csc import CscSettings
from lima_bench.lima.segments import Segments, superpoint_means
from lima_bench.lima.survey import n_due


class Csc(nn.Module):
    """Contrast of class means within the batch, and with prototypes of the whole data set."""

    point_prototypes: Tensor
    pixel_prototypes: Tensor

    def __init__(self, settings: CscSettings, teacher: Teacher, student: Student) -> None:
        super().__init__()
        self.settings = settings
        self.teacher, self.student = teacher, student
        self.point_head = nn.Linear(student.width, settings.width)
        self.pixel_head = nn.Linear(teacher.width, settings.width)
        self.mix = _mixer(settings)
        blank = torch.zeros(settings.classes, settings.width)
        self.register_buffer("point_prototypes", blank)
        self.register_buffer("pixel_prototypes", blank.clone())

    def forward(self, batch: Batch) -> Loss:
        """The contrast alone until prototypes were made, then half of each term."""
        seen = self._seen(batch)
        contrast = info_nce(seen.points, seen.pixels, self.settings.temperature)
        moment = batch.moment
        if n_due(moment.step, moment.total_steps, self.settings.refresh_every) == 0:
            return Loss(contrast=contrast)
        both = torch.cat([self.point_prototypes, self.pixel_prototypes], dim=1)
        logits = products(seen.points, self.mix(both)) / self.settings.cluster_temperature
        terms = F.cross_entropy(logits, seen.number, reduction="none")
        return Loss(contrast=contrast / 2, cluster=mean_or_zero(terms) / 2)

    @staticmethod
    def survey_every(settings: CscSettings) -> float:
        """Share of the run between two passes over the data set."""
        return settings.refresh_every

    def survey(self, batches: Iterable[Batch]) -> None:
        """Make the prototypes: mean of each class's group means, 0 for a class never met.

        Devices are averaged without regard to how often each met a class, as published.
        """
        classes, width = self.settings.classes, self.settings.width
        total = self.point_prototypes.new_zeros(2, classes, width, dtype=torch.float64)
        count = torch.zeros(classes, dtype=torch.int64, device=total.device)
        for batch in batches:
            seen = self._seen(batch)
            for modality, values in enumerate((seen.points, seen.pixels)):
                total[modality].index_add_(0, seen.number, values.double())
            count += torch.bincount(seen.number, minlength=classes)
        means = ranks.mean_over_ranks(total / count.clamp(min=1)[:, None])
        if self.settings.csc_index_shift:
            means = torch.cat([means[:, 1:], means.new_zeros(2, 1, width)], dim=1)
        self.point_prototypes.copy_(means[0])
        self.pixel_prototypes.copy_(means[1])

    def _seen(self, batch: Batch) -> _Seen:
        """The groups that hold at least one pair."""
        if batch.images.n_slots > self.settings.classes:
            what = f"Masks have ids up to {batch.images.n_slots - 1}."
            how = f"Set the method's classes to {batch.images.n_slots} or more."
            raise UserError(f"csc: classes {self.settings.classes}", what, how)
        segments = Segments.of(batch)
        points, count = superpoint_means(self.student, self.point_head, batch, segments)
        grids = self.teacher(batch.images).detach().to(self.pixel_head.weight.dtype)
        pixels = segments.pixel_means(self.pixel_head(grids))
        kept = torch.nonzero(count > 0).squeeze(1)
        return _Seen(points[kept], pixels[kept], kept % segments.n_ids)


@dataclass(frozen=True)
class _Seen:
    """What a batch shows of classes: one row per image and class.

    Attributes:
        points: Mean embedding of its points.
        pixels: Mean embedding of its pixels.
        number: The class.
    """

    points: Float[Tensor, "groups width"]
    pixels: Float[Tensor, "groups width"]
    number: Int[Tensor, " groups"]


def _mixer(settings: CscSettings) -> nn.Sequential:
    """Both prototypes of a class to one; its BatchNorm sees the classes as a batch."""
    both, hidden = 2 * settings.width, settings.hidden
    layers = [
        *(nn.Linear(both, hidden), nn.BatchNorm1d(hidden), nn.GELU()),
        *(nn.Linear(hidden, hidden), nn.BatchNorm1d(hidden), nn.GELU()),
        nn.Linear(hidden, settings.width),
    ]
    for layer in layers:
        if isinstance(layer, nn.Linear):
            nn.init.trunc_normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)
    return nn.Sequential(*layers)
