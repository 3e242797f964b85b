"""Full-size images to the teacher's size: the whole picture squeezed, nothing cropped.

Offers `squeeze` (pixels) and `squeeze_ids` (superpixels). The ImageNet normalisation belongs to
the teacher.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def squeeze(
    pixels: npt.NDArray[np.uint8], size: tuple[int, int], *, antialias: bool = False
) -> Float[Tensor, "3 H W"]:
    """An RGB image (rows, columns, 3) at `size` (height, width), bilinear, in 0..1.

    Args:
        pixels: The image as it is in the file.
        size: Height and width to reach; the aspect ratio is not kept.
        antialias: Off by default: the published code ran on a library that had none here.
    """
    image = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None].float() / 255
    if (image.shape[-2], image.shape[-1]) == size:
        return image[0].contiguous()
    small = F.interpolate(image, size, mode="bilinear", align_corners=False, antialias=antialias)
    return small[0]


def squeeze_ids(ids: npt.NDArray[np.int64], size: tuple[int, int]) -> npt.NDArray[np.int64]:
    """A map of ids (rows, columns) at `size`: the id whose cell begins nearest before.

    Cell (i, j) reads (floor(i * rows / height), floor(j * columns / width)), torch's ``nearest``.
    """
    rows = np.arange(size[0]) * ids.shape[0] // size[0]
    cols = np.arange(size[1]) * ids.shape[1] // size[1]
    small: npt.NDArray[np.int64] = ids[np.ix_(rows, cols)]
    return small
