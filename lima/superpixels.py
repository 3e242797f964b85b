"""Cuts each image into segments once and keeps them for every method that pools by them.

Offers `Superpixels` (the store), `build_segments` (what cuts comes from
`lima_bench.lima.segmenters.load`) and, for SLIC alone, `build_superpixels`. Ids are made at full
size or at the teacher's, and kept as the nearest id at the teacher's size; -1 means no segment.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Int
from torch import Tensor

from lima_bench.common.errors import UserError
from lima_bench.common.progress import Report, silent
from lima_bench.datasets.sample import Camera, Source
from lima_bench.lima.image_store import ImageStore, cameras_of, write_store
from lima_bench.lima.in_order import in_order
from lima_bench.lima.resize import squeeze_ids
from lima_bench.lima.segmenters.catalogue import SEGMENTERS, SlicSettings
from lima_bench.lima.segmenters.load import Cutter, cutter

NONE = np.iinfo(np.uint16).max
"""How the store writes -1: the largest of its 16 bits."""


@dataclass(frozen=True)
class Superpixels:
    """The cached superpixels of a data set.

    Attributes:
        store: Ids (H, W) per image.
        slots: How many ids there are: of classes their number, otherwise one more than the largest
            id of any image. Adding ``image * slots`` keeps segments of different images apart.
    """

    store: ImageStore
    slots: int

    @classmethod
    def open(cls, folder: Path) -> Superpixels:
        """Open what `build_segments` wrote.

        Raises:
            UserError: Nothing is there, or it is damaged.
        """
        store = ImageStore(folder)
        return cls(store, int(store.facts["slots"]))

    def lookup(self, cameras: Sequence[Camera]) -> Int[Tensor, "images H W"]:
        """Ids of these images, int64; -1 where a pixel belongs to no segment.

        Raises:
            UserError: An image is not cached, or an id is not below `slots` (damaged file).
        """
        stored = self.store.gather(cameras)
        ids = torch.from_numpy(stored.astype(np.int64))
        if self.store.facts["covered"] < 1:
            ids[torch.from_numpy(stored == NONE)] = -1
        if ids.numel() and int(ids.max()) >= self.slots:
            raise UserError(
                self.store.folder,
                f"There is a superpixel {int(ids.max())}, but only {self.slots} slots.",
                "This file is damaged: delete the folder and build it again.",
            )
        return ids


def build_superpixels(
    source: Source,
    image_size: tuple[int, int],
    n_segments: int,
    folder: Path,
    report: Report = silent,
    *,
    processes: int = 1,
) -> Superpixels:
    """`build_segments` with SLIC as published and about `n_segments` superpixels per image."""
    settings = SlicSettings(n_segments=n_segments).model_dump()
    cut = cutter(SEGMENTERS.get("slic"), settings, image_size)
    return build_segments(source, image_size, cut, folder, report, processes=processes)


def build_segments(
    source: Source,
    image_size: tuple[int, int],
    cut: Cutter,
    folder: Path,
    report: Report = silent,
    *,
    processes: int = 1,
) -> Superpixels:
    """Cut every image of `source`; the result does not depend on the number of processes.

    Args:
        source: Frames whose images are cut.
        image_size: (height, width) that ids are squeezed to.
        cut: What cuts one image.
        folder: Where they will lie; kept if it is there already.
        report: Hears of every finished frame.
        processes: Images cut at the same time; SLIC takes a second or more for a full-size image.

    Raises:
        UserError: An image or a mask is missing or broken, an id is beyond those that there are,
            or the disk refuses.
    """
    if not folder.exists():
        tally = _Tally(cut.n_ids)
        work = partial(_squeezed, cut=cut, image_size=image_size)
        with contextlib.closing(in_order(work, cameras_of(source), processes)) as done:
            items = tally.watch(_told(done, report, len(source.frames)))
            write_store(folder, items, lambda: {"image_size": list(image_size), **tally.facts()})
    return Superpixels.open(folder)


@dataclass
class _Tally:
    """Adds up the ids that pass by, and refuses those beyond the fixed number, if there is one."""

    n_ids: int | None
    largest: int = -1
    n_images: int = 0
    n_segments: int = 0
    covered: float = 0.0

    def watch(
        self, items: Iterator[tuple[str, npt.NDArray[np.uint16]]]
    ) -> Iterator[tuple[str, npt.NDArray[np.uint16]]]:
        for name, ids in items:
            found = np.unique(ids[ids != NONE])
            largest = int(found[-1]) if len(found) else -1
            if self.n_ids is not None and largest >= self.n_ids:
                what = f"It has the segment {largest}, but there are only {self.n_ids}."
                raise UserError(f"image {name}", what, "The segmenter breaks its own n_ids.")
            self.largest = max(self.largest, largest)
            self.n_images += 1
            self.n_segments += len(found)
            self.covered += float(np.mean(ids != NONE))
            yield name, ids

    def facts(self) -> dict[str, float]:
        return {
            "slots": self.n_ids or max(self.largest + 1, 1),
            "segments_per_image": self.n_segments / max(self.n_images, 1),
            "covered": self.covered / max(self.n_images, 1),
        }


def _squeezed(
    task: tuple[int, Camera], *, cut: Cutter, image_size: tuple[int, int]
) -> tuple[int, str, npt.NDArray[np.uint16]]:
    """The number of an image's frame, the image's id, and its segments."""
    number, camera = task
    ids = squeeze_ids(cut(camera), image_size)
    if ids.min() < -1 or ids.max() >= NONE:
        where = f"image {camera.id}"
        what = f"Its segments are numbered {ids.min()} to {ids.max()}."
        raise UserError(where, what, f"Ids run from 0 to {NONE - 1}, and -1 means none.")
    return number, camera.id, np.where(ids < 0, NONE, ids).astype(np.uint16)


def _told(
    done: Iterator[tuple[int, str, npt.NDArray[np.uint16]]], report: Report, total: int
) -> Iterator[tuple[str, npt.NDArray[np.uint16]]]:
    for number, name, ids in done:
        report(number, total)
        yield name, ids
    report(total, total)
