"""Random crops and mirror images of a teacher's pictures: what each image of a step shows.

Offers `Look` (the part of one picture that is shown), `draw_look`, and `Shown`, the looks of all
images of a batch. Pairs, superpixels and calibration move with the pixels. The rules are SLidR's
(methods-spatial 0.7), but that a picture without pairs is never drawn again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int
from torch import Tensor

from lima_bench.datasets.sample import Float64, Int64
from lima_bench.lima.pairs import TO_WHOLE, Rounding
from lima_bench.lima.recipes import ImageAugmentation
from lima_bench.lima.resize import squeeze

Size = tuple[int, int]
"""Height and width."""

SHAPE_TRIES = 10
"""Draws of a crop that may not fit into its picture; torchvision makes as many."""

PAIR_TRIES = 100
"""Draws of a crop that may lose its pairs; then the whole picture is shown."""


@dataclass(frozen=True)
class Look:
    """A part of a full-size picture.

    Attributes:
        top: First row.
        left: First column.
        height: Rows.
        width: Columns.
        mirrored: Whether left and right change places.
    """

    top: int
    left: int
    height: int
    width: int
    mirrored: bool = False

    def pixels(
        self, picture: npt.NDArray[np.uint8], size: Size, *, antialias: bool
    ) -> Float[Tensor, "3 H W"]:
        """The part of an RGB picture (rows, columns, 3), at `size`, in 0..1."""
        part = picture[self.top : self.top + self.height, self.left : self.left + self.width]
        shown = squeeze(part, size, antialias=antialias)
        return shown.flip(-1) if self.mirrored else shown

    def ids(self, ids: Int[Tensor, "rows columns"], full: Size, size: Size) -> Int[Tensor, "H W"]:
        """The part of a map of ids at `size`, each that of the nearest pixel before.

        Args:
            ids: Of the whole picture, at any resolution.
            full: Size of the full-size picture.
            size: To reach.
        """
        rows = self.top + torch.arange(size[0]) * self.height // size[0]
        cols = self.left + torch.arange(size[1]) * self.width // size[1]
        rows, cols = rows * ids.shape[0] // full[0], cols * ids.shape[1] // full[1]
        return ids[rows[:, None], cols.flip(0) if self.mirrored else cols]

    def matrix(self, size: Size) -> Float64:
        """3x3 from pixels (column, row, 1) of the full-size picture to those of what is shown."""
        across, down = size[1] / self.width, size[0] / self.height
        moved = np.array([[across, 0, -self.left * across], [0, down, -self.top * down], [0, 0, 1]])
        mirror = np.array([[-1.0, 0, size[1] - 1], [0, 1, 0], [0, 0, 1]])
        turned: Float64 = mirror @ moved if self.mirrored else moved
        return turned


@dataclass(frozen=True)
class Shown:
    """The looks of all images of a batch; none yet, while they are drawn.

    Attributes:
        looks: Image by image.
        size: Height and width of every image.
        rounding: How a scaled coordinate becomes a pixel.
        crops: Whether parts are shown. A pair that rounds to a pixel past the end is then left out;
            of whole pictures it goes to the last one.
    """

    looks: Sequence[Look]
    size: Size
    rounding: Rounding
    crops: bool = True

    def ids(
        self, ids: Int[Tensor, "images rows columns"], full: Sequence[Size]
    ) -> Int[Tensor, "images H W"]:
        """Maps of ids of whole pictures, full sizes `full`, as the images show them."""
        parts = zip(self.looks, ids, full, strict=True)
        shown = [look.ids(one, size, self.size) for look, one, size in parts]
        return torch.stack(shown) if shown else ids.new_empty(0, *self.size)

    def moved(self, pairs: Int64) -> Int64:
        """Pairs (4, P) of points, images, rows and columns that the images still show.

        Args:
            pairs: Rows and columns are those of full-size pictures.
        """
        point, image, row, col = pairs
        parts = [(one.top, one.left, one.height, one.width) for one in self.looks]
        corner = np.array(parts, dtype=np.int64).reshape(-1, 4)[image]
        place = np.stack([row, col], axis=1) - corner[:, :2]
        place = TO_WHOLE[self.rounding](place * np.array(self.size) / corner[:, 2:])
        if not self.crops:
            place = np.minimum(place, np.array(self.size) - 1)
        place = place.astype(np.int64)
        inside = ((place >= 0) & (place < self.size)).all(axis=1)
        mirrored = np.array([one.mirrored for one in self.looks], dtype=bool)[image]
        col = np.where(mirrored, self.size[1] - 1 - place[:, 1], place[:, 1])
        moved: Int64 = np.stack([point, image, place[:, 0], col])[:, inside]
        return moved


def draw_look(
    full: Size,
    pairs: Int64,
    shown: Shown,
    settings: ImageAugmentation,
    rng: np.random.Generator,
) -> Look:
    """What to show of one picture.

    Args:
        full: Its full size.
        pairs: (2, P) rows and columns of its pairs.
        shown: Size and rounding of all images.
        settings: Of the augmentation.
        rng: Source of chance.
    """
    whole = Look(0, 0, *full)
    look = whole
    for _ in range(PAIR_TRIES if settings.crop_area else 0):
        look = _crop(full, settings, rng)
        n_left = _still_shown(look, pairs, shown)
        if n_left > settings.keep_pairs or n_left > settings.keep_share * pairs.shape[1]:
            break
        if not pairs.shape[1]:
            break
        look = whole
    mirrored = bool(rng.random() < settings.flip_probability)
    return Look(look.top, look.left, look.height, look.width, mirrored)


def _still_shown(look: Look, pairs: Int64, shown: Shown) -> int:
    alone = np.zeros((2, pairs.shape[1]), dtype=np.int64)
    moved = Shown([look], shown.size, shown.rounding).moved(np.concatenate([alone, pairs]))
    return int(moved.shape[1])


def _crop(full: Size, settings: ImageAugmentation, rng: np.random.Generator) -> Look:
    """A crop of random area and aspect; the whole picture where ten in a row do not fit into it."""
    assert settings.crop_area is not None
    low, high = (math.log(aspect) for aspect in settings.crop_aspect)
    for _ in range(SHAPE_TRIES):
        area = full[0] * full[1] * rng.uniform(*settings.crop_area)
        aspect = math.exp(rng.uniform(low, high))
        height, width = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
        if 0 < height <= full[0] and 0 < width <= full[1]:
            top = int(rng.integers(full[0] - height + 1))
            return Look(top, int(rng.integers(full[1] - width + 1)), height, width)
    return Look(0, 0, *full)
