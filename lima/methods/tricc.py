"""TriCC (CVPR 2023): walks between two scans and their images should end where they began.

Beside SLidR's contrast there are two cycles. One goes from a scan P to the next keyframe P' and
back to P, seen a second time under another augmentation (P2); one from a pixel to P' and back to
the point that it sees. The best matches of the first also lend the features of P' to the contrast.
P' is told apart by a slow copy of the 3D network. Source: the authors' released code, as read in
methods-spatial 4. There the three clouds go through the network one after the other; here they are
one batch, so that its BatchNorm sees all of them together.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from lima_bench.lima.api import Batch, Loss, Student, Teacher, sample_pixels
from lima_bench.lima.company import Company
from lima_bench.lima.cycle import best_matches, round_trips
from lima_bench.lima.draws import drawn, some
from lima_bench.lima.losses import info_nce, mean_or_zero, unit
from lima_bench.lima.methods.cards.tricc import TriccSettings
from lima_bench.lima.pooling import group_mean
from lima_bench.lima.rows import paired_rows
from lima_bench.lima.second_looks import second_looks
from lima_bench.lima.segments import Segments
from lima_bench.lima.take import take_rows
from lima_bench.lima.triplets import TripletHeads, Triplets
from lima_bench.lima.views import ScanInput, ViewPlan

Grids = Float[Tensor, "images h w wide"]


class Tricc(nn.Module):
    """SLidR's contrast, a cycle of scans, and a cycle of image and scans."""

    def __init__(self, settings: TriccSettings, teacher: Teacher, student: Student) -> None:
        super().__init__()
        self.settings = settings
        self.teacher, self.student = teacher, student
        self.heads = TripletHeads(
            student,
            settings.width,
            momentum=settings.momentum,
            bn_momentum=settings.head_bn_momentum,
        )
        self.contrast_pixels = nn.Linear(teacher.width, settings.width)
        self.cycle_pixels = nn.Linear(teacher.width, settings.width)

    def forward(self, batch: Batch) -> Loss:
        """The contrast of superpixels and both cycles, over all scans of the step."""
        grids = self.teacher(batch.images).detach().to(self.contrast_pixels.weight.dtype)
        seen: Triplets = self.heads(self.student, batch)
        return Loss(
            contrast=self._contrast(batch, grids, seen),
            cycle=self.settings.cycle_weight * self._cycle(seen),
            triple=self.settings.triple_weight * self._triple(batch, grids, seen),
        )

    def _cycle(self, seen: Triplets) -> Float[Tensor, ""]:
        """P to P' to P2, from voxels that are drawn in each scan."""
        terms = [seen.match[:0].sum(dim=1)]
        for here, there in seen.frames():
            n_here = here.stop - here.start
            walkers = here.start + drawn(n_here, self.settings.walks, seen.match.device)
            start, end = take_rows(seen.match, walkers), take_rows(seen.match_again, walkers)
            through = seen.match_slow[there]
            terms.append(round_trips(start, through, end, self.settings.cycle_temperature))
        return mean_or_zero(torch.cat(terms))

    def _triple(self, batch: Batch, grids: Grids, seen: Triplets) -> Float[Tensor, ""]:
        """Pixel to P' to P, from pairs that are drawn in each scan."""
        features = self.cycle_pixels(grids)
        pair, row = paired_rows(batch)
        number = seen.twins.number[row]
        terms = [(seen.match[:0] + features.flatten(0, 2)[:0]).sum(dim=1)]
        for here, there in seen.frames():
            ours = torch.nonzero((number >= here.start) & (number < here.stop)).squeeze(1)
            chosen = some(ours, self.settings.walks)
            pixels = sample_pixels(features, batch.pairs.at(pair[chosen]), batch.images.size)
            points = take_rows(seen.match, number[chosen])
            through = seen.match_next[there]
            terms.append(
                round_trips(unit(pixels), through, points, self.settings.cycle_temperature)
            )
        return mean_or_zero(torch.cat(terms))

    def _contrast(self, batch: Batch, grids: Grids, seen: Triplets) -> Float[Tensor, ""]:
        """Superpixels of P, with what matches them in P', against superpixels of the images."""
        segments = Segments.of(batch)
        segments = Segments(segments.ids, max(segments.n_ids, batch.images.n_slots))
        pairs = segments.pairs(batch)
        number = seen.twins.number[pairs.row]
        number, group = number[number >= 0], pairs.group[number >= 0]
        values = take_rows(seen.contrast + self._share(batch) * self._lent(seen), number)
        points, count = group_mean(values, group, segments.n_groups)
        pixels = segments.pixel_means(self.contrast_pixels(grids))
        if self.settings.renormalise_pool:
            points, pixels = unit(points), unit(pixels)
        if self.settings.mask_empty:
            points, pixels = points[count > 0], pixels[count > 0]
        return info_nce(points, pixels, self.settings.temperature)

    def _share(self, batch: Batch) -> float:
        """How much P' may say in the contrast: more and more, up to the warm-up's end."""
        warmup = self.settings.warmup
        return min(1.0, batch.moment.done / warmup) if warmup else 1.0

    def _lent(self, seen: Triplets) -> Float[Tensor, "twins width"]:
        """For each voxel of P its best match in P', if that is one of the batch's best; else 0."""
        matched = torch.zeros(len(seen.match), dtype=torch.int64, device=seen.match.device)
        score = torch.full_like(seen.match[:, 0].detach(), -torch.inf)
        for here, there in seen.frames():
            found, score[here] = best_matches(seen.match[here], seen.match_slow[there])
            matched[here] = found + there.start
        order = torch.argsort(score, descending=True, stable=True)
        best = order[: int(self.settings.matched * len(order))]
        best = best[score[best] > -torch.inf]
        features = take_rows(seen.contrast_next, matched[best])
        return torch.zeros_like(seen.contrast).index_copy(0, best, features)

    @staticmethod
    def company(settings: TriccSettings) -> Company:
        """The next keyframe; at the end of a recording the one before."""
        return Company(offsets=(1,), at_the_end="other_side")

    @staticmethod
    def plan_views(
        settings: TriccSettings, scans: Sequence[ScanInput], rng: np.random.Generator
    ) -> ViewPlan:
        """P, then P' without images, then P once more."""
        return second_looks(scans)
