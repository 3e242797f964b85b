"""Cuts each image into superpixels (SLIC) once and keeps them for every method that pools by them.

Offers `build_superpixels` and `Superpixels`. Parameters are those published with SLidR: on the
full-size image, compactness 6, sigma 3, ids from 0; then the nearest id at the teacher's size.
"""

from __future__ import annotations

import contextlib
import multiprocessing
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
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
from lima_bench.datasets.images import read_image
from lima_bench.datasets.sample import Camera, Source
from lima_bench.lima.image_store import ImageStore, cameras_of, write_store
from lima_bench.lima.resize import squeeze_ids

COMPACTNESS, SIGMA = 6.0, 3.0


@dataclass(frozen=True)
class Superpixels:
    """The cached superpixels of a data set.

    Attributes:
        store: Ids (H, W) per image.
        slots: One more than the largest id of any image: adding ``image * slots`` to the ids
            of a batch keeps superpixels of different images apart.
    """

    store: ImageStore
    slots: int

    @classmethod
    def open(cls, folder: Path) -> Superpixels:
        """Open what `build_superpixels` wrote.

        Raises:
            UserError: Nothing is there, or it is damaged.
        """
        store = ImageStore(folder)
        return cls(store, int(store.facts["slots"]))

    def lookup(self, cameras: Sequence[Camera]) -> Int[Tensor, "images H W"]:
        """Ids of these images, int64.

        Raises:
            UserError: An image is not cached, or an id is not below `slots` (damaged file).
        """
        ids = torch.from_numpy(self.store.gather(cameras).astype(np.int64))
        if ids.numel() and int(ids.max()) >= self.slots:
            raise UserError(
                self.store.folder,
                f"There is a superpixel {int(ids.max())}, but only {self.slots} slots.",
                "This file is damaged: delete the folder and build it again.",
            )
        return ids


def slic_ids(pixels: npt.NDArray[np.uint8], n_segments: int) -> npt.NDArray[np.int64]:
    """Superpixel ids (rows, columns) of an RGB image, from 0; about `n_segments` of them."""
    from skimage.segmentation import slic

    ids: npt.NDArray[np.int64] = slic(
        pixels, n_segments=n_segments, compactness=COMPACTNESS, sigma=SIGMA, start_label=0
    )
    return ids.astype(np.int64)


def build_superpixels(
    source: Source,
    image_size: tuple[int, int],
    n_segments: int,
    folder: Path,
    report: Report = silent,
    *,
    processes: int = 1,
) -> Superpixels:
    """Cut every image of `source`; the result does not depend on the number of processes.

    Args:
        source: Frames whose images are cut.
        image_size: (height, width) that ids are squeezed to.
        n_segments: Superpixels to aim at per image; SLIC gives about that many.
        folder: Where they will lie; kept if it is there already.
        report: Hears of every finished frame.
        processes: Images cut at the same time; a full-size image takes more than a second.

    Raises:
        UserError: An image is missing or unreadable, or the disk refuses.
    """
    if not folder.exists():
        largest = _Largest()
        cut = partial(_cut, image_size=image_size, n_segments=n_segments)
        items = largest.watch(_cut_all(source, cut, report, processes))
        settings = {"image_size": list(image_size), "n_segments": n_segments}
        write_store(folder, items, lambda: {**settings, "slots": largest.value + 1})
    return Superpixels.open(folder)


@dataclass
class _Largest:
    """Remembers the largest id that passed by."""

    value: int = -1

    def watch(
        self, items: Iterator[tuple[str, npt.NDArray[np.uint16]]]
    ) -> Iterator[tuple[str, npt.NDArray[np.uint16]]]:
        for name, ids in items:
            self.value = max(self.value, int(ids.max()))
            yield name, ids


def _cut(camera: Camera, *, image_size: tuple[int, int], n_segments: int) -> npt.NDArray[np.uint16]:
    ids = squeeze_ids(slic_ids(read_image(camera), n_segments), image_size)
    return ids.astype(np.uint16)  # SLIC makes a few more than n_segments, never 65,536


Cut = Callable[[Camera], npt.NDArray[np.uint16]]


def _cut_all(
    source: Source, cut: Cut, report: Report, processes: int
) -> Iterator[tuple[str, npt.NDArray[np.uint16]]]:
    total = len(source.frames)
    cameras = cameras_of(source)
    with contextlib.closing(_in_order(cut, cameras, processes)) as done:
        for number, name, ids in done:
            report(number, total)
            yield name, ids
    report(total, total)


def _in_order(
    cut: Cut, cameras: Iterator[tuple[int, Camera]], processes: int
) -> Generator[tuple[int, str, npt.NDArray[np.uint16]], None, None]:
    """Results in the order of the cameras, at most a few images ahead of the reader."""
    if processes == 1:
        for number, camera in cameras:
            yield number, camera.id, cut(camera)
        return
    waiting: deque[tuple[int, str, Future[npt.NDArray[np.uint16]]]] = deque()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        for number, camera in cameras:
            waiting.append((number, camera.id, pool.submit(cut, camera)))
            if len(waiting) > 4 * processes:
                ahead, name, future = waiting.popleft()
                yield ahead, name, future.result()
        for ahead, name, future in waiting:
            yield ahead, name, future.result()
