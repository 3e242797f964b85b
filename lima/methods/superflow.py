"""SuperFlow (ECCV 2024): a class keeps its name in images, in denser clouds and over time.

Points are averaged over each semantic class of a scan. The mean must single out, among all classes
of all samples of the batch, the mean image feature of its class (spatial), the same class in a
cloud with earlier sweeps (dense to sparse), and the same class in the keyframes before and after
(temporal). Every cloud is augmented by itself; whether images are mirrored, as published, says the
recipe: only without can teacher features be kept. Source: the authors' released code, as read in
methods-temporal 2.1 to 2.3. There each cloud enters the network alone; here all share a forward
pass, so BatchNorm sees them together.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from lima_bench.datasets.sample import Int64
from lima_bench.lima.api import Batch, Loss, Student, Teacher
from lima_bench.lima.class_groups import pixel_class_means, point_class_means
from lima_bench.lima.company import Company
from lima_bench.lima.losses import info_nce, unit_distance
from lima_bench.lima.methods.cards.superflow import SuperflowSettings
from lima_bench.lima.views import ScanInput, ViewPlan, plain_plan

Means = Float[Tensor, "groups width"]
Valid = Bool[Tensor, " groups"]


class Superflow(nn.Module):
    """Contrast of class means between clouds and images, clouds and clouds, now and then."""

    def __init__(self, settings: SuperflowSettings, teacher: Teacher, student: Student) -> None:
        super().__init__()
        self.settings = settings
        self.teacher, self.student = teacher, student
        self.point_head = nn.Linear(student.width, settings.width)
        nn.init.normal_(self.point_head.weight, std=0.01)
        nn.init.zeros_(self.point_head.bias)
        self.pixel_head = nn.Linear(teacher.width, settings.width)

    def forward(self, batch: Batch) -> Loss:
        """One term each for space, density and time; those that settings leave out are absent."""
        grids = self.teacher(batch.images).detach().to(self.pixel_head.weight.dtype)
        points, count = point_class_means(self.student, self.point_head, batch)
        pixels = pixel_class_means(self.pixel_head(grids), batch)
        # Scans stand frame by frame: those of the step, then each kind of company for all of them.
        n_groups = batch.n_anchors * batch.images.n_slots
        clouds = points.view(-1, n_groups, self.settings.width)
        images = pixels.reshape(clouds.shape)
        valid = count.view(-1, n_groups) > 0
        frames = self.settings.frames
        spatial = [self._contrast(clouds[n], images[n], valid[n]) for n in range(frames)]
        loss = Loss(spatial=torch.stack(spatial).mean())
        if self.settings.sweeps:
            loss.terms["d2s"] = self._dense_to_sparse(clouds[0], clouds[-1], valid[0])
        if frames > 1:
            temporal = [
                self._contrast(clouds[0], clouds[other], valid[0] & valid[other])
                for other in range(1, frames)
            ]
            loss.terms["temporal"] = torch.stack(temporal).mean()
        return loss

    def _contrast(self, queries: Means, keys: Means, valid: Valid) -> Float[Tensor, ""]:
        return info_nce(queries[valid], keys[valid], self.settings.temperature)

    def _dense_to_sparse(self, sparse: Means, dense: Means, valid: Valid) -> Float[Tensor, ""]:
        if self.settings.d2s == "nce":
            return self._contrast(sparse, dense, valid)
        return unit_distance(sparse[valid], dense[valid], "cosine")

    @staticmethod
    def company(settings: SuperflowSettings) -> Company:
        """The keyframes before and after, the frame itself where there is none, and sweeps."""
        return Company(offsets=(-1, 1)[: settings.frames - 1], sweeps=settings.sweeps)

    @staticmethod
    def plan_views(
        settings: SuperflowSettings, scans: Sequence[ScanInput], rng: np.random.Generator
    ) -> ViewPlan:
        """Every cloud whole; some cameras of each sample, the same in all its frames."""
        anchors = [n if scan.anchor is None else scan.anchor for n, scan in enumerate(scans)]
        seen = [np.unique(scan.pairs.camera) for scan in scans]
        drawn = {}
        for anchor in sorted(set(anchors)):
            own = [found for found, of in zip(seen, anchors, strict=True) if of == anchor]
            drawn[anchor] = _some(reduce(np.union1d, own), settings.cameras, rng)
        cameras = tuple(_kept(drawn[of], found) for of, found in zip(anchors, seen, strict=True))
        return ViewPlan(plain_plan(scans).views, cameras)


def _some(cameras: Int64, wanted: int, rng: np.random.Generator) -> Int64 | None:
    """So many of the cameras that see any point; None, which keeps all, if there are no more."""
    return None if len(cameras) <= wanted else rng.choice(cameras, wanted, replace=False)


def _kept(drawn: Int64 | None, seen: Int64) -> tuple[int, ...] | None:
    """Those drawn for the sample that see any point of this scan."""
    return None if drawn is None else tuple(np.intersect1d(drawn, seen).tolist())
