"""Images as arrays: every part that looks at pixels reads them here.

Offers `read_image`.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from lima_bench.common.errors import UserError
from lima_bench.datasets.sample import Camera


def read_image(camera: Camera) -> npt.NDArray[np.uint8]:
    """The camera's image, RGB, shape (height, width, 3).

    Raises:
        UserError: The file is missing, unreadable or cut short, or has not the camera's size.
    """
    again = "Get this file again from where the data set came from."
    try:
        with Image.open(_source(camera)) as file:
            width, height = file.size
            if (width, height) != (camera.width, camera.height):
                raise UserError(
                    camera.image,
                    f"This image is {width} x {height} pixels, but camera {camera.name} "
                    f"is {camera.width} x {camera.height}.",
                    "Pixels and calibration must belong together; use the original image.",
                )
            return np.array(file.convert("RGB"))
    except FileNotFoundError as error:
        raise UserError(camera.image, "This image is missing.", again) from error
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(camera.image, f"This image cannot be read: {error}.", again) from error


def _source(camera: Camera) -> Path | io.BytesIO:
    """What to open: the file, or the bytes that lie inside a larger one."""
    image = camera.image
    return image if isinstance(image, Path) else io.BytesIO(image.read())
