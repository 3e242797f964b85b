"""Loaded scans -> those parts of a `Batch` that count over all of its scans.

Offers `PairedSample` (a loaded scan with its pairs), `scan_input` and `batch_scan` (what a method
is told of one), `clusters_of`, `source_of` (row to point), `kept_cameras`, `image_of`,
`pair_index`, `shown_of` (crops of images) and `sights_of`. Used by `lima_bench.lima.batching` and
its kind only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from lima_bench.datasets.sample import Float64, Int64, Sample
from lima_bench.lima.align import PlacedCloud
from lima_bench.lima.augment import Sights
from lima_bench.lima.batch import Matches, PairIndex, Scan
from lima_bench.lima.clouds import Cloud
from lima_bench.lima.clusters.store import Clusters
from lima_bench.lima.company import Member
from lima_bench.lima.lookback import Sighted
from lima_bench.lima.looks import Look, Shown, draw_look
from lima_bench.lima.pairs import Pairs
from lima_bench.lima.recipes import ImageAugmentation
from lima_bench.lima.views import ScanInput, View, ViewPlan


@dataclass(frozen=True)
class PairedSample:
    """A loaded scan with its pairs in the resized images.

    Attributes:
        sample: The scan.
        pairs: In pixels of the whole images, resized.
        full: The same pairs in pixels of the full-size images, where those are cropped in the step.
    """

    sample: Sample
    pairs: Pairs
    full: Pairs | None = None

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


def clusters_of(
    clusters: Clusters | None, members: Sequence[Member], samples: Sequence[Sample]
) -> list[Tensor | None]:
    """For each scan the clusters of its points, counted over an anchor and its company.

    A dense cloud has none: its earlier sweeps were never grouped.
    """
    found: list[Tensor | None] = [None] * len(members)
    if clusters is None:
        return found
    for anchor in dict.fromkeys(member.anchor for member in members):
        group = [n for n, one in enumerate(members) if one.anchor == anchor and not one.dense]
        frames = [samples[number].frame.id for number in group]
        sizes = [len(samples[number].points) for number in group]
        for number, labels in zip(group, clusters.lookup(frames, sizes), strict=True):
            found[number] = torch.from_numpy(labels)
    return found


def batch_scan(
    member: Member, sample: Sample, start: int, matches: Matches | None, clusters: Tensor | None
) -> Scan:
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
        clusters=clusters,
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


def image_of(one: PairedSample, keep: Kept) -> Int64:
    """The number, in the batch, of the image of every pair of a scan; -1 if it is not kept."""
    image = np.full(len(one.sample.cameras), -1, dtype=np.int64)
    image[list(keep.cameras)] = keep.first + np.arange(len(keep.cameras))
    return image[one.pairs.camera]


def pair_index(
    loaded: Sequence[PairedSample],
    kept: Sequence[Kept],
    starts: Sequence[int],
    shown: Shown | None = None,
) -> PairIndex:
    """The pairs of kept cameras; images count the kept ones, scan after scan.

    Args:
        loaded: The scans.
        kept: Their cameras.
        starts: First point of each scan in the batch.
        shown: What each image shows, where that is not the whole picture: other pairs are left out.
    """
    columns: list[Int64] = []
    for one, keep, start in zip(loaded, kept, starts, strict=False):
        pairs, number = one.full or one.pairs, image_of(one, keep)
        of_scan = np.stack([pairs.point + start, number, pairs.row, pairs.col])
        columns.append(of_scan[:, number >= 0])
    found = np.concatenate(columns, axis=1)
    if shown is not None:
        found = shown.moved(found)
    return PairIndex(*torch.from_numpy(found))


def shown_of(
    plain: Shown,
    settings: ImageAugmentation,
    loaded: Sequence[PairedSample],
    kept: Sequence[Kept],
    seen: Sequence[Int64],
    rng_of: Callable[[int], np.random.Generator],
) -> Shown:
    """What every image of a batch shows.

    Args:
        plain: Size and rounding of all images.
        settings: Of the augmentation.
        loaded: The scans.
        kept: Their cameras.
        seen: For each scan, the points that its own view still has: other pairs do not count.
        rng_of: Source of chance for each image.
    """
    looks: list[Look] = []
    for one, keep, points in zip(loaded, kept, seen, strict=False):
        assert one.full is not None  # loaded for this purpose
        there = np.zeros(len(one.sample.points), dtype=bool)
        there[points] = True
        for camera in () if keep.shared else keep.cameras:
            lens = one.sample.cameras[camera]
            own = (one.full.camera == camera) & there[one.full.point]
            pairs = np.stack([one.full.row[own], one.full.col[own]])
            rng = rng_of(len(looks))
            looks.append(draw_look((lens.height, lens.width), pairs, plain, settings, rng))
    return replace(plain, looks=looks)


def sights_of(view: View, loaded: Sequence[PairedSample], kept: Sequence[Kept]) -> Sights:
    """Which points of a view the kept images of its scans see."""
    points, images, n_points, n_images = [], [], 0, 0
    for scan, rows in view.parts:
        one, keep = loaded[scan], kept[scan]
        place = np.full(len(one.sample.points), -1, dtype=np.int64)
        place[rows] = n_points + np.arange(len(rows))
        image, point = image_of(one, keep) - keep.first, place[one.pairs.point]
        both = (image >= 0) & (point >= 0)
        points.append(point[both])
        images.append(n_images + image[both])
        n_points, n_images = n_points + len(rows), n_images + len(keep.cameras)
    return Sights(np.concatenate(points), np.concatenate(images), n_images)
