"""LiMA (ICCV 2025): each point follows what all cameras said about its place, now and before.

Per step: unify cameras (`cross_view`), undo the car's motion and pool with the memory bank
(`recall`, `memory`, `propagation`), distil into the scans and into mixtures of scans of different
recordings (`mixing`). Targets are made before and apart from the student's augmentation, and only
the current cloud enters the student. No method code was ever published; what the paper's figure
leaves open is a setting, with the defaults of methods-temporal 3.2.

Past frames are remembered (``access: streams``) or come along with each frame as company that the
student never sees (``access: random``): the same targets, bit for bit, for frames in any order. At
six frames of the embedded profile that took 1.12 times the step on one core (178 against 160 ms),
1.4 times its loading (1.9 where read scans do not stay in memory) and 0.15 GiB more at the peak.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from lima_bench.lima.api import Batch, Loss, Student, Teacher
from lima_bench.lima.company import Company
from lima_bench.lima.heads import head_distances, projection_head
from lima_bench.lima.lookback import Lookback
from lima_bench.lima.losses import mean_or_zero
from lima_bench.lima.memory import Keyframe, MemoryBank
from lima_bench.lima.methods.card import OrderKind
from lima_bench.lima.methods.cards.lima import LimaSettings
from lima_bench.lima.mixing import mixed_views
from lima_bench.lima.propagation import Past, averaged_by_voxel, fill_targets, target_points
from lima_bench.lima.recall import Glance, glance, recalled
from lima_bench.lima.rows import meet
from lima_bench.lima.views import ScanInput, View, ViewPlan, plain_plan

_HIDDEN = 2048
"""Width of the ``mlp`` head's hidden layer (ScaLR+, methods-temporal 1.5)."""


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
    """One scan, now and in the other frames of its window.

    Attributes:
        ours: What it shows now.
        past: What the other frames say.
        point: The points of the scan that get a target.
    """

    ours: Glance
    past: list[Past]
    point: Int[Tensor, " targets"]


class Lima(nn.Module):
    """Distillation of cross-view, cross-frame targets into scans and mixed scans."""

    def __init__(self, settings: LimaSettings, teacher: Teacher, student: Student) -> None:
        super().__init__()
        self.settings = settings
        self.teacher, self.student = teacher, student
        hidden = [_HIDDEN] if settings.head == "mlp" else []
        self.head = projection_head(student.width, hidden, teacher.width)
        self.bank = MemoryBank(settings.n_remembered, settings.stride)

    def forward(self, batch: Batch) -> Loss:
        """Distance of the student to the targets; the scans then enter the memory."""
        settings, targets = self.settings, self.targets(batch)
        features = targets.features
        rows, met = meet(batch.source, targets.point, len(batch.xyz))
        if settings.targets == "voxel":
            rows, met, features = averaged_by_voxel(rows, met, batch.voxels.inverse, features)
        cells = self.student.cells(batch.voxels)
        distances = head_distances(self.head, cells, rows, features, met, settings.distance)
        view, n_views = batch.view[rows], batch.voxels.n_clouds
        loss = Loss(distill=self._mean(distances, view, 0, batch.n_anchors))
        if settings.mix != "none":
            mixed = self._mean(distances, view, batch.n_scan_views, n_views)
            loss.terms["mix"] = settings.mix_weight * mixed
        return loss

    @torch.no_grad()
    def targets(self, batch: Batch) -> Targets:
        """What every point of the batch should look like; moves the memory one step on.

        Scans are taken in order, so two of one recording in a batch see each other's memory. A
        scan that stands in for a missing frame of a window is not looked at a second time.
        """
        grids, n_taught = self.teacher(batch.images), _n_taught(self.settings, batch.n_anchors)
        looked_at = [n for n, scan in enumerate(batch.scans) if n < n_taught or scan.offset]
        glances = {n: glance(batch, n, grids, self.settings) for n in looked_at}
        looks = [look for n in range(batch.n_anchors) for look in self._looks(batch, glances, n)]
        self.bank.end_step()
        point = torch.cat([look.point + look.ours.scan.start for look in looks])
        features = glances[0].now.grids.new_empty((len(point), grids.shape[-1]))
        filled = 0
        for look in looks:
            part = features[filled : filled + len(look.point)]
            fill_targets(part, look.point, look.ours.now, look.past, self.settings)
            filled += len(part)
        return Targets(point, features)

    def _looks(self, batch: Batch, glances: Mapping[int, Glance], anchor: int) -> list[_Look]:
        """A scan of the step and the partner that came along with it: one window for both."""
        ours = glances[anchor]
        window = [*self._remembered(ours), *self._brought(glances.values(), anchor)]
        taught = [ours]
        if self.settings.brings_partners:
            taught.append(glances[batch.n_anchors + anchor])
        return [self._look(one, window) for one in taught]

    def _look(self, ours: Glance, window: Sequence[tuple[int, Keyframe]]) -> _Look:
        others = (entry for entry in window if entry[0] != ours.scan.index)
        past = [recalled(ours, index, frame, self.settings) for index, frame in others]
        return _Look(ours, past, target_points(ours.now, past, len(ours.xyz), self.settings))

    def _remembered(self, ours: Glance) -> tuple[tuple[int, Keyframe], ...]:
        if self.bank.length == 0:
            return ()
        return self.bank.visit(ours.scan.sequence, ours.scan.index, ours.keyframe())

    def _brought(self, glances: Iterable[Glance], anchor: int) -> list[tuple[int, Keyframe]]:
        """The company that belongs to a scan's window, oldest first as the memory has it."""
        offsets = self.settings.brought
        ours = [g for g in glances if g.scan.anchor == anchor and g.scan.offset in offsets]
        ours.sort(key=lambda one: one.scan.index)
        return [(one.scan.index, one.keyframe()) for one in ours]

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
    def order(settings: LimaSettings) -> OrderKind:
        """In time only where the past is to be remembered."""
        return "streams" if settings.access == "streams" else "shuffled"

    @staticmethod
    def lookback(settings: LimaSettings) -> Lookback:
        """The other frames of the window, if the loader knows which of their points count."""
        foreseen = settings.align == "nn" and settings.occlusion == "none"
        length, offsets = (settings.n_remembered, settings.brought) if foreseen else (0, ())
        return Lookback(length, settings.radius_m, settings.stride, offsets)

    @staticmethod
    def company(settings: LimaSettings) -> Company:
        """Partners to be mixed with come first, then what of the window is not remembered."""
        partners = (-1,) if settings.brings_partners else ()
        return Company((*partners, *(n for n in settings.brought if n not in partners)))

    @staticmethod
    def plan_views(
        settings: LimaSettings, scans: Sequence[ScanInput], rng: np.random.Generator
    ) -> ViewPlan:
        """Every scan of the step, then one mixture for every two; company is never shown alone.

        What stands in for a missing frame of a window brings no images.
        """
        n_anchors = sum(scan.anchor in (None, number) for number, scan in enumerate(scans))
        n_taught = _n_taught(settings, n_anchors)
        plain = plain_plan(scans)
        cameras = tuple(None if n < n_taught or s.offset else () for n, s in enumerate(scans))
        shown = 0 if settings.mix_only else n_anchors
        hidden = [View(((n, np.zeros(0, np.int64)),)) for n in range(shown, len(scans))]
        brought = range(n_anchors, 2 * n_anchors) if settings.brings_partners else None
        drawn = scans if settings.brings_partners else scans[:n_anchors]
        mixed = mixed_views(drawn, settings.mix, rng, brought=brought)
        return ViewPlan((*plain.views[:shown], *hidden, *mixed), cameras)


def _n_taught(settings: LimaSettings, n_anchors: int) -> int:
    """How many of the scans, from the first on, get targets of their own."""
    return 2 * n_anchors if settings.brings_partners else n_anchors
