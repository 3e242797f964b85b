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

_DATA, _INDEX = "images.bin", "index.json"


@dataclass(frozen=True)
class ImageStore:
    """An open store; travels between processes as its folder's name, never with its content.

    Attributes:
        folder: Where it lies.
    """

    folder: Path

    @cached_property
    def _index(self) -> dict[str, Any]:
        path = self.folder / _INDEX
        if not path.is_file():
            raise UserError(self.folder, "There are no cached images here.", "Build them again.")
        index: dict[str, Any] = json.loads(path.read_text())
        return index

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self._index["ids"])}

    @cached_property
    def array(self) -> npt.NDArray[Any]:
        """(images, ...) every array, memory-mapped, read-only.

        Raises:
            UserError: The file is shorter or longer than the index says.
        """
        path, shape = self.folder / _DATA, (len(self._rows), *self._index["shape"])
        dtype = np.dtype(self._index["dtype"])
        expected = int(np.prod(shape)) * dtype.itemsize
        found = path.stat().st_size if path.is_file() else 0
        if found != expected:
            raise UserError(path, f"{found} bytes, expected {expected}.", "Build it again.")
        return np.memmap(path, dtype=dtype, mode="r", shape=shape)

    @property
    def facts(self) -> Mapping[str, Any]:
        """What was noted when the store was written."""
        facts: Mapping[str, Any] = self._index["facts"]
        return facts

    def __len__(self) -> int:
        """Number of images."""
        return len(self._rows)

    def __getstate__(self) -> dict[str, Any]:
        """Only the folder: a worker maps the file itself."""
        return {"folder": self.folder}

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
        (draft / _INDEX).write_text(json.dumps(index))
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
