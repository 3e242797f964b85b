"""One array per image, all in one memory-mapped file with an index from image id to row.

Offers `ImageStore` and `write_store`; patch grids and superpixels are kept this way.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lima_bench.common.errors import UserError
from lima_bench.common.files import filling
from lima_bench.datasets.sample import Camera, Source
from lima_bench.lima.store_folder import INDEX, StoreFolder

_DATA = "images.bin"


@dataclass(frozen=True)
class ImageStore(StoreFolder):
    """An open store of images."""

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.index["ids"])}

    @cached_property
    def array(self) -> npt.NDArray[Any]:
        """(images, ...) every array, memory-mapped, read-only.

        Raises:
            UserError: The file is shorter or longer than the index says.
        """
        return self.mapped(_DATA, self.index["dtype"], (len(self._rows), *self.index["shape"]))

    def __len__(self) -> int:
        """Number of images."""
        return len(self._rows)

    def gather(self, cameras: Sequence[Camera]) -> npt.NDArray[Any]:
        """(len(cameras), ...) a copy of the arrays of these images.

        Raises:
            UserError: An image is not in the store.
        """
        missing = [camera.id for camera in cameras if camera.id not in self._rows]
        if missing:
            raise UserError(
                self.folder, f"The image {missing[0]} is not cached here.", "Build it again."
            )
        rows = [self._rows[camera.id] for camera in cameras]
        out: npt.NDArray[Any] = self.array[rows]
        return out


def cameras_of(source: Source) -> Iterator[tuple[int, Camera]]:
    """Every image of `source` once, in order, with the number of its frame."""
    seen: set[str] = set()
    for number, frame in enumerate(source.frames):
        for camera in source.load(frame).cameras:
            if camera.id not in seen:
                seen.add(camera.id)
                yield number, camera


def write_store(
    folder: Path,
    items: Iterator[tuple[str, npt.NDArray[Any]]],
    facts: Callable[[], Mapping[str, Any]],
) -> ImageStore:
    """Write a store; it appears when whole, and a store that is there already is kept.

    Args:
        folder: Where it will lie.
        items: Image ids with their arrays, all of one shape and type.
        facts: What to note beside them, asked for after the last item.

    Raises:
        UserError: There is no image at all, or the disk refuses.
    """
    with filling(folder) as draft:
        ids, like = _append(draft / _DATA, items)
        if like is None:
            raise UserError(folder, "No frame has an image.", "Choose a data set with cameras.")
        index = {
            "ids": ids,
            "shape": list(like.shape),
            "dtype": like.dtype.str,
            "facts": dict(facts()),
        }
        (draft / INDEX).write_text(json.dumps(index))
    return ImageStore(folder)


def _append(
    path: Path, items: Iterator[tuple[str, npt.NDArray[Any]]]
) -> tuple[list[str], npt.NDArray[Any] | None]:
    ids: list[str] = []
    like: npt.NDArray[Any] | None = None
    with path.open("wb") as file:
        for name, array in items:
            like = array if like is None else like
            if array.shape != like.shape or array.dtype != like.dtype:
                raise ValueError(f"{name}: {array.shape} {array.dtype} beside {like.shape}")
            ids.append(name)
            file.write(np.ascontiguousarray(array).data)
    return ids, like
