"""Three clouds for each frame and what a 3D network with two heads says of them: Batch -> TriCC.

P is the frame's scan, P2 the same scan under another augmentation, P' the next keyframe. Offers
`TripletHeads` and what it finds, `Triplets`. The clouds are views as
`lima_bench.lima.second_looks.second_looks` plans them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from jaxtyping import Float
from torch import Tensor, nn

from lima_bench.lima.api import Batch, Student, Voxels
from lima_bench.lima.backbones.sparse.norm import BatchNorm
from lima_bench.lima.ema import EmaCopy
from lima_bench.lima.losses import unit
from lima_bench.lima.second_looks import TwinVoxels, voxels_of_views


@dataclass(frozen=True)
class Triplets:
    """What the networks say of the voxels of a batch: features of unit length, or read of such.

    Attributes:
        twins: The voxels of P, with their counterparts in P2.
        n_next: For each frame, the voxels of its P'.
        contrast: Of P, to be contrasted.
        match: Of P, to be matched.
        match_again: Of P2, at the counterparts.
        contrast_next: Of P'.
        match_next: Of P'.
        match_slow: Of P', by the slow copy of the network; no gradient.
    """

    twins: TwinVoxels
    n_next: tuple[int, ...]
    contrast: Float[Tensor, "twins width"]
    match: Float[Tensor, "twins width"]
    match_again: Float[Tensor, "twins width"]
    contrast_next: Float[Tensor, "next width"]
    match_next: Float[Tensor, "next width"]
    match_slow: Float[Tensor, "next width"]

    def frames(self) -> Iterator[tuple[slice, slice]]:
        """For each frame that has both: its voxels of P, and those of P'."""
        here = there = 0
        for n_here, n_there in zip(self.twins.count, self.n_next, strict=True):
            if n_here and n_there:
                yield slice(here, here + n_here), slice(there, there + n_there)
            here, there = here + n_here, there + n_there


class TripletHeads(nn.Module):
    """A head to contrast, a head to match, and a slow copy of the network that matches.

    Args:
        student: The 3D network; it is not kept, and has to be given at every call.
        width: Of what the heads give.
        momentum: Share of its old weights that the slow copy keeps at each step.
        bn_momentum: Of the heads' BatchNorm.
    """

    def __init__(
        self, student: Student, width: int, *, momentum: float, bn_momentum: float
    ) -> None:
        super().__init__()
        self.contrast = _mlp(student.width, width, bn_momentum)
        self.match = _mlp(student.width, width, bn_momentum)
        self.slow = EmaCopy(_Matcher(student, self.match), momentum)

    def forward(self, student: Student, batch: Batch) -> Triplets:
        """Everything about a batch; the slow copy makes its step first."""
        matcher = _Matcher(student, self.match)
        self.slow.update(matcher)
        twins = TwinVoxels.of(batch)
        ahead = voxels_of_views(batch, batch.n_anchors, batch.n_scan_views)
        cells = student.cells(batch.voxels)
        contrast, match = unit(self.contrast(cells.features)), unit(self.match(cells.features))
        return Triplets(
            twins=twins,
            n_next=ahead.count,
            contrast=cells.at(contrast, twins.row),
            match=cells.at(match, twins.row),
            match_again=cells.at(match, twins.twin),
            contrast_next=cells.at(contrast, ahead.row),
            match_next=cells.at(match, ahead.row),
            match_slow=self.slow(matcher, ahead.voxels),
        )


class _Matcher(nn.Module):
    """The 3D network with its matching head: a unit feature per voxel."""

    def __init__(self, student: Student, head: nn.Module) -> None:
        super().__init__()
        self.student, self.head = cast("nn.Module", student), head

    def forward(self, voxels: Voxels) -> Float[Tensor, "voxels width"]:
        cells = cast("Student", self.student).cells(voxels)
        return cells.at(unit(self.head(cells.features)), voxels.first)


def _mlp(width: int, wide: int, bn_momentum: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(width, width, bias=False),
        BatchNorm(width, momentum=bn_momentum),
        nn.ReLU(),
        nn.Linear(width, wide),
    )
