"""GCC-3D (ICCV 2021), reconstructed: places near each other look alike, and so does a thing twice.

A scan is seen twice, under two random motions. Geometry: a place's feature in one look must find
its own and, the less the farther, its neighbours' in the other. Harmonisation, from half of the run
on: pseudo-instances (`lima_bench.lima.clusters`) must be as near to each prototype in both looks.
Source: the abstract's two ideas; all else is methods-spatial 9. No image and no teacher.

The reconstruction speaks of a detector: of stride-8 voxels, and of a bird's-eye map behind a 2D
network. A student of segmentation has neither, and one that has them answers per point through the
same `Cells`. So a *place* is one point of each cube as wide as eight voxels of 0.1 m, which thins a
scan as striding does, and an instance is the maximum over what its points read of the student's
last features, those that a 2D network or a head would be fed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from lima_bench.lima.api import Batch, Cells, Loss, Student, Teacher
from lima_bench.lima.clusters.groups import Groups
from lima_bench.lima.draws import one_of_each, some
from lima_bench.lima.heads import Mlp
from lima_bench.lima.losses import products, unit
from lima_bench.lima.methods.cards.gcc3d import Gcc3dSettings
from lima_bench.lima.pooling import group_max
from lima_bench.lima.prototypes import PrototypeBank
from lima_bench.lima.rows import row_in_second_look, row_of_point
from lima_bench.lima.views import ScanInput, ViewPlan, plain_plan


class Gcc3d(nn.Module):
    """Geometry-aware contrast of places, harmonisation of pseudo-instances."""

    def __init__(self, settings: Gcc3dSettings, teacher: Teacher | None, student: Student) -> None:
        super().__init__()
        self.settings, self.student = settings, student
        self.head = nn.Linear(student.width, settings.width)
        self.instance_head = Mlp(
            student.width, [settings.hidden], settings.instance_width, norm="none"
        )
        self.bank = PrototypeBank(settings.prototypes, settings.instance_width, settings.bank)

    def forward(self, batch: Batch) -> Loss:
        """Both terms; the second is 0 until it is switched on and prototypes exist."""
        cells = self.student.cells(batch.voxels)
        return Loss(geometry=self._geometry(batch, cells), harmony=self._harmony(batch, cells))

    def _geometry(self, batch: Batch, cells: Cells) -> Float[Tensor, ""]:
        """Each look against the other, over places of all scans."""
        settings = self.settings
        first, second = row_of_point(batch), row_in_second_look(batch)
        seen = torch.nonzero((first >= 0) & (second >= 0)).squeeze(1)
        scan = _scan_of_point(batch)
        place = one_of_each(_cubes(batch.xyz[seen], scan[seen], settings.place_m))
        points = seen[some(place, settings.places)]
        values = unit(self.head(cells.features))
        looks = [cells.at(values, rows[points]) for rows in (first, second)]
        wanted = closeness(batch.xyz[points], scan[points], settings.sigma_m)
        both = (looks, looks[::-1])
        terms = [soft_contrast(one, other, wanted, settings.temperature) for one, other in both]
        return (terms[0] + terms[1]) / 2

    def _harmony(self, batch: Batch, cells: Cells) -> Float[Tensor, ""]:
        """Instances that both looks show, against the prototypes; they enter the bank."""
        settings, moment = self.settings, batch.moment
        on = moment.done >= settings.harmonise_from
        self.bank.begin(moment.step * settings.refreshes // moment.total_steps, wanted=on)
        one, other = self._instances(batch, cells)
        self.bank.add(torch.cat([one, other]))
        if not on or not self.bank.ready:
            return (one.sum() + other.sum()) * 0.0
        return harmonisation(
            one,
            other,
            self.bank.prototypes.to(one.dtype),
            (settings.assign_temperature, settings.sharp_temperature),
            settings.entropy_weight,
        )

    def _instances(
        self, batch: Batch, cells: Cells
    ) -> tuple[Float[Tensor, "instances width"], Float[Tensor, "instances width"]]:
        """Unit embeddings of the instances that both looks show, in each."""
        groups = Groups.of(batch)
        found, count = [], []
        for look in (batch.view < batch.n_scan_views, batch.view >= batch.n_scan_views):
            rows = groups.rows(look)
            group = groups.of_row[rows]
            found.append(group_max(cells.at(cells.features, rows), group, groups.n_groups))
            count.append(torch.bincount(group, minlength=groups.n_groups))
        kept = (count[0] > 0) & (count[1] > 0)
        one, other = (unit(self.instance_head(pooled[kept])) for pooled in found)
        return one, other

    @staticmethod
    def plan_views(
        settings: Gcc3dSettings, scans: Sequence[ScanInput], rng: np.random.Generator
    ) -> ViewPlan:
        """Every scan twice, each time under a motion of its own, as the recipe draws; no image."""
        looks = plain_plan(scans).views
        return ViewPlan((*looks, *looks), ((),) * len(scans))


def closeness(
    xyz: Float[Tensor, "places 3"], scan: Int[Tensor, " places"], sigma_m: float
) -> Float[Tensor, "places places"]:
    """Rows that sum to 1: how much each place should look like each; across scans not at all.

    Args:
        xyz: Metres, in each scan's own frame.
        scan: Which scan a place is of.
        sigma_m: Width of the Gaussian.
    """
    squared = torch.cdist(xyz, xyz, compute_mode="donot_use_mm_for_euclid_dist").square()
    # Not below exp(-60), which moves no sum: what is no float any more takes ten times as long.
    exponent = (squared / (-2 * sigma_m**2)).clamp_(min=-60.0)
    weight = exponent.exp_() * (scan[:, None] == scan)
    shares: Tensor = weight / weight.sum(1, keepdim=True)  # never 0: a place is near itself
    return shares


def soft_contrast(
    anchors: Float[Tensor, "places width"],
    candidates: Float[Tensor, "places width"],
    wanted: Float[Tensor, "places places"],
    temperature: float,
) -> Float[Tensor, ""]:
    """Cross entropy of ``softmax(anchor . candidates / temperature)`` with the `wanted` shares."""
    logits = products(anchors / temperature, candidates)
    terms = (wanted.to(logits.dtype) * logits.log_softmax(1)).sum()
    return -terms / max(len(anchors), 1)


def harmonisation(
    one: Float[Tensor, "instances width"],
    other: Float[Tensor, "instances width"],
    prototypes: Float[Tensor, "prototypes width"],
    temperatures: tuple[float, float],
    entropy_weight: float,
) -> Float[Tensor, ""]:
    """Each look's assignment to prototypes, sharpened, is the other look's target.

    Args:
        one: Unit vectors of the instances in one look.
        other: In the other.
        prototypes: Unit vectors.
        temperatures: Of assignments, and of assignments that are targets.
        entropy_weight: Of the entropy of the mean assignment, which is subtracted.
    """
    if len(one) == 0:
        return (one.sum() + other.sum()) * 0.0
    plain, sharp = temperatures
    alike = [products(look, prototypes) for look in (one, other)]
    targets = [F.softmax(logits.detach() / sharp, dim=1) for logits in alike]
    logs = [F.log_softmax(logits / plain, dim=1) for logits in alike]
    agreement = -(targets[0] * logs[1] + targets[1] * logs[0]).sum(1).mean() / 2
    entropy: Tensor = torch.special.entr(torch.cat(logs).exp().mean(0)).sum()
    return agreement - entropy_weight * entropy


def _scan_of_point(batch: Batch) -> Int[Tensor, " points"]:
    sizes = torch.tensor([scan.stop - scan.start for scan in batch.scans])
    return torch.repeat_interleave(torch.arange(len(sizes)), sizes).to(batch.xyz.device)


def _cubes(
    xyz: Float[Tensor, "points 3"], scan: Int[Tensor, " points"], edge_m: float
) -> Int[Tensor, " points"]:
    """For each point a number of the cube that it lies in; other scans have other cubes."""
    if len(xyz) == 0:
        return scan
    cube = torch.div(xyz, edge_m).floor().long()
    cube -= cube.amin(0)
    number: Tensor = scan
    for axis in range(3):
        number = number * (cube[:, axis].max() + 1) + cube[:, axis]
    return number
