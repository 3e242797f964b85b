"""Class-balanced grouping and sampling (CBGS): which frames an epoch shows, and how often.

LoadedFrames -> `epoch_of` -> `Epoch`. Frames with rare classes come again and again, so an epoch is
longer than the list. Source: CBGS as in mmdetection3d's CBGSDataset (detection 3.6).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lima_bench.common.errors import UserError
from lima_bench.common.seeds import derive_seed
from lima_bench.datasets.sample import Int64, Source
from lima_bench.downstream.detection.data.frames import LoadedFrames


@dataclass(frozen=True)
class Epoch:
    """The frames of an epoch; each epoch has the same ones, in another order.

    Attributes:
        numbers: Of the frames in the label share, class after class; many come several times.
        absent: Names of the classes that no frame of the label share shows.
    """

    numbers: Int64
    absent: tuple[str, ...]

    def of(self, source: Source) -> Source:
        """`source` with the epoch's frames."""
        return replace(source, frames=[source.frames[n] for n in self.numbers.tolist()])


def epoch_of(loaded: LoadedFrames, *, seed: int) -> Epoch:
    """The epoch of a label share: balanced if the recipe says so, else every frame once.

    Raises:
        UserError: No frame of the share has an object of any class, or one cannot be read.
    """
    labels = [np.unique(loaded.objects(frame).label) for frame in loaded.source.frames]
    names = loaded.facts.names
    seen = set(np.concatenate(labels).tolist()) if labels else set()
    if not seen:
        raise UserError(
            f"{loaded.source.card.name}: label share",
            f"None of its {len(labels)} frames has a box of a class with a LiDAR or RADAR point, "
            "so there is nothing to learn.",
            f"Take a larger share, or check the annotations: classes are {', '.join(names)}.",
        )
    absent = tuple(name for label, name in enumerate(names) if label not in seen)
    if not loaded.recipe.balanced:
        return Epoch(np.arange(len(labels)), absent)
    return Epoch(balanced(labels, derive_seed(seed, "balance")), absent)


def balanced(labels: Sequence[Int64], seed: int) -> Int64:
    """Numbers of frames, drawn with replacement so that every class gets as many.

    A frame stands in the list of every class it shows; T is the length of all lists. From each of
    the C lists that are not empty T / C frames are drawn, rounded down: the published draw of
    ``len(list) * (1 / C) / (len(list) / T)``. The published code divides by zero where a class is
    absent; here its share goes to the others. Frames without an object are never drawn.

    Args:
        labels: Of each frame, the classes in it, each once.
        seed: Of the draw.
    """
    frame = np.repeat(np.arange(len(labels)), [len(one) for one in labels])
    label = np.concatenate(labels)
    rng = np.random.default_rng(seed)
    present = np.unique(label)
    each = len(label) // len(present)
    return np.concatenate([rng.choice(frame[label == one], each) for one in present])
