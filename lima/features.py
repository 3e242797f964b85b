"""What the teacher sees in every image, computed once; and the feature of the pixel of each pair.

Offers `build_grids`, `Grids`, `sample_pixels`, and the two ways in which a method may hold its
teacher: `CachedTeacher` (grids from the cache) and `LiveTeacher` (the network runs in the step).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from lima_bench.common.errors import UserError
from lima_bench.common.progress import Report, silent
from lima_bench.datasets.images import read_image
from lima_bench.datasets.sample import Camera, Float64, Source
from lima_bench.lima.batch import Images
from lima_bench.lima.image_store import ImageStore, cameras_of, write_store
from lima_bench.lima.resize import squeeze
from lima_bench.lima.sampling import sample_pixels
from lima_bench.lima.teachers.load import Teacher

__all__ = [
    "CachedTeacher",
    "Grids",
    "ImageTeacher",
    "LiveTeacher",
    "build_grids",
    "sample_pixels",
    "standardise",
]

Float16 = npt.NDArray[np.float16]


class ImageTeacher(Protocol):
    """What a method sees of its teacher: its width, and features for the images of a batch."""

    @property
    def width(self) -> int:
        """Channels, D."""

    def __call__(self, images: Images) -> Float[Tensor, "images h w width"]:
        """Features of every image, float32, channels last; no gradient flows into them."""


@dataclass(frozen=True)
class Grids:
    """The cached feature grids of a data set.

    Attributes:
        store: Grids (h, w, D) per image, float16.
    """

    store: ImageStore

    @classmethod
    def open(cls, folder: Path) -> Grids:
        """Open what `build_grids` wrote.

        Raises:
            UserError: Nothing is there, or it is damaged.
        """
        store = ImageStore(folder)
        len(store.array)
        return cls(store)

    def lookup(self, cameras: Sequence[Camera]) -> Float[Tensor, "images h w width"]:
        """Grids of these images, float16.

        Raises:
            UserError: An image is not cached.
        """
        return torch.from_numpy(self.store.gather(cameras))

    @property
    def width(self) -> int:
        """Channels, D."""
        return int(self.store.array.shape[-1])

    @cached_property
    def mean(self) -> Float[Tensor, " width"]:
        """Mean of each channel over all cells of all images."""
        return torch.tensor(self.store.facts["mean"], dtype=torch.float32)

    @cached_property
    def std(self) -> Float[Tensor, " width"]:
        """Standard deviation of each channel over all cells of all images."""
        return torch.tensor(self.store.facts["std"], dtype=torch.float32)


def build_grids(
    teacher: Teacher,
    source: Source,
    image_size: tuple[int, int],
    antialias: bool,
    folder: Path,
    report: Report = silent,
    device: torch.device | str = "cpu",
    *,
    batch_size: int = 24,
) -> Grids:
    """Run the teacher over every image of `source` and keep its grids as float16.

    Args:
        teacher: The frozen network.
        source: Frames whose images are looked at.
        image_size: (height, width) that images are squeezed to.
        antialias: Of that resize.
        folder: Where the grids will lie; kept if it is there already.
        report: Hears of every finished frame.
        device: Where the network runs.
        batch_size: Images at a time.

    Raises:
        UserError: An image is missing or unreadable, the size does not suit the teacher, a
            feature is too large for float16, or the disk refuses.
    """
    teacher.check_size(image_size)
    if not folder.exists():
        moments = _Moments(teacher.width)
        teacher = teacher.to(device)
        items = _grids(teacher, _squeezed(source, image_size, antialias, report), batch_size)
        settings = {
            "teacher": teacher.card.name,
            "image_size": list(image_size),
            "antialias": antialias,
        }
        write_store(folder, moments.watch(items), lambda: {**settings, **moments.facts()})
    return Grids.open(folder)


def _squeezed(
    source: Source, size: tuple[int, int], antialias: bool, report: Report
) -> Iterator[tuple[str, Float[Tensor, "3 H W"]]]:
    total = len(source.frames)
    for number, camera in cameras_of(source):
        report(number, total)
        yield camera.id, squeeze(read_image(camera), size, antialias=antialias)
    report(total, total)


def _grids(
    teacher: Teacher, images: Iterator[tuple[str, Float[Tensor, "3 H W"]]], batch_size: int
) -> Iterator[tuple[str, Float16]]:
    waiting: list[tuple[str, Tensor]] = []
    for item in images:
        waiting.append(item)
        if len(waiting) == batch_size:
            yield from _run(teacher, waiting)
            waiting = []
    if waiting:
        yield from _run(teacher, waiting)


def _run(teacher: Teacher, items: Sequence[tuple[str, Tensor]]) -> Iterator[tuple[str, Float16]]:
    pixels = torch.stack([image for _, image in items]).to(teacher.mean.device)
    features = teacher(pixels).to(torch.float16).cpu().numpy()
    for (name, _), grid in zip(items, features, strict=True):
        if not np.isfinite(grid).all():
            raise UserError(
                f"teacher {teacher.card.name}, image {name}",
                "A feature is not finite in float16.",
                "Check the weights; this teacher cannot be cached.",
            )
        yield name, grid


class _Moments:
    """Mean and standard deviation per channel of the grids that pass by, summed in float64.

    Sums are taken about the first image's mean: channels far from 0 lose no digits.
    """

    def __init__(self, width: int) -> None:
        self.n_cells = 0
        self.shift: Float64 | None = None
        self.total, self.squares = np.zeros(width), np.zeros(width)

    def watch(self, items: Iterator[tuple[str, Float16]]) -> Iterator[tuple[str, Float16]]:
        """Pass the items on and add them up."""
        for name, grid in items:
            cells = grid.reshape(-1, grid.shape[-1]).astype(np.float64)
            if self.shift is None:
                self.shift = cells.mean(axis=0)
            cells -= self.shift
            self.n_cells += len(cells)
            self.total += cells.sum(axis=0)
            self.squares += np.square(cells).sum(axis=0)
            yield name, grid

    def facts(self) -> dict[str, list[float]]:
        """What the index keeps."""
        offset = self.total / self.n_cells
        variance = np.maximum(self.squares / self.n_cells - np.square(offset), 0.0)
        mean = offset if self.shift is None else offset + self.shift
        return {"mean": mean.tolist(), "std": np.sqrt(variance).tolist()}


def standardise(
    grids: Float[Tensor, "images h w width"],
    mean: Float[Tensor, " width"],
    std: Float[Tensor, " width"],
) -> Float[Tensor, "images h w width"]:
    """Every channel with mean 0 and deviation 1 over the data set; constant channels become 0."""
    return grids.to(torch.float32, copy=True).sub_(mean).div_(std.clamp(min=1e-6))


@dataclass(frozen=True)
class CachedTeacher:
    """A teacher whose grids come with the batch.

    Attributes:
        width: Channels, D.
        mean: Per channel, with `std`: the grids are standardised; None leaves them raw.
        std: Per channel.
    """

    width: int
    mean: Float[Tensor, " width"] | None = None
    std: Float[Tensor, " width"] | None = None

    @classmethod
    def of(cls, grids: Grids, *, standardised: bool) -> CachedTeacher:
        """The teacher that `grids` were built with."""
        return cls(grids.width, *((grids.mean, grids.std) if standardised else (None, None)))

    def __call__(self, images: Images) -> Float[Tensor, "images h w width"]:
        """The batch's grids as float32."""
        if images.grids is None:
            raise ValueError("the batch carries no cached grids")
        return _finished(images.grids, self.mean, self.std)


@dataclass(frozen=True)
class LiveTeacher:
    """A teacher that runs inside the step, for images that are augmented.

    Attributes:
        network: On the device of the batch.
        mean: As in `CachedTeacher`, measured on un-augmented images.
        std: As in `CachedTeacher`.
    """

    network: Teacher
    mean: Float[Tensor, " width"] | None = None
    std: Float[Tensor, " width"] | None = None

    @property
    def width(self) -> int:
        """Channels, D."""
        return self.network.width

    def __call__(self, images: Images) -> Float[Tensor, "images h w width"]:
        """The network's output on the batch's pixels."""
        if images.pixels is None:
            raise ValueError("the batch carries no pixels")
        return _finished(self.network(images.pixels), self.mean, self.std)


def _finished(grids: Tensor, mean: Tensor | None, std: Tensor | None) -> Tensor:
    if mean is None or std is None:
        return grids.float()
    return standardise(grids, mean.to(grids.device), std.to(grids.device))
