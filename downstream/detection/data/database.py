"""Objects of the label share, cut out to be pasted into other frames of it (GT sampling).

LoadedFrames -> `ObjectDatabase`; its `paste` fills a training frame up. Source: SECOND, as
mmdetection3d and OpenPCDet have it (detection 3.6).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import Dataset

from lima_bench.common.errors import unknown_name
from lima_bench.datasets.detection_facts import DetectionFacts
from lima_bench.datasets.sample import Float32, Int64
from lima_bench.downstream.detection.boxes import FOOTPRINT, Objects
from lima_bench.downstream.detection.data.frames import LoadedFrames
from lima_bench.downstream.detection.data.sweeps import SweptPoints, drawn, one_cloud
from lima_bench.downstream.detection.rotated import overlap_matrix
from lima_bench.downstream.detection.settings import ObjectSampling
from lima_bench.lima.loading import batches_from

Crop = tuple[Objects, SweptPoints, Int64]
"""Objects of a frame, their points one object after the other, and how many each has."""


@dataclass(frozen=True)
class ObjectDatabase:
    """Objects with the points in their boxes, each where it was in its own LiDAR frame.

    Attributes:
        objects: Of all frames, frame after frame.
        points: Inside all boxes, object after object, ages and intensities as they are fed.
        starts: (B + 1,) points ``starts[b]:starts[b + 1]`` are those of object b.
        wanted: By label, up to how many objects a frame is filled.
    """

    objects: Objects
    points: SweptPoints
    starts: Int64
    wanted: Mapping[int, int]

    @classmethod
    def of(
        cls, loaded: LoadedFrames, sampling: ObjectSampling, *, workers: int = 0
    ) -> ObjectDatabase:
        """Cut out every object of the label share that has points enough, of its sweeps too.

        The latest sweeps are looked at, whichever training draws. A point takes 20 bytes, and a
        scan of nuScenes has one to two thousand points in boxes: one to two GB for 20 % of it with
        ten scans a frame, once per device.

        Args:
            loaded: The label share; nothing else is looked at.
            sampling: Which classes, and how many points an object must have.
            workers: Loading processes, which change no bit; 0 loads in this one.

        Raises:
            UserError: A class is none of the card's, or a frame cannot be read.
        """
        wanted = _wanted(sampling, loaded.facts)
        frames = range(len(loaded.source.frames))
        cuts = _Cuts(loaded, tuple(wanted), sampling.min_points)
        crops: list[Crop] = list(batches_from(cuts, frames, workers))
        sizes = np.concatenate([[0], *(sizes for _, _, sizes in crops)]).astype(np.int64)
        return cls(
            objects=joined([objects for objects, _, _ in crops]),
            points=one_cloud([points for _, points, _ in crops]),
            starts=np.cumsum(sizes),
            wanted=wanted,
        )

    def paste(
        self, points: SweptPoints, objects: Objects, rng: np.random.Generator
    ) -> tuple[SweptPoints, Objects]:
        """Fill a frame up with objects that touch none that is there, seen from above.

        Of each class as many are drawn as the frame lacks; those that would collide are left out,
        so that there may be fewer. What the frame shows inside a pasted box makes room for it.

        Args:
            points: Of the frame, before augmentation.
            objects: In it.
            rng: Source of the choice.
        """
        rows = self._fitting(self._drawn(objects, rng), objects)
        if not len(rows):
            return points, objects
        pasted = self.objects.only(rows)
        covered = np.zeros(len(points.points), dtype=bool)
        for inner in inside(points.points, pasted.boxes):
            covered[inner] = True
        crops = [self._points_of(row) for row in rows.tolist()]
        return one_cloud([points.only(~covered), *crops]), joined([objects, pasted])

    def _points_of(self, row: int) -> SweptPoints:
        return self.points.only(slice(int(self.starts[row]), int(self.starts[row + 1])))

    def _drawn(self, objects: Objects, rng: np.random.Generator) -> Int64:
        """Candidates: of each class what the frame lacks, as far as there are so many."""
        chosen = [np.zeros(0, dtype=np.int64)]
        for label, count in self.wanted.items():
            known = np.flatnonzero(self.objects.label == label)
            lacking = min(count - int((objects.label == label).sum()), len(known))
            if lacking > 0:
                chosen.append(rng.choice(known, lacking, replace=False))
        return np.concatenate(chosen)

    def _fitting(self, rows: Int64, objects: Objects) -> Int64:
        """Those candidates that overlap neither the frame's objects nor earlier candidates."""
        if not len(rows):
            return rows
        boxes = np.concatenate([objects.boxes, self.objects.boxes[rows]])
        flat = torch.from_numpy(np.ascontiguousarray(boxes[:, FOOTPRINT]))
        meets = (overlap_matrix(flat[len(objects.label) :], flat) > 0).numpy()
        there = np.arange(len(flat)) < len(objects.label)
        for place in range(len(rows)):
            if not (meets[place] & there).any():
                there[len(objects.label) + place] = True
        fitting: Int64 = rows[there[len(objects.label) :]]
        return fitting


class _Cuts(Dataset[Crop]):
    """What every frame gives to the database: item ``number`` is that of one frame."""

    def __init__(self, loaded: LoadedFrames, labels: tuple[int, ...], min_points: int) -> None:
        self.loaded, self.labels, self.min_points = loaded, labels, min_points
        self.latest = loaded.recipe.model_copy(update={"sweep_choice": "latest"})

    def __getitem__(self, number: int) -> Crop:
        one = self.loaded.at(self.loaded.source.frames[number])
        useful = one.objects.only(np.isin(one.objects.label, self.labels))
        points = drawn(one.scans, self.latest, np.random.default_rng(0))
        return _cut(points, useful, self.min_points)


def inside(points: Float32, boxes: Float32) -> list[Int64]:
    """For each box (B, 9), the rows of the points (N, 3) in it, faces included."""
    # Here, because the compiler loads slowly.
    from lima_bench.datasets.nuscenes.inside import mark_inside

    exact, table = points.astype(np.float64), boxes.astype(np.float64)
    turn = np.stack((np.cos(table[:, 6]), np.sin(table[:, 6])), axis=1)
    found = []
    for box in range(len(table)):
        hit = np.zeros(len(exact), dtype=bool)
        one = slice(box, box + 1)
        centre, reach = table[one, :3].copy(), table[one, 3:6] / 2
        mark_inside(exact, centre, reach, turn[one], hit)
        found.append(np.flatnonzero(hit))
    return found


def joined(parts: Sequence[Objects]) -> Objects:
    """All objects of the parts, in order."""
    return Objects(
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.label for part in parts]),
    )


def _wanted(sampling: ObjectSampling, facts: DetectionFacts) -> dict[int, int]:
    """Counts by label, in the order of labels.

    Raises:
        UserError: A class is none of the card's.
    """
    for name in sampling.counts:
        if name not in facts.names:
            raise unknown_name("recipe: sampling.counts", "class of boxes", name, facts.names)
    by_label = {label: sampling.counts.get(name, 0) for label, name in enumerate(facts.names)}
    return {label: count for label, count in by_label.items() if count}


def _cut(points: SweptPoints, objects: Objects, min_points: int) -> Crop:
    """Objects with points enough."""
    rows = inside(points.points, objects.boxes)
    sizes = np.array([len(inner) for inner in rows], dtype=np.int64)
    kept = np.flatnonzero(sizes >= min_points)
    own = np.concatenate([np.zeros(0, dtype=np.int64), *(rows[number] for number in kept)])
    return objects.only(kept), points.only(own), sizes[kept]
