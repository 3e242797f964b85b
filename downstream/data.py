"""Labelled frames as batches: load, augment, voxelise; and validation frames as they are.

Offers `TrainBatches` (item ``step``, shuffled, augmented), `ScoreBatches` (item ``number``, every
frame once, untouched, with the masks by which scores are split) and what they hold.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils.data import Dataset

from lima_bench.common.errors import UserError
from lima_bench.common.seeds import derive_seed
from lima_bench.datasets.sample import IGNORE, Bool, Frame, Int64, Sample, Source
from lima_bench.downstream.splits import masks_of
from lima_bench.lima.cache import ByteCache
from lima_bench.lima.clouds import collate_clouds, make_cloud
from lima_bench.lima.order import Order
from lima_bench.lima.recipes import Augmentation, StudentSettings
from lima_bench.lima.voxels import Voxels

CACHE_BYTES = 256 << 20
"""Of loaded scans, per loading process."""


@dataclass(frozen=True)
class LabelledBatch:
    """One training step's clouds.

    Attributes:
        voxels: The network's input.
        labels: Train id of every point in it.
    """

    voxels: Voxels
    labels: Int[Tensor, " points"]


@dataclass(frozen=True)
class ScoreBatch:
    """A few validation frames.

    Attributes:
        voxels: The network's input: every point of the frames, without augmentation.
        labels: (N,) train ids.
        masks: By split of the score, which points belong to it.
        unknown_labels: Raw ids that no table lists, with their number of points.
    """

    voxels: Voxels
    labels: Int64
    masks: Mapping[str, Bool]
    unknown_labels: Mapping[int, int]


class TrainBatches(Dataset[LabelledBatch]):
    """Every step's batch of a downstream run, a pure function of seed, step and rank.

    Args:
        source: The label share.
        student: Grid and input channels.
        augmentation: Of every scan.
        order: Which frames belong to a step.
        seed: Of the augmentation.
        rank: Of this process.
        with_maps: Whether to build the network's kernel maps, for a network on a CPU.
        cache_bytes: Limit of the scans that are kept in memory.
    """

    def __init__(
        self,
        source: Source,
        student: StudentSettings,
        augmentation: Augmentation,
        order: Order,
        *,
        seed: int,
        rank: int = 0,
        with_maps: bool = False,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        # A box is what pretraining looked at; here every label counts.
        inputs = student.inputs.model_copy(update={"box_m": None})
        self.student = student.model_copy(update={"inputs": inputs})
        self.source, self.augmentation = source, augmentation
        self.order, self.seed, self.rank, self.with_maps = order, seed, rank, with_maps
        self._samples: ByteCache[Sample] = ByteCache(cache_bytes)

    def __getitem__(self, step: int) -> LabelledBatch:
        """This rank's batch of `step`.

        Raises:
            UserError: A frame has no labels, or they do not fit the classes.
        """
        samples = [self._load(int(number)) for number in self.order.frames_of(step)]
        clouds = [
            make_cloud(
                sample, self.source.card, self.student, self.augmentation, self._rng(step, place)
            )
            for place, sample in enumerate(samples)
        ]
        labels = [
            _labels(sample)[cloud.point] for sample, cloud in zip(samples, clouds, strict=True)
        ]
        return LabelledBatch(
            collate_clouds(clouds, self.student, with_maps=self.with_maps),
            torch.from_numpy(np.concatenate(labels)),
        )

    def _rng(self, step: int, place: int) -> np.random.Generator:
        return np.random.default_rng(derive_seed(self.seed, "augment", step, place, self.rank))

    def _load(self, number: int) -> Sample:
        frame = self.source.frames[number]
        return self._samples.get(frame.id, lambda: self._bare(frame))

    def _bare(self, frame: Frame) -> Sample:
        """The sample without what training does not look at."""
        return replace(
            load_labelled(self.source, frame),
            cameras=(),
            boxes=None,
            ring=None,
            time_s=None,
            moving=None,
        )


class ScoreBatches(Dataset[ScoreBatch]):
    """Validation frames, a few at a time, in order.

    Args:
        source: The validation frames.
        student: Grid and input channels; its range limit does not apply, since every labelled
            point is scored.
        batch_size: Frames at a time.
        with_maps: Whether to build the network's kernel maps, for a network on a CPU.
    """

    def __init__(
        self,
        source: Source,
        student: StudentSettings,
        batch_size: int,
        *,
        with_maps: bool = False,
    ) -> None:
        inputs = student.inputs.model_copy(update={"max_range_m": None, "box_m": None})
        self.student = student.model_copy(update={"inputs": inputs})
        self.source, self.batch_size, self.with_maps = source, batch_size, with_maps

    def __len__(self) -> int:
        """Number of batches."""
        return math.ceil(len(self.source.frames) / self.batch_size)

    def __getitem__(self, number: int) -> ScoreBatch:
        """Frames ``number * batch_size`` and the next ones.

        Raises:
            UserError: A frame has no labels, or they do not fit the classes.
        """
        start = number * self.batch_size
        samples = [
            load_labelled(self.source, frame)
            for frame in self.source.frames[start : start + self.batch_size]
        ]
        still = np.random.default_rng(0)
        clouds = [make_cloud(s, self.source.card, self.student, None, still) for s in samples]
        unknown: Counter[int] = Counter()
        for sample in samples:
            unknown.update(sample.unknown_labels)
        return ScoreBatch(
            collate_clouds(clouds, self.student, with_maps=self.with_maps),
            np.concatenate([_labels(sample) for sample in samples]),
            _stacked(samples),
            dict(unknown),
        )


def load_labelled(source: Source, frame: Frame) -> Sample:
    """A sample whose labels are there and fit the card's classes.

    Raises:
        UserError: They are not, or do not.
    """
    sample = source.load(frame)
    if sample.labels is None:
        raise UserError(
            f"frame {frame.id}",
            "It has no labels.",
            "Choose a split or label share whose frames are all annotated.",
        )
    largest = sample.labels[sample.labels != IGNORE].max(initial=-1)
    if largest >= len(source.card.classes) or sample.labels.min(initial=0) < 0:
        raise UserError(
            f"frame {frame.id}",
            f"It has the train id {largest}, but there are {len(source.card.classes)} classes.",
            f"Mend the label map of the card of {source.card.name}.",
        )
    return sample


def _labels(sample: Sample) -> Int64:
    assert sample.labels is not None  # load_labelled saw to it
    return sample.labels


def _stacked(samples: Sequence[Sample]) -> dict[str, Bool]:
    """Masks over all points of the samples; a frame that cannot tell is in neither half."""
    parts = [masks_of(sample) for sample in samples]
    names = sorted({name for part in parts for name in part})
    nothing = [np.zeros(len(sample.points), dtype=bool) for sample in samples]
    return {
        name: np.concatenate([part.get(name, no) for part, no in zip(parts, nothing, strict=True)])
        for name in names
    }
