"""Loaded scans -> those parts of a `Batch` that count over all of its scans.

Offers `PairedSample` (a loaded scan with its pairs), `scan_input` and `batch_scan` (what a method
is told of one), `source_of` (row to point), `kept_cameras` and `pair_index`. Used by
`lima_bench.lima.batching` only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from lima_bench.datasets.sample import Float64, Int64, Sample
from lima_bench.lima.align import PlacedCloud
from lima_bench.lima.batch import Matches, PairIndex, Scan
from lima_bench.lima.clouds import Cloud
from lima_bench.lima.company import Member
from lima_bench.lima.lookback import Sighted
from lima_bench.lima.pairs import Pairs
from lima_bench.lima.views import ScanInput, View, ViewPlan


@dataclass(frozen=True)
class PairedSample:
    """A loaded scan with its pairs in the resized images."""

    sample: Sample
    pairs: Pairs

    @property
    def sighted(self) -> Sighted:
        """As its successors look back at it."""
        points, pose = self.sample.points, self.sample.lidar_to_global
        assert pose is not None  # without one, nothing is paired
        seen = np.zeros(len(points), dtype=bool)
        seen[self.pairs.point] = True
        return Sighted(PlacedCloud(points, pose), PlacedCloud(points[seen], pose))


def pose_of(sample: Sample) -> Float64:
    """LiDAR to global, 4x4."""
    assert sample.lidar_to_global is not None  # frames without one are refused when loaded
    return sample.lidar_to_global


def scan_input(member: Member, one: PairedSample) -> ScanInput:
    """What a plan of views is told of a scan."""
    return ScanInput(
        one.sample.points,
        one.sample.frame.sequence,
        one.pairs,
        anchor=member.anchor,
        offset=member.offset,
        dense=member.dense,
    )


def batch_scan(member: Member, sample: Sample, start: int, matches: Matches | None) -> Scan:
    """What a loss is told of a scan whose first point is row `start` of the batch."""
    return Scan(
        id=sample.frame.id,
        sequence=sample.frame.sequence,
        index=sample.frame.index,
        start=start,
        stop=start + len(sample.points),
        lidar_to_global=torch.from_numpy(pose_of(sample)),
        anchor=member.anchor,
        offset=member.offset,
        dense=member.dense,
        matches=matches,
    )


def source_of(views: Sequence[View], clouds: Sequence[Cloud], starts: Sequence[int]) -> Tensor:
    """For each row of the student's input, its point of the batch."""
    rows = [
        np.concatenate([starts[scan] + part for scan, part in view.parts])[cloud.point]
        for view, cloud in zip(views, clouds, strict=True)
    ]
    return torch.from_numpy(np.concatenate(rows))


@dataclass(frozen=True)
class Kept:
    """The cameras of one scan whose images and pairs are kept.

    Attributes:
        cameras: Their numbers.
        first: Number, in the batch, of the image of the first of them.
        shared: Whether these images are those of the anchor, which brings them.
    """

    cameras: Sequence[int]
    first: int
    shared: bool


def kept_cameras(
    members: Sequence[Member], samples: Sequence[Sample], plan: ViewPlan
) -> list[Kept]:
    """The cameras of every scan; a dense cloud looks through those of its anchor."""
    kept: list[Kept] = []
    n_images = 0
    for number, (member, sample) in enumerate(zip(members, samples, strict=True)):
        if member.dense:
            kept.append(replace(kept[member.anchor], shared=True))
            continue
        chosen = plan.cameras[number]
        cameras = range(len(sample.cameras)) if chosen is None else chosen
        kept.append(Kept(cameras, n_images, shared=False))
        n_images += len(cameras)
    return kept


def pair_index(
    loaded: Sequence[PairedSample], kept: Sequence[Kept], starts: Sequence[int]
) -> PairIndex:
    """The pairs of kept cameras; images count the kept ones, scan after scan."""
    columns: list[Int64] = []
    for one, keep, start in zip(loaded, kept, starts, strict=False):
        image = np.full(len(one.sample.cameras), -1, dtype=np.int64)
        image[list(keep.cameras)] = keep.first + np.arange(len(keep.cameras))
        pairs, number = one.pairs, image[one.pairs.camera]
        of_scan = np.stack([pairs.point + start, number, pairs.row, pairs.col])
        columns.append(of_scan[:, number >= 0])
    return PairIndex(*torch.from_numpy(np.concatenate(columns, axis=1)))
