"""Masks that a published segmenter left as one PNG per image: file -> ids. Offers `MaskFolder`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from lima_bench.common.errors import UserError
from lima_bench.datasets.sample import Camera
from lima_bench.lima.segmenters.catalogue import FolderSettings

_8_BIT = ("L", "P")
"""Grey values, or places in a palette."""


@dataclass(frozen=True)
class MaskFolder:
    """Reads ids that lie beside the data set.

    Attributes:
        settings: How the ids are meant.
        folder: Where the files lie.
    """

    settings: FolderSettings
    folder: Path

    @property
    def n_ids(self) -> int | None:
        """How many ids there are, where it is known."""
        return self.settings.n_ids

    def __call__(self, camera: Camera) -> npt.NDArray[np.int64]:
        """Ids (rows, columns) of the camera's full-size image, from 0; -1 for no segment.

        Raises:
            UserError: The file is missing or broken, has another size than the image or more than
                8 bits, or holds an id beyond those that there are.
        """
        path = self.folder / f"{camera.id}.png"
        values = _read(path, camera)
        ids = np.maximum(values.astype(np.int64) - self.settings.first_id, -1)
        limit = self.settings.n_ids
        if limit is not None and ids.max() >= limit:
            last = self.settings.first_id + limit - 1
            raise UserError(
                path,
                f"It holds the id {values.max()}, but ids end at {last}.",
                "These are masks of another segmenter, or the recipe's n_ids is too small.",
            )
        return ids


def _read(path: Path, camera: Camera) -> npt.NDArray[np.uint8]:
    again = "Make it again, or get it again from where the masks came from."
    try:
        with Image.open(path) as file:
            _must_fit(path, file, camera)
            return np.array(file)
    except FileNotFoundError as error:
        what = f"The mask of image {camera.id} ({camera.name}) is missing."
        raise UserError(path, what, "There must be one file per image that is learnt from.") from (
            error
        )
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(path, f"This mask cannot be read: {error}.", again) from error


def _must_fit(path: Path, file: Image.Image, camera: Camera) -> None:
    width, height = file.size
    if (width, height) != (camera.width, camera.height):
        raise UserError(
            path,
            f"This mask is {width} x {height} pixels, its image {camera.width} x {camera.height}.",
            "Masks belong to full-size images: make it again without resizing.",
        )
    if file.mode not in _8_BIT:
        raise UserError(
            path,
            f"This is no picture of 8-bit ids (Pillow calls it {file.mode}).",
            "Save ids as grey values of one channel with 8 bits, as published masks have them.",
        )
