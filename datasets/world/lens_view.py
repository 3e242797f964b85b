"""Pictures through a lens that bends: a wider pinhole picture, resampled.

Offers `widened` and `bent`. Rays are cast through a pinhole; a bending lens shows the same rays at
other places.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import map_coordinates

from lima_bench.datasets.lens import Coefficients, undistort
from lima_bench.datasets.sample import Float32, Float64
from lima_bench.datasets.world.rigs import CameraMount

_MARGIN = 2


def widened(mount: CameraMount) -> CameraMount:
    """The pinhole camera at the same place that sees all that `mount` sees through its lens."""
    places = _places(mount)
    low = np.floor(places.min(axis=0)).astype(int) - _MARGIN
    high = np.ceil(places.max(axis=0)).astype(int) + _MARGIN
    intrinsic = mount.intrinsic.copy()
    intrinsic[:2, 2] -= low
    width, height = (int(n) for n in high - low + 1)
    return replace(mount, intrinsic=intrinsic, width=width, height=height, distortion=None)


def bent(mount: CameraMount, wide: CameraMount, image: Float32) -> Float32:
    """Light (H, W, 3) as `mount` sees it, from what the pinhole `wide` sees."""
    at = _in_wide(mount, wide)
    channels = [map_coordinates(image[..., c], at, order=1, mode="nearest") for c in range(3)]
    seen: Float32 = np.stack(channels, axis=-1).reshape(mount.height, mount.width, 3)
    return np.ascontiguousarray(seen, dtype=np.float32)


def nearest(mount: CameraMount, wide: CameraMount, raster: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Ids or depths (H, W) as `mount` sees them: what must not be mixed."""
    row, column = np.rint(_in_wide(mount, wide)).astype(int)
    return np.ascontiguousarray(raster[row, column].reshape(mount.height, mount.width))


def _in_wide(mount: CameraMount, wide: CameraMount) -> Float64:
    """Row and column (2, H W) in the wide image of every pixel."""
    places: Float64 = _places(mount) + wide.intrinsic[:2, 2] - mount.intrinsic[:2, 2]
    return places.T[::-1]


def _places(mount: CameraMount) -> Float64:
    """Where a pinhole of the same focal length would show each pixel (H W, 2), as (u, v)."""
    assert mount.distortion is not None
    (focal_u, _, middle_u), (_, focal_v, middle_v), _ = mount.intrinsic.tolist()
    size = mount.height, mount.width
    return _straight(mount.distortion, (focal_u, focal_v), (middle_u, middle_v), size)


@lru_cache(maxsize=8)
def _straight(
    distortion: Coefficients,
    focal: tuple[float, float],
    centre: tuple[float, float],
    size: tuple[int, int],
) -> Float64:
    """`_places`, the same for every picture of a camera."""
    v, u = np.mgrid[: size[0], : size[1]].reshape(2, -1).astype(np.float64)
    flat = (np.stack([u, v], axis=1) - centre) / focal
    return undistort(flat, distortion) * focal + centre
