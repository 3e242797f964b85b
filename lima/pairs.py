"""Which pixel sees which point.  Sample -> `project` -> `Pairs` -> `Pairs.resized`.

Offers `Pairs`, `Rounding`, `TO_WHOLE` and `project`. A point goes to the global frame with the pose
of the LiDAR's time and into the camera with the pose of the camera's own time: leaving the car's
motion between the two out moves points by 13 pixels in a real front image. No occlusion is tested,
as in every published method.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from lima_bench.common.errors import UserError
from lima_bench.datasets.lens import distort
from lima_bench.datasets.rigid import apply, inverse
from lima_bench.datasets.sample import Camera, Float64, Int64, Sample

Rounding = Literal["round", "floor"]
"""From image coordinates to a pixel: "round" as SLidR and SuperFlow, "floor" as ScaLR."""

TO_WHOLE: dict[str, Callable[[Float64], Float64]] = {"round": np.rint, "floor": np.floor}


@dataclass(frozen=True)
class Pairs:
    """Point-pixel pairs of one sample, camera after camera, points in file order inside.

    A point that two cameras see has two pairs.

    Attributes:
        point: (P,) row of `Sample.points`.
        camera: (P,) position in `Sample.cameras`.
        row: (P,) pixel row in the full-size image, or in the resized one.
        col: (P,) pixel column.
    """

    point: Int64
    camera: Int64
    row: Int64
    col: Int64

    def __len__(self) -> int:
        """The number of pairs."""
        return len(self.point)

    def resized(
        self, cameras: Sequence[Camera], size: tuple[int, int], rounding: Rounding
    ) -> Pairs:
        """The same pairs after the whole images were squeezed to `size`, without a crop.

        The full-size pixel is scaled and made whole a second time, as the published code does:
        ``floor(pixel * new / old)``, or ``round(pixel * new / old)`` cut off at the last pixel.

        Args:
            cameras: Those of the sample, for their full sizes.
            size: New height and width in pixels.
            rounding: As in `project`.
        """
        full = np.array([(camera.height, camera.width) for camera in cameras]).reshape(-1, 2)
        pixel = np.stack([self.row, self.col], axis=1)
        scaled = TO_WHOLE[rounding](pixel * np.array(size) / full[self.camera])
        row, col = np.minimum(scaled, np.array(size) - 1).astype(np.int64).T
        return Pairs(self.point, self.camera, row, col)


def project(sample: Sample, *, rounding: Rounding, min_depth_m: float = 1.0) -> Pairs:
    """Every point-pixel pair of `sample`, in pixels of the full-size images.

    A pair needs a depth above `min_depth_m` and image coordinates ``0 < u < width - 1`` and
    ``0 < v < height - 1``, all strict.

    Args:
        sample: With cameras; one without gives no pairs.
        rounding: How image coordinates become a pixel.
        min_depth_m: Metres along the camera's axis.

    Raises:
        UserError: The sample has cameras but no pose.
    """
    if sample.cameras and sample.lidar_to_global is None:
        raise UserError(
            sample.frame.id, "This frame has images but no pose.", "Pairs need poses; add them."
        )
    found = [_seen(sample, camera, rounding, min_depth_m) for camera in sample.cameras]
    nothing = np.zeros((3, 0), dtype=np.int64)
    point, row, col = np.concatenate([nothing, *found], axis=1)
    camera = np.repeat(np.arange(len(found)), [part.shape[1] for part in found])
    return Pairs(point, camera.astype(np.int64), row, col)


def image_points(sample: Sample, camera: Camera) -> tuple[Float64, npt.NDArray[np.float64]]:
    """Where every point falls in one image: coordinates (N, 2) as (u, v), and depth (N,) in metres.

    Coordinates of points at or behind the camera mean nothing; they are NaN for points that a
    distorting lens cannot show.
    """
    assert sample.lidar_to_global is not None
    to_camera = inverse(camera.camera_to_global) @ sample.lidar_to_global
    rays = apply(to_camera, sample.points)
    depth = rays[:, 2]
    if camera.distortion is not None:
        with np.errstate(divide="ignore", invalid="ignore"):
            bent = distort(rays[:, :2] / depth[:, None], camera.distortion)
        return bent @ camera.intrinsic[:2, :2].T + camera.intrinsic[:2, 2], depth
    pixels = rays @ camera.intrinsic.T
    with np.errstate(divide="ignore", invalid="ignore"):
        return pixels[:, :2] / pixels[:, 2:], depth


def _seen(sample: Sample, camera: Camera, rounding: Rounding, min_depth_m: float) -> Int64:
    """Point, row and column (3, P) of the points that one camera sees."""
    places, depth = image_points(sample, camera)
    u, v = places[:, 0], places[:, 1]
    seen = (depth > min_depth_m) & (u > 0) & (u < camera.width - 1)
    point = np.flatnonzero(seen & (v > 0) & (v < camera.height - 1))
    whole = TO_WHOLE[rounding]
    return np.stack([point, whole(v[point]).astype(np.int64), whole(u[point]).astype(np.int64)])
