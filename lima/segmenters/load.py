"""A segmenter's card and settings -> what cuts the image of a camera.

Offers `Cutter`, `PixelCutter` and `cutter`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lima_bench.common.errors import UserError
from lima_bench.datasets.images import read_image
from lima_bench.datasets.sample import Camera, Int64
from lima_bench.lima.features import Grids
from lima_bench.lima.segmenters.catalogue import SegmenterCard


class Cutter(Protocol):
    """Cuts the image of a camera; built-in ones travel between processes."""

    @property
    def n_ids(self) -> int | None:
        """How many ids there are, where it is fixed."""

    def __call__(self, camera: Camera) -> Int64:
        """Ids (rows, columns) from 0, -1 for no segment; of any size."""


@dataclass(frozen=True)
class PixelCutter:
    """Shows a segmenter the picture and checks what it says.

    Attributes:
        segmenter: As `lima_bench.lima.segmenters.catalogue.register_segmenter` describes it.
        name: For messages.
    """

    segmenter: Callable[[npt.NDArray[np.uint8]], npt.NDArray[Any]]
    name: str

    @property
    def n_ids(self) -> int | None:
        """What the segmenter says."""
        n_ids: int | None = getattr(self.segmenter, "n_ids", None)
        return n_ids

    def __call__(self, camera: Camera) -> Int64:
        """Ids of the full-size image.

        Raises:
            UserError: The image cannot be read, or the segmenter breaks its contract.
        """
        pixels = read_image(camera)
        ids = np.asarray(self.segmenter(pixels))
        if ids.shape != pixels.shape[:2] or not np.issubdtype(ids.dtype, np.integer):
            raise UserError(
                f"segmenter {self.name}, image {camera.id}",
                f"It gave {ids.dtype} of shape {ids.shape} for an image of {pixels.shape[:2]}.",
                "It must give a whole number per pixel.",
            )
        return ids.astype(np.int64)


def cutter(
    card: SegmenterCard,
    settings: Mapping[str, Any],
    image_size: tuple[int, int],
    *,
    grids: Path | None = None,
    files: Path | None = None,
) -> Cutter:
    """What cuts one image.

    Args:
        card: The segmenter.
        settings: Its settings.
        image_size: (height, width) that ids will be squeezed to.
        grids: Folder of the teacher's cached features, for a segmenter that needs them.
        files: Folder of masks, likewise.

    Raises:
        UserError: What it needs is not there.
    """
    chosen, made = card.settings.model_validate(settings), _load(card)
    if card.needs == "pixels":
        return PixelCutter(made(chosen), card.name)
    given = {"features": grids, "files": files}[card.needs]
    if given is None:
        what = f"It needs {card.needs}, and there are none."
        raise UserError(f"segmenter {card.name}", what, "Build them first: lima-bench prepare.")
    cuts: Cutter = (
        made(chosen, given)
        if card.needs == "files"
        else made.made(chosen, Grids.open(given), image_size)
    )
    return cuts


def _load(card: SegmenterCard) -> Any:
    if not isinstance(card.implementation, str):
        return card.implementation
    module, name = card.implementation.split(":")
    return getattr(import_module(module), name)
