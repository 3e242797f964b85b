"""PointContrast (ECCV 2020), outdoors: the same place in two scans should look the same.

A keyframe and the next one are registered by the car's poses; a point's nearest neighbour, if near
enough, is its positive, the other positives' partners are its negatives. No image and no teacher.
Source: the released code for what is computed (methods-spatial 8.1); the outdoor version of the
tables was never published, its values are those of methods-spatial 8.2. As there each occupied cell
is an anchor at most once: points of one cell share a feature and could not be told apart. Of
VoxelNet 8.2 would compare stride-8 voxels; here points read its map, as for every other method.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from lima_bench.lima.api import Batch, Cells, Loss, Student, Teacher
from lima_bench.lima.company import Company
from lima_bench.lima.draws import one_of_each, some
from lima_bench.lima.losses import info_nce, mean_or_zero, products, unit
from lima_bench.lima.methods.cards.pointcontrast import PointcontrastSettings
from lima_bench.lima.registration import registered_matches
from lima_bench.lima.rows import row_of_point, rows_of_anchors
from lima_bench.lima.views import ScanInput, ViewPlan, plain_plan

_TINY = 1e-7
"""Under the root of a distance, as published: its gradient stays finite at 0."""


@dataclass(frozen=True)
class _Side:
    """Places as one of two registered scans shows them.

    Attributes:
        rows: Of the student's input.
        cell: What tells a row's feature apart: its cell, or the row where features mix cells.
    """

    rows: Int[Tensor, " places"]
    cell: Int[Tensor, " places"]

    @classmethod
    def of(cls, cells: Cells, rows: Int[Tensor, " places"]) -> _Side:
        """Of these rows."""
        own = cells.readout.one_cell(rows)
        return cls(rows, rows if own is None else own)

    def some(self, chosen: Int[Tensor, " chosen"]) -> _Side:
        """Those of these places."""
        return _Side(self.rows[chosen], self.cell[chosen])


class Pointcontrast(nn.Module):
    """Contrast of registered points between a frame and its neighbour."""

    def __init__(
        self, settings: PointcontrastSettings, teacher: Teacher | None, student: Student
    ) -> None:
        super().__init__()
        self.settings, self.student = settings, student
        self.head = nn.Linear(student.width, settings.width)

    def forward(self, batch: Batch) -> Loss:
        """PointInfoNCE, or the hardest-contrastive loss."""
        cells = self.student.cells(batch.voxels)
        values = unit(self.head(cells.features))
        now, later = self._pairs(batch, cells)
        if self.settings.loss == "hardest":
            return self._hardest(batch, cells, values, now, later)
        chosen = some(one_of_each(now.cell), self.settings.pairs)
        anchors, partners = (cells.at(values, side.rows[chosen]) for side in (now, later))
        return Loss(contrast=info_nce(anchors, partners, self.settings.temperature))

    def _pairs(self, batch: Batch, cells: Cells) -> tuple[_Side, _Side]:
        """Registered points that the student sees at both times."""
        matches = registered_matches(batch, self.settings.radius_cells * batch.edge_m)
        rows = row_of_point(batch)
        now, later = rows[matches.point], rows[matches.partner]
        kept = torch.nonzero((now >= 0) & (later >= 0)).squeeze(1)
        return _Side.of(cells, now[kept]), _Side.of(cells, later[kept])

    def _hardest(
        self,
        batch: Batch,
        cells: Cells,
        values: Float[Tensor, "cells width"],
        now: _Side,
        later: _Side,
    ) -> Loss:
        """Pulls positives within one margin, pushes the nearest negatives beyond another."""
        settings, n_frames = self.settings, batch.n_anchors
        n_cells = max(len(cells.features), len(batch.source))
        known = now.cell * n_cells + later.cell
        drawn = some(torch.arange(len(known), device=known.device), settings.positives * n_frames)
        now, later = now.some(drawn), later.some(drawn)
        anchors, partners = cells.at(values, now.rows), cells.at(values, later.rows)
        pull = ((anchors - partners).square().sum(1) - settings.positive_margin).relu()
        ours = rows_of_anchors(batch)
        of_now, of_later = (
            _Side.of(cells, some(torch.nonzero(side).squeeze(1), settings.negatives * n_frames))
            for side in (ours, ~ours)
        )
        distance_later, place = nearest_of(anchors, cells.at(values, of_later.rows))
        forth = ~torch.isin(now.cell * n_cells + of_later.cell[place], known)
        distance_now, place = nearest_of(partners, cells.at(values, of_now.rows))
        back = ~torch.isin(of_now.cell[place] * n_cells + later.cell, known)
        push = [
            mean_or_zero((settings.negative_margin - distance[wrong]).relu().square())
            for distance, wrong in ((distance_later, forth), (distance_now, back))
        ]
        return Loss(positive=mean_or_zero(pull), negative=(push[0] + push[1]) / 2)

    @staticmethod
    def company(settings: PointcontrastSettings) -> Company:
        """The next keyframe; the last one of a recording goes with the one before it."""
        return Company(offsets=(1,), at_the_end="other_side")

    @staticmethod
    def plan_views(
        settings: PointcontrastSettings, scans: Sequence[ScanInput], rng: np.random.Generator
    ) -> ViewPlan:
        """Every scan under a motion of its own; no image."""
        return ViewPlan(plain_plan(scans).views, ((),) * len(scans))


def nearest_of(
    vectors: Float[Tensor, "anchors width"], candidates: Float[Tensor, "candidates width"]
) -> tuple[Float[Tensor, " anchors"], Int[Tensor, " anchors"]]:
    """Distance of each vector to the candidate nearest to it, and which one that is.

    With no vector there may be no candidate either.
    """
    if len(vectors) == 0:
        return vectors.sum(1), torch.zeros(0, dtype=torch.int64, device=vectors.device)
    with torch.no_grad():
        place = (candidates.square().sum(1) - 2 * products(vectors, candidates)).argmin(1)
    return ((vectors - candidates[place]).square().sum(1) + _TINY).sqrt(), place
