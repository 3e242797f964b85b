"""LiMA (ICCV 2025): each point follows what all cameras said about its place, now and before.

Per step: unify cameras (`cross_view`), undo the car's motion and pool with the memory bank
(`align`, `memory`, `propagation`), distil into the scans and into mixtures of scans of different
recordings (`mixing`). Targets are made before and apart from the student's augmentation, and only
the current cloud enters the student. No method code was ever published; what the paper's figure
leaves open is a setting, with the defaults of methods-temporal 3.2.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from lima_bench.lima.align import Aligner, PlacedCloud
from lima_bench.lima.api import Batch, Loss, Scan, Student, Teacher, sample_pixels
from lima_bench.lima.cross_view import Observed, observe
from lima_bench.lima.losses import mean_or_zero, unit_distances
from lima_bench.lima.memory import Keyframe, MemoryBank
from lima_bench.lima.methods.catalogue import LimaSettings
from lima_bench.lima.mixing import mixed_views
from lima_bench.lima.propagation import propagate
from lima_bench.lima.rows import meet
from lima_bench.lima.views import ScanInput, ViewPlan, plain_plan


class Lima(nn.Module):
    """Distillation of cross-view, cross-frame targets into scans and mixed scans."""

    def __init__(self, settings: LimaSettings, teacher: Teacher, student: Student) -> None:
        super().__init__()
        self.settings = settings
        self.teacher, self.student = teacher, student
        self.head = nn.Linear(student.width, teacher.width)
        self.bank = MemoryBank(settings.frames - 1)
        self.aligner = Aligner(settings.radius_m)

    def forward(self, batch: Batch) -> Loss:
        """Distance of the student to the targets; the scans then enter the memory."""
        targets = self.targets(batch)
        rows, met = meet(batch.source, targets.point, len(batch.xyz))
        points = self.head(self.student(batch.voxels)[rows])
        distances = unit_distances(points, targets.features[met], self.settings.distance)
        view, n_views = batch.view[rows], batch.voxels.n_clouds
        loss = Loss(distill=self._mean(distances, view, 0, batch.n_scan_views))
        if self.settings.mix != "none":
            mixed = self._mean(distances, view, batch.n_scan_views, n_views)
            loss.terms["mix"] = self.settings.mix_weight * mixed
        return loss

    @torch.no_grad()
    def targets(self, batch: Batch) -> Observed:
        """What every point of the batch should look like; moves the memory one step on.

        Scans are taken in order, so two of one recording in a batch see each other.
        """
        grids = self.teacher(batch.images)
        pixels = sample_pixels(grids, batch.pairs, batch.images.size)
        observed = observe(pixels, batch.pairs, batch.images.size, self.settings.cva)
        if self.bank.length == 0:
            return observed
        xyz = batch.xyz.float().cpu().numpy()
        made = [self._scan_targets(scan, xyz, observed) for scan in batch.scans]
        self.bank.end_step()
        return Observed(
            torch.cat([one.point for one in made]), torch.cat([one.features for one in made])
        )

    def _scan_targets(
        self, scan: Scan, xyz: npt.NDArray[np.float32], observed: Observed
    ) -> Observed:
        bounds = torch.tensor([scan.start, scan.stop], device=observed.point.device)
        first, last = torch.searchsorted(observed.point, bounds).tolist()
        now = Observed(observed.point[first:last] - scan.start, observed.features[first:last])
        pose = scan.lidar_to_global.double().cpu().numpy()
        cloud = PlacedCloud(xyz[scan.start : scan.stop], pose)
        seen = PlacedCloud(cloud.xyz[now.point.cpu().numpy()], pose)
        earlier = self.bank.visit(scan.sequence, Keyframe(scan.index, seen, now.features.half()))
        past = [(scan.index - frame.index, frame) for frame in earlier]
        made = propagate(now, cloud, past, self.aligner, self.settings)
        return Observed(made.point + scan.start, made.features)

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
    def plan_views(
        settings: LimaSettings, scans: Sequence[ScanInput], rng: np.random.Generator
    ) -> ViewPlan:
        """Every scan, then one mixture for every two scans."""
        plain = plain_plan(scans)
        return ViewPlan((*plain.views, *mixed_views(scans, settings.mix, rng)), plain.cameras)
