"""Builds what a method sees.  Sample -> pairs -> plan of views -> augment -> voxelise -> `Batch`.

Offers `PretrainBatches` (item ``step`` -> `Batch`, a pure function of seed, step and rank) and
`ImageInputs`. Pairs belong to the un-augmented points; the student's copy is moved afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from lima_bench.common.errors import UserError
from lima_bench.common.seeds import derive_seed
from lima_bench.datasets.images import read_image
from lima_bench.datasets.sample import Camera, Float32, Frame, Int64, Sample, Source
from lima_bench.lima.align import PlacedCloud
from lima_bench.lima.batch import Batch, Images, Matches, PairIndex, Scan
from lima_bench.lima.cache import ByteCache
from lima_bench.lima.clouds import Cloud, cloud_of_points, collate_clouds, scaled_intensity
from lima_bench.lima.features import Grids
from lima_bench.lima.lookback import PastMatches, Sighted, lookback_of
from lima_bench.lima.order import Order
from lima_bench.lima.pairs import Pairs, project
from lima_bench.lima.recipes import PretrainRecipe, Settings, StudentSettings
from lima_bench.lima.resize import squeeze
from lima_bench.lima.superpixels import Superpixels
from lima_bench.lima.views import ScanInput, View, ViewPlan, plan_views

CACHE_BYTES = 256 << 20
"""Of loaded scans and their pairs, per loading process."""


@dataclass(frozen=True)
class ImageInputs:
    """What the teacher's side of a batch is filled with.

    Attributes:
        grids: Cached patch grids, if the teacher's features are cached.
        pixels: Whether to read the images for a teacher that runs inside the step.
        superpixels: Cached superpixels, if the method pools by them.
    """

    grids: Grids | None = None
    pixels: bool = False
    superpixels: Superpixels | None = None


@dataclass(frozen=True)
class Planner:
    """Which method chooses the views, and with which settings.

    Attributes:
        method: The method's class.
        settings: Its settings.
    """

    method: type[Any]
    settings: Settings


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


class PretrainBatches(Dataset[Batch]):
    """Every step's batch of a pretraining run.

    Args:
        source: Frames and how to load them.
        student: Grid and input channels.
        recipe: Augmentation, image size, rounding.
        planner: The method that chooses the views.
        images: What the teacher looks at.
        order: Which frames belong to a step.
        seed: Of augmentation and views.
        rank: Of this process.
        with_maps: Whether to build the student's kernel maps, for a student on a CPU.
        cache_bytes: Limit of the scans that are kept in memory.
    """

    def __init__(
        self,
        source: Source,
        student: StudentSettings,
        recipe: PretrainRecipe,
        planner: Planner,
        images: ImageInputs,
        order: Order,
        *,
        seed: int,
        rank: int = 0,
        with_maps: bool = False,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self.source, self.student, self.recipe = source, student, recipe
        self.planner, self.images, self.order = planner, images, order
        self.seed, self.rank, self.with_maps = seed, rank, with_maps
        self._samples: ByteCache[PairedSample] = ByteCache(cache_bytes)
        self._pixels: ByteCache[Tensor] = ByteCache(cache_bytes)
        lookback = lookback_of(planner.method, planner.settings)
        self._past = lookback and PastMatches(lookback, source.frames, order, self._sighted)

    def __getitem__(self, step: int) -> Batch:
        """This rank's batch of `step`.

        Raises:
            UserError: A file is missing or broken, or a frame has no pose.
        """
        loaded = [self._load(int(number)) for number in self.order.frames_of(step)]
        scans = [
            ScanInput(one.sample.points, one.sample.frame.sequence, one.pairs) for one in loaded
        ]
        plan = plan_views(
            self.planner.method, self.planner.settings, scans, self._rng("views", step)
        )
        starts = [0, *accumulate(len(one.sample.points) for one in loaded)]
        clouds = [self._cloud(view, loaded, step, n) for n, view in enumerate(plan.views)]
        samples = [one.sample for one in loaded]
        return Batch(
            scans=tuple(map(_scan, samples, starts, self._matches(step, len(samples)))),
            xyz=torch.from_numpy(np.concatenate([sample.points for sample in samples])),
            voxels=collate_clouds(clouds, self.student, with_maps=self.with_maps),
            source=_source_of(plan.views, clouds, starts),
            view=torch.from_numpy(np.repeat(np.arange(len(clouds)), [len(c.xyz) for c in clouds])),
            n_scan_views=len(samples),
            pairs=_pair_index(loaded, plan, starts),
            images=self._images(_kept_cameras(samples, plan)),
        )

    def _rng(self, use: str, *parts: int) -> np.random.Generator:
        return np.random.default_rng(derive_seed(self.seed, use, *parts, self.rank))

    def _load(self, number: int) -> PairedSample:
        frame = self.source.frames[number]
        return self._samples.get(frame.id, lambda: self._paired(frame))

    def _sighted(self, number: int) -> Sighted:
        return self._load(number).sighted

    def _matches(self, step: int, n_scans: int) -> Sequence[Matches | None]:
        return self._past.of_step(step) if self._past else (None,) * n_scans

    def _paired(self, frame: Frame) -> PairedSample:
        # Pretraining never looks at annotations: neither keep them nor let them be used.
        sample = replace(
            self.source.load(frame), labels=None, moving=None, boxes=None, ring=None, time_s=None
        )
        if sample.lidar_to_global is None:
            raise UserError(
                f"frame {frame.id}", "It has no pose.", "Pretrain on a data set that has poses."
            )
        rounding = self.recipe.pair_rounding
        pairs = project(sample, rounding=rounding)
        return PairedSample(sample, pairs.resized(sample.cameras, self.recipe.image_size, rounding))

    def _cloud(self, view: View, loaded: Sequence[PairedSample], step: int, number: int) -> Cloud:
        """The view's points under its own random motion, the same for every method."""
        parts = [(loaded[scan].sample, rows) for scan, rows in view.parts]
        return cloud_of_points(
            np.concatenate([sample.points.take(rows, axis=0) for sample, rows in parts]),
            np.concatenate([self._intensity(sample)[rows] for sample, rows in parts]),
            self.student,
            self.recipe.augmentation,
            self._rng("augment", step, number),
        )

    def _intensity(self, sample: Sample) -> Float32:
        scale = self.source.scale_of(sample.frame)
        return scaled_intensity(sample.intensity, scale, self.student.inputs)

    def _images(self, cameras: Sequence[Camera]) -> Images:
        inputs = self.images
        return Images(
            size=self.recipe.image_size,
            n_images=len(cameras),
            pixels=torch.stack([self._squeezed(c) for c in cameras]) if inputs.pixels else None,
            grids=inputs.grids.lookup(cameras) if inputs.grids else None,
            superpixels=inputs.superpixels.lookup(cameras) if inputs.superpixels else None,
        )

    def _squeezed(self, camera: Camera) -> Tensor:
        return self._pixels.get(
            camera.id,
            lambda: squeeze(
                read_image(camera), self.recipe.image_size, antialias=self.recipe.antialias
            ),
        )


def _scan(sample: Sample, start: int, matches: Matches | None) -> Scan:
    return Scan(
        id=sample.frame.id,
        sequence=sample.frame.sequence,
        index=sample.frame.index,
        start=start,
        stop=start + len(sample.points),
        lidar_to_global=torch.from_numpy(sample.lidar_to_global),
        matches=matches,
    )


def _source_of(views: Sequence[View], clouds: Sequence[Cloud], starts: Sequence[int]) -> Tensor:
    """For each row of the student's input, its point of the batch."""
    rows = [
        np.concatenate([starts[scan] + part for scan, part in view.parts])[cloud.point]
        for view, cloud in zip(views, clouds, strict=True)
    ]
    return torch.from_numpy(np.concatenate(rows))


def _kept(plan: ViewPlan, scan: int, n_cameras: int) -> Sequence[int]:
    kept = plan.cameras[scan]
    return range(n_cameras) if kept is None else kept


def _kept_cameras(samples: Sequence[Sample], plan: ViewPlan) -> list[Camera]:
    return [
        sample.cameras[number]
        for scan, sample in enumerate(samples)
        for number in _kept(plan, scan, len(sample.cameras))
    ]


def _pair_index(loaded: Sequence[PairedSample], plan: ViewPlan, starts: Sequence[int]) -> PairIndex:
    """The pairs of kept cameras; images count the kept ones, scan after scan."""
    columns: list[Int64] = []
    n_images = 0
    for scan, (one, start) in enumerate(zip(loaded, starts, strict=False)):
        kept = list(_kept(plan, scan, len(one.sample.cameras)))
        image = np.full(len(one.sample.cameras), -1, dtype=np.int64)
        image[kept] = n_images + np.arange(len(kept))
        pairs, number = one.pairs, image[one.pairs.camera]
        of_scan = np.stack([pairs.point + start, number, pairs.row, pairs.col])
        columns.append(of_scan[:, number >= 0])
        n_images += len(kept)
    return PairIndex(*torch.from_numpy(np.concatenate(columns, axis=1)))
