"""LiMA (ICCV 2025): each point follows what all cameras said about its place, now and before.

Per step: unify cameras (`cross_view`), undo the car's motion and pool with the memory bank
(`align`, `memory`, `propagation`), distil into the scans and into mixtures of scans of different
recordings (`mixing`). Targets are made before and apart from the student's augmentation, and only
the current cloud enters the student. No method code was ever published; what the paper's figure
leaves open is a setting, with the defaults of methods-temporal 3.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from lima_bench.lima.align import PlacedCloud, nearest
from lima_bench.lima.api import Batch, Loss, PairIndex, Scan, Student, Teacher
from lima_bench.lima.cross_view import Sight, observe
from lima_bench.lima.lookback import Lookback
from lima_bench.lima.losses import mean_or_zero
from lima_bench.lima.memory import Keyframe, MemoryBank
from lima_bench.lima.methods.cards.lima import LimaSettings
from lima_bench.lima.mixing import mixed_views
from lima_bench.lima.projection import projected_distances
from lima_bench.lima.propagation import Past, fill_targets, target_points
from lima_bench.lima.rows import meet
from lima_bench.lima.views import ScanInput, ViewPlan, plain_plan


@dataclass(frozen=True)
class Targets:
    """What points should look like.

    Attributes:
        point: The point of the batch that each is for; repeated where cameras are not unified.
        features: One each.
    """

    point: Int[Tensor, " targets"]
    features: Float[Tensor, "targets width"]


@dataclass(frozen=True)
class _Look:
    """One scan, now and before.

    Attributes:
        start: Its first point in the batch.
        now: What its cameras say.
        past: What the memory says.
        point: The points of the scan that get a target.
    """

    start: int
    now: Sight
    past: list[Past]
    point: Int[Tensor, " targets"]


class Lima(nn.Module):
    """Distillation of cross-view, cross-frame targets into scans and mixed scans."""

    def __init__(self, settings: LimaSettings, teacher: Teacher, student: Student) -> None:
        super().__init__()
        self.settings = settings
        self.teacher, self.student = teacher, student
        self.head = nn.Linear(student.width, teacher.width)
        self.bank = MemoryBank(settings.frames - 1)

    def forward(self, batch: Batch) -> Loss:
        """Distance of the student to the targets; the scans then enter the memory."""
        targets = self.targets(batch)
        rows, met = meet(batch.source, targets.point, len(batch.xyz))
        table, places = self.student.cells(batch.voxels).addressed(rows)
        distances = projected_distances(
            table, places, self.head, targets.features, met, self.settings.distance
        )
        view, n_views = batch.view[rows], batch.voxels.n_clouds
        loss = Loss(distill=self._mean(distances, view, 0, batch.n_scan_views))
        if self.settings.mix != "none":
            mixed = self._mean(distances, view, batch.n_scan_views, n_views)
            loss.terms["mix"] = self.settings.mix_weight * mixed
        return loss

    @torch.no_grad()
    def targets(self, batch: Batch) -> Targets:
        """What every point of the batch should look like; moves the memory one step on.

        Scans are taken in order, so two of one recording in a batch see each other.
        """
        grids = self.teacher(batch.images)
        looks = [self._look(batch, scan, grids) for scan in batch.scans]
        self.bank.end_step()
        point = torch.cat([look.point + look.start for look in looks])
        features = looks[0].now.grids.new_empty((len(point), grids.shape[-1]))
        filled = 0
        for look in looks:
            part = features[filled : filled + len(look.point)]
            fill_targets(part, look.point, look.now, look.past, self.settings)
            filled += len(part)
        return Targets(point, features)

    def _look(self, batch: Batch, scan: Scan, grids: Float[Tensor, "images h w width"]) -> _Look:
        """What there is to know of one scan, which then enters the memory."""
        xyz, pairs = batch.xyz[scan.start : scan.stop], _pairs_of(batch.pairs, scan)
        now = observe(grids, pairs, batch.images.size, self.settings.cva)
        past = [
            Past(
                scan.index - index,
                frame.sight.on(grids.device),
                self._rows(scan, xyz, index, frame),
            )
            for index, frame in self._remembered(scan, xyz, now)
        ]
        point = target_points(now, past, len(xyz), self.settings)
        return _Look(scan.start, now, past, point)

    def _remembered(
        self, scan: Scan, xyz: Float[Tensor, "points 3"], now: Sight
    ) -> tuple[tuple[int, Keyframe], ...]:
        if self.bank.length == 0:
            return ()
        sight = now.once()
        frame = Keyframe(xyz[sight.point], scan.lidar_to_global.double(), sight.packed())
        return self.bank.visit(scan.sequence, scan.index, frame)

    def _rows(
        self, scan: Scan, xyz: Float[Tensor, "points 3"], index: int, frame: Keyframe
    ) -> Int[Tensor, " points"]:
        """Where the scan's points lie in a past frame: as the loader found, or searched for now."""
        if scan.matches is not None and index in scan.matches.indices:
            return scan.matches.rows[scan.matches.indices.index(index)]
        now = _placed(xyz, scan.lidar_to_global)
        then = _placed(frame.xyz, frame.lidar_to_global)
        found = torch.from_numpy(nearest(now, then, self.settings.radius_m))
        return found.to(xyz.device)

    def _mean(
        self,
        distances: Float[Tensor, " meetings"],
        view: Int[Tensor, " meetings"],
        start: int,
        stop: int,
    ) -> Float[Tensor, ""]:
        """Over the rows of views start..stop: all at once, or per view and then over views."""
        if self.settings.reduce == "pooled":
            return mean_or_zero(distances[(view >= start) & (view < stop)])
        means = [mean_or_zero(distances[view == number]) for number in range(start, stop)]
        return mean_or_zero(torch.stack(means)) if means else mean_or_zero(distances[:0])

    @staticmethod
    def lookback(settings: LimaSettings) -> Lookback:
        """The keyframes that the memory holds."""
        return Lookback(settings.frames - 1, settings.radius_m)

    @staticmethod
    def plan_views(
        settings: LimaSettings, scans: Sequence[ScanInput], rng: np.random.Generator
    ) -> ViewPlan:
        """Every scan, then one mixture for every two scans."""
        plain = plain_plan(scans)
        return ViewPlan((*plain.views, *mixed_views(scans, settings.mix, rng)), plain.cameras)


def _placed(xyz: Float[Tensor, "points 3"], lidar_to_global: Float[Tensor, "4 4"]) -> PlacedCloud:
    return PlacedCloud(xyz.float().cpu().numpy(), lidar_to_global.double().cpu().numpy())


def _pairs_of(pairs: PairIndex, scan: Scan) -> PairIndex:
    """The pairs of one scan, whose points count from 0."""
    ours = torch.nonzero((pairs.point >= scan.start) & (pairs.point < scan.stop)).squeeze(1)
    return PairIndex(
        pairs.point[ours] - scan.start, pairs.image[ours], pairs.row[ours], pairs.col[ours]
    )
