"""Annotated frames as batches of a detector: sweeps, pasted objects, motion, voxels, truth.

Offers `TrainBatches` (item ``step``), `ScoreBatches` (item ``number``, every frame once, untouched)
and `ScoreBatch`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.utils.data import Dataset

from lima_bench.common.errors import UserError
from lima_bench.common.seeds import derive_seed
from lima_bench.datasets.sample import Float32, Float64, Frame, Int64, Sample, Source
from lima_bench.downstream.detection.boxes import DetectionBatch, Objects, Truth
from lima_bench.downstream.detection.data.augment import moved, within
from lima_bench.downstream.detection.data.database import ObjectDatabase
from lima_bench.downstream.detection.data.frames import LoadedFrames, fed
from lima_bench.downstream.detection.data.sweeps import SweptPoints, drawn, swept
from lima_bench.downstream.detection.inputs import detector_student
from lima_bench.downstream.detection.settings import DetectRecipe
from lima_bench.lima.clouds import Cloud, cloud_of_points, collate_clouds
from lima_bench.lima.order import Order
from lima_bench.lima.recipes import GridBounds, StudentSettings


@dataclass(frozen=True)
class ScoreBatch:
    """A few frames in which boxes are looked for.

    Attributes:
        batch: The network's input, without truth.
        frames: Numbers of the frames in their list.
        lidar_to_global: Of each of them, 4x4.
    """

    batch: DetectionBatch
    frames: tuple[int, ...]
    lidar_to_global: tuple[Float64, ...]


class TrainBatches(Dataset[DetectionBatch]):
    """Every step's batch of a detection run, a pure function of seed, step and rank.

    Points are shuffled last, as published: a voxel is the mean of its first points, and a frame may
    have only so many voxels, so that in file order a crowded place would always be that of the
    keyframe and never of its sweeps.

    Args:
        source: The label share, resampled where classes are balanced.
        student: Grid and input channels.
        recipe: Sweeps, motions, limits.
        order: Which frames belong to a step.
        seed: Of everything random in a frame.
        rank: Of this process.
        with_maps: Whether to build the network's kernel maps, for a network on a CPU.
        loaded: Reads the frames of the label share, resampled or not; by default a reader of
            `source`.
        database: What is pasted, if the recipe pastes; by default it is made of `loaded`.

    Raises:
        UserError: The card says nothing of boxes, the student's grid has no bounds, or a frame
            that objects are cut out of cannot be read.
    """

    def __init__(
        self,
        source: Source,
        student: StudentSettings,
        recipe: DetectRecipe,
        order: Order,
        *,
        seed: int,
        rank: int = 0,
        with_maps: bool = False,
        loaded: LoadedFrames | None = None,
        database: ObjectDatabase | None = None,
    ) -> None:
        self.student = detector_student(student, recipe, training=True)
        self.source, self.recipe, self.order = source, recipe, order
        self.seed, self.rank, self.with_maps = seed, rank, with_maps
        self.loaded = loaded or LoadedFrames(source, student, recipe)
        self.database = database
        if database is None and recipe.sampling is not None:
            self.database = ObjectDatabase.of(self.loaded, recipe.sampling)

    def __getitem__(self, step: int) -> DetectionBatch:
        """This rank's batch of `step`.

        Raises:
            UserError: A frame has no boxes, or cannot be read.
        """
        made = [
            self._made(self.source.frames[int(number)], step, place)
            for place, number in enumerate(self.order.frames_of(step))
        ]
        voxels = collate_clouds([c for c, _ in made], self.student, with_maps=self.with_maps)
        return DetectionBatch(voxels, tuple(_truth(objects) for _, objects in made))

    def _made(self, frame: Frame, step: int, place: int) -> tuple[Cloud, Objects]:
        """The augmented cloud of one frame, and the objects in it."""
        rng = np.random.default_rng(derive_seed(self.seed, "augment", step, place, self.rank))
        loaded = self.loaded.at(frame)
        points, objects = drawn(loaded.scans, self.recipe, rng), loaded.objects
        if self.database is not None:
            points, objects = self.database.paste(points, objects, rng)
        cloud = _cloud(points, self.student, self.recipe, rng)
        cloud = _rows(cloud, rng.permutation(_in_grid(cloud.xyz, self.student)))
        return cloud, within(moved(objects, cloud.motion), _bounds(self.student))


class ScoreBatches(Dataset[ScoreBatch]):
    """Frames in which boxes are looked for, a few at a time, in order.

    Nothing is random: the latest sweeps are taken, whatever training draws, and points keep their
    order, the keyframe's first.

    Args:
        source: The frames.
        student: Grid and input channels.
        recipe: Sweeps and limits.
        batch_size: Frames at a time.
        with_maps: Whether to build the network's kernel maps, for a network on a CPU.

    Raises:
        UserError: The student's grid has no bounds.
    """

    def __init__(
        self,
        source: Source,
        student: StudentSettings,
        recipe: DetectRecipe,
        batch_size: int,
        *,
        with_maps: bool = False,
    ) -> None:
        self.student = detector_student(student, recipe, training=False)
        self.recipe = recipe.model_copy(update={"sweep_choice": "latest"})
        self.source, self.batch_size, self.with_maps = source, batch_size, with_maps

    def __len__(self) -> int:
        """Number of batches."""
        return math.ceil(len(self.source.frames) / self.batch_size)

    def __getitem__(self, number: int) -> ScoreBatch:
        """Frames ``number * batch_size`` and the next ones.

        Raises:
            UserError: A frame cannot be read, or has no sweeps where the recipe wants some.
        """
        start = number * self.batch_size
        numbers = range(len(self.source.frames))[start : start + self.batch_size]
        samples = [self.source.load(self.source.frames[n]) for n in numbers]
        clouds = [self._cloud(sample) for sample in samples]
        voxels = collate_clouds(clouds, self.student, with_maps=self.with_maps)
        poses = tuple(_pose(sample) for sample in samples)
        return ScoreBatch(DetectionBatch(voxels), tuple(numbers), poses)

    def _cloud(self, sample: Sample) -> Cloud:
        still, frame = np.random.default_rng(0), sample.frame
        points = swept(self.source, frame, sample, self.recipe, still)
        points = fed(points, self.source, frame, self.student.inputs)
        cloud = _cloud(points, self.student, self.recipe, None)
        return _rows(cloud, _in_grid(cloud.xyz, self.student))


def _cloud(
    points: SweptPoints,
    student: StudentSettings,
    recipe: DetectRecipe,
    rng: np.random.Generator | None,
) -> Cloud:
    """The student's channels, and the time lag behind them; moved if there is chance."""
    motion = None if rng is None else recipe.augmentation
    chance = np.random.default_rng(0) if rng is None else rng
    cloud = cloud_of_points(points.points, points.intensity, student, motion, chance)
    if not recipe.time_lag:
        return cloud
    return replace(cloud, features=np.column_stack([cloud.features, points.lag_s[cloud.point]]))


def _pose(sample: Sample) -> Float64:
    """Where the scan was taken.

    Raises:
        UserError: Nobody knows.
    """
    if sample.lidar_to_global is None:
        raise UserError(
            f"frame {sample.frame.id}",
            "It has no pose, so what is found in it has no place where it could be scored.",
            "Get the poses of this data set.",
        )
    return sample.lidar_to_global


def _bounds(student: StudentSettings) -> GridBounds:
    bounds = student.voxels.bounds
    assert bounds is not None  # detector_student saw to it
    return bounds


def _in_grid(xyz: Float32, student: StudentSettings) -> Int64:
    """Rows of the points that can lie in a cell: others would travel for nothing."""
    bounds = _bounds(student)
    lower, upper = (np.array(corner, dtype=xyz.dtype) for corner in (bounds.lower, bounds.upper))
    # What is no number is kept, for the grid to complain of.
    return np.flatnonzero(~((xyz < lower) | (xyz > upper)).any(axis=1))


def _rows(cloud: Cloud, rows: Int64) -> Cloud:
    return replace(
        cloud,
        xyz=cloud.xyz.take(rows, axis=0),
        features=cloud.features.take(rows, axis=0),
        point=cloud.point.take(rows),
    )


def _truth(objects: Objects) -> Truth:
    return Truth(torch.from_numpy(objects.boxes), torch.from_numpy(objects.label))
