"""How the images of a batch look at the world, in pixels of the resized images.

Offers `lenses_of`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from lima_bench.datasets.rigid import inverse
from lima_bench.datasets.sample import Camera, Float64
from lima_bench.lima.batch import Lenses


def lenses_of(
    cameras: Sequence[Camera],
    scans: Sequence[int],
    poses: Sequence[Float64],
    size: tuple[int, int],
) -> Lenses:
    """Calibrations of images that were squeezed to one size.

    A lens's distortion is not told: on the one data set that has it (Waymo), what is made of these
    numbers is as far off as its images are from a pinhole's.

    Args:
        cameras: One per image.
        scans: For each image, the scan whose LiDAR frame is meant.
        poses: Of the scans, 4x4 LiDAR to global.
        size: (height, width) of the resized images.
    """
    squeeze = [np.diag([size[1] / c.width, size[0] / c.height, 1.0]) for c in cameras]
    intrinsic = [s @ c.intrinsic for s, c in zip(squeeze, cameras, strict=True)]
    placed = [
        inverse(poses[scan]) @ c.camera_to_global for scan, c in zip(scans, cameras, strict=True)
    ]
    return Lenses(
        scan=torch.tensor(list(scans), dtype=torch.int64),
        intrinsic=torch.from_numpy(np.array(intrinsic).reshape(-1, 3, 3)),
        camera_to_lidar=torch.from_numpy(np.array(placed).reshape(-1, 4, 4)),
    )
