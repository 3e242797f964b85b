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
from lima_bench.datasets.sample import (
    Camera,
    Float32,
    Frame,
    Sample,
    Source,
    Sweep,
)
from lima_bench.lima.augment import UNSEEN
from lima_bench.lima.batch import Batch, Images, Matches, Moment
from lima_bench.lima.cache import ByteCache
from lima_bench.lima.clouds import Cloud, cloud_of_points, collate_clouds, scaled_intensity
from lima_bench.lima.clusters.store import Clusters
from lima_bench.lima.collate import (
    Kept,
    PairedSample,
    batch_scan,
    clusters_of,
    kept_cameras,
    pair_index,
    pose_of,
    scan_input,
    shown_of,
    sights_of,
    source_of,
)
from lima_bench.lima.company import Cast, company_of
from lima_bench.lima.dense import densified
from lima_bench.lima.features import Grids
from lima_bench.lima.lenses import lenses_of
from lima_bench.lima.lookback import PastMatches, Sighted, lookback_of
from lima_bench.lima.looks import Look, Shown
from lima_bench.lima.order import Order
from lima_bench.lima.pairs import project
from lima_bench.lima.recipes import PretrainRecipe, Settings, StudentSettings
from lima_bench.lima.resize import squeeze
from lima_bench.lima.schedule import n_steps
from lima_bench.lima.superpixels import Superpixels
from lima_bench.lima.views import View, plan_views

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
        clusters: Cached 3D clusters, if the method asks for them.
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
        clusters: Clusters | None = None,
    ) -> None:
        self.clusters = clusters
        self.source, self.student, self.recipe = source, student, recipe
        self.planner, self.images, self.order = planner, images, order
        self.seed, self.rank, self.with_maps = seed, rank, with_maps
        self._samples: ByteCache[PairedSample] = ByteCache(cache_bytes)
        self._pixels: ByteCache[Tensor] = ByteCache(cache_bytes)
        self.total_steps = n_steps(recipe.length, order.steps_per_epoch)
        self._cast = Cast(company_of(planner.method, planner.settings), source.frames)
        # What a step's crops will show then is not foreseen; the step itself searches.
        steady = recipe.images is None
        lookback = lookback_of(planner.method, planner.settings) if steady else None
        self._past = lookback and PastMatches(lookback, source.frames, order, self._sighted)

    def __getitem__(self, step: int) -> Batch:
        """This rank's batch of `step`.

        Raises:
            UserError: A file is missing or broken, or a frame has no pose.
        """
        members = self._cast.members([int(number) for number in self.order.frames_of(step)])
        loaded = [self._load(one.frame, dense=one.dense) for one in members]
        scans = [scan_input(*both) for both in zip(members, loaded, strict=True)]
        plan = plan_views(
            self.planner.method, self.planner.settings, scans, self._rng("views", step)
        )
        starts = [0, *accumulate(len(one.sample.points) for one in loaded)]
        samples = [one.sample for one in loaded]
        kept = kept_cameras(members, samples, plan)
        views, clouds = self._clouds(plan.views, loaded, kept, step)
        shown = self._shown(views, loaded, kept, clouds, step)
        matches = self._matches(step, len(samples))
        clusters = clusters_of(self.clusters, members, samples)
        return Batch(
            scans=tuple(map(batch_scan, members, samples, starts, matches, clusters)),
            xyz=torch.from_numpy(np.concatenate([sample.points for sample in samples])),
            voxels=collate_clouds(clouds, self.student, with_maps=self.with_maps),
            source=source_of(views, clouds, starts),
            view=torch.from_numpy(np.repeat(np.arange(len(clouds)), [len(c.xyz) for c in clouds])),
            motion=torch.from_numpy(np.stack([cloud.motion for cloud in clouds])),
            n_scan_views=len(samples),
            pairs=pair_index(loaded, kept, starts, shown),
            images=self._images(samples, kept, shown),
            moment=Moment(step, self.order.steps_per_epoch, self.total_steps),
            edge_m=self.student.voxels.size[0],
        )

    def _rng(self, use: str, *parts: int) -> np.random.Generator:
        return np.random.default_rng(derive_seed(self.seed, use, *parts, self.rank))

    def _load(self, number: int, *, dense: bool = False) -> PairedSample:
        frame = self.source.frames[number]
        return self._samples.get((frame.id, dense), lambda: self._paired(frame, dense=dense))

    def _sighted(self, number: int) -> Sighted:
        return self._load(number).sighted

    def _matches(self, step: int, n_scans: int) -> Sequence[Matches | None]:
        found = self._past.of_step(step) if self._past else ()
        return (*found, *[None] * (n_scans - len(found)))

    def _paired(self, frame: Frame, *, dense: bool) -> PairedSample:
        # Pretraining never looks at annotations: neither keep them nor let them be used.
        sample = replace(
            self.source.load(frame), labels=None, moving=None, boxes=None, ring=None, time_s=None
        )
        if sample.lidar_to_global is None:
            raise UserError(
                f"frame {frame.id}", "It has no pose.", "Pretrain on a data set that has poses."
            )
        if dense:
            sample = densified(sample, self._sweeps(frame))
        rounding = self.recipe.pair_rounding
        full = project(sample, rounding=rounding)
        pairs = full.resized(sample.cameras, self.recipe.image_size, rounding)
        return PairedSample(sample, pairs, full if self.recipe.images else None)

    def _sweeps(self, frame: Frame) -> tuple[Sweep, ...]:
        if self.source.sweeps is None:
            raise UserError(
                f"frame {frame.id}",
                "The data set has no sweeps between keyframes.",
                "Pretrain on one that has, or set the method's sweeps to 0.",
            )
        return self.source.sweeps(frame, self._cast.company.sweeps)

    def _clouds(
        self,
        planned: Sequence[View],
        loaded: Sequence[PairedSample],
        kept: Sequence[Kept],
        step: int,
    ) -> tuple[list[View], list[Cloud]]:
        """Every view's points, and the views themselves, those shown again without what was cut."""
        views: list[View] = []
        clouds: list[Cloud] = []
        for number, view in enumerate(planned):
            views.append(view if view.again is None else view.without(clouds[view.again].point))
            clouds.append(self._cloud(views[-1], loaded, kept, step, number))
        return views, clouds

    def _cloud(
        self,
        view: View,
        loaded: Sequence[PairedSample],
        kept: Sequence[Kept],
        step: int,
        number: int,
    ) -> Cloud:
        """The view's points under its own random motion, the same for every method."""
        parts = [(loaded[scan].sample, rows) for scan, rows in view.parts]
        augmentation = self.recipe.augmentation
        if view.whole or view.again is not None:
            augmentation = augmentation.model_copy(update={"cuboid": 0.0})
        return cloud_of_points(
            np.concatenate([sample.points.take(rows, axis=0) for sample, rows in parts]),
            np.concatenate([self._intensity(sample)[rows] for sample, rows in parts]),
            self.student,
            augmentation,
            self._rng("augment", step, number),
            sights_of(view, loaded, kept) if augmentation.cuboid else UNSEEN,
        )

    def _shown(
        self,
        views: Sequence[View],
        loaded: Sequence[PairedSample],
        kept: Sequence[Kept],
        clouds: Sequence[Cloud],
        step: int,
    ) -> Shown | None:
        """What of every image is shown; None for all of it."""
        if self.recipe.images is None:
            return None
        seen = [
            np.concatenate([rows for _, rows in view.parts])[cloud.point]
            for view, cloud in zip(views[: len(loaded)], clouds, strict=False)
        ]
        images, recipe = self.recipe.images, self.recipe
        crops = images.crop_area is not None
        plain = Shown((), recipe.image_size, recipe.pair_rounding, crops)
        return shown_of(
            plain, images, loaded, kept, seen, lambda image: self._rng("images", step, image)
        )

    def _intensity(self, sample: Sample) -> Float32:
        scale = self.source.scale_of(sample.frame)
        return scaled_intensity(sample.intensity, scale, self.student.inputs)

    def _images(
        self, samples: Sequence[Sample], kept: Sequence[Kept], shown: Shown | None
    ) -> Images:
        inputs, size = self.images, self.recipe.image_size
        brought = [(scan, one) for scan, one in enumerate(kept) if not one.shared]
        cameras = [samples[scan].cameras[number] for scan, one in brought for number in one.cameras]
        scan_of = [scan for scan, one in brought for _ in one.cameras]
        looks = shown.looks if shown else [None] * len(cameras)
        poses = [pose_of(sample) for sample in samples]
        superpixels = inputs.superpixels.lookup(cameras) if inputs.superpixels else None
        if shown is not None and superpixels is not None:
            superpixels = shown.ids(superpixels, [(c.height, c.width) for c in cameras])
        return Images(
            size=size,
            n_images=len(cameras),
            pixels=torch.stack([self._picture(*both) for both in zip(cameras, looks, strict=True)])
            if inputs.pixels
            else None,
            grids=inputs.grids.lookup(cameras) if inputs.grids else None,
            superpixels=superpixels,
            n_slots=inputs.superpixels.slots if inputs.superpixels else 0,
            lenses=lenses_of(cameras, scan_of, poses, size, shown),
        )

    def _picture(self, camera: Camera, look: Look | None) -> Tensor:
        """What is shown of an image; whole ones are kept in memory."""
        size, antialias = self.recipe.image_size, self.recipe.antialias
        if look is not None:
            return look.pixels(read_image(camera), size, antialias=antialias)
        return self._pixels.get(
            camera.id, lambda: squeeze(read_image(camera), size, antialias=antialias)
        )
