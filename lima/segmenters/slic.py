"""SLIC superpixels of full-size images: image -> ids. Offers `Slic`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lima_bench.lima.segmenters.catalogue import SlicSettings


@dataclass(frozen=True)
class Slic:
    """Cuts where colour changes, into pieces of about equal size.

    Their number is near the one that is asked for, above or below: the slots of a data set follow
    the largest id that was found, so that no id ever reaches into the next image.
    """

    settings: SlicSettings

    def __call__(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
        """Ids (rows, columns) of an RGB image, from 0."""
        from skimage.segmentation import slic

        wanted = self.settings
        ids: npt.NDArray[np.int64] = slic(
            pixels,
            n_segments=wanted.n_segments,
            compactness=wanted.compactness,
            sigma=wanted.sigma,
            start_label=0,
        )
        return ids.astype(np.int64)
