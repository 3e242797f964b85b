"""Seal (NeurIPS 2023), reconstructed: segments of images and of space teach points.

Three contrasts. Superpoints of a scan must single out their image segment, as in SLidR. Segments
of space, found over two scans at once with the ground removed (`lima_bench.lima.clusters`), must be
recognised half a second later. And each segment must tell its own points from the other points of
the scan. Source: methods-spatial 5.2; published are the three terms, the rest is assumed. Only the
first scan's images are looked at; both scans share weights, and gradients reach both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from lima_bench.lima.api import Batch, Cells, Loss, Student, Teacher
from lima_bench.lima.clusters.groups import Groups
from lima_bench.lima.clusters.kinds import KINDS
from lima_bench.lima.company import Company
from lima_bench.lima.draws import some
from lima_bench.lima.losses import info_nce, products, unit
from lima_bench.lima.methods.cards.seal import SealSettings
from lima_bench.lima.pooling import group_max, group_mean
from lima_bench.lima.rows import rows_of_anchors
from lima_bench.lima.segments import Segments
from lima_bench.lima.views import ScanInput, ViewPlan, plain_plan


@dataclass(frozen=True)
class _Said:
    """What the student says of a batch.

    Attributes:
        cells: As it answers.
        values: Unit embedding of each cell.
        groups: The 3D segment of each row.
        now: Which rows belong to the frames of the step, and not to the scans after them.
    """

    cells: Cells
    values: Float[Tensor, "cells width"]
    groups: Groups
    now: Bool[Tensor, " rows"]

    def at(self, rows: Int[Tensor, " wanted"]) -> Float[Tensor, "wanted width"]:
        return self.cells.at(self.values, rows)


class Seal(nn.Module):
    """Superpixels, segments over time, and points within segments."""

    def __init__(self, settings: SealSettings, teacher: Teacher, student: Student) -> None:
        super().__init__()
        self.settings = settings
        self.teacher, self.student = teacher, student
        self.point_head = nn.Linear(student.width, settings.width)
        self.pixel_head = nn.Linear(teacher.width, settings.width)

    def forward(self, batch: Batch) -> Loss:
        """The three contrasts, each over all scans of the batch."""
        cells = self.student.cells(batch.voxels)
        values = unit(self.point_head(cells.features))
        said = _Said(cells, values, Groups.of(batch), rows_of_anchors(batch))
        settings = self.settings
        return Loss(
            superpixel=settings.superpixel_weight * self._superpixels(batch, said),
            temporal=settings.temporal_weight * self._temporal(said),
            point=settings.point_weight * self._points(batch, said),
        )

    def _superpixels(self, batch: Batch, said: _Said) -> Float[Tensor, ""]:
        """SLidR's contrast; pixels without a segment take no part."""
        segments = Segments.of(batch)
        points, count = segments.point_means(batch, said.cells, said.values)
        grids = self.teacher(batch.images).detach().to(self.pixel_head.weight.dtype)
        pixels = segments.pixel_means(self.pixel_head(grids))
        kept = count > 0
        return info_nce(points[kept], pixels[kept], self.settings.temperature)

    def _temporal(self, said: _Said) -> Float[Tensor, ""]:
        """A segment's mean now against the means later of all segments that are there twice."""
        (now, n_now), (later, n_later) = (
            self._segment_means(said, rows) for rows in (said.now, ~said.now)
        )
        kept = (n_now > 0) & (n_later > 0)
        return info_nce(now[kept], later[kept], self.settings.temperature)

    def _segment_means(
        self, said: _Said, chosen: Bool[Tensor, " rows"]
    ) -> tuple[Float[Tensor, "groups width"], Int[Tensor, " groups"]]:
        rows = said.groups.rows(chosen)
        return group_mean(said.at(rows), said.groups.of_row[rows], said.groups.n_groups)

    def _points(self, batch: Batch, said: _Said) -> Float[Tensor, ""]:
        """Each drawn point of a segment against the drawn points of its scan.

        A segment's feature is the maximum over all its points now, brought back to unit length.
        """
        rows = said.groups.rows(said.now)
        of_row, n_groups = said.groups.of_row, said.groups.n_groups
        segments = unit(group_max(said.at(rows), of_row[rows], n_groups))
        total, n_points = said.values.sum() * 0.0, 0
        for number, scan in enumerate(batch.scans):
            if scan.anchor != number:
                continue
            rows_here = torch.nonzero(batch.view == number).squeeze(1)
            drawn = some(rows_here, self.settings.points_per_scan)
            terms = point_terms(segments, said.at(drawn), of_row[drawn], self.settings.temperature)
            total, n_points = total + terms.sum(), n_points + len(terms)
        return total / max(n_points, 1)

    @staticmethod
    def company(settings: SealSettings) -> Company:
        """The scans over which segments were found."""
        return KINDS["segments"].company

    @staticmethod
    def plan_views(
        settings: SealSettings, scans: Sequence[ScanInput], rng: np.random.Generator
    ) -> ViewPlan:
        """Every scan is seen whole; images only of the step's frames."""
        theirs = (scan.anchor in (None, number) for number, scan in enumerate(scans))
        return ViewPlan(plain_plan(scans).views, tuple(None if own else () for own in theirs))


def point_terms(
    segments: Float[Tensor, "groups width"],
    points: Float[Tensor, "drawn width"],
    group: Int[Tensor, " drawn"],
    temperature: float,
) -> Float[Tensor, " inside"]:
    """``-log softmax`` over all `points` of a segment's likeness to a point of its own.

    Args:
        segments: One vector each.
        points: Of one scan.
        group: The segment of each point; those with -1 are candidates only.
        temperature: Of the contrast.
    """
    inside = torch.nonzero(group >= 0).squeeze(1)
    named, place = torch.unique(group[inside], return_inverse=True)
    logits = products(segments[named] / temperature, points)
    return logits.logsumexp(1)[place] - logits[place, inside]
