"""From points to pixels: which pixel sees which point, and what a superpixel's feature is.

Offers `rows`. Both are compared with the way in which they are usually written, which gives the
same result: projection with the nuScenes devkit's own steps, one camera after the other; superpixel
pooling by bringing the teacher's features to the full image first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.rows import Row, interleave
from benchmarks.streets import samples
from lima_bench.datasets.sample import Sample
from lima_bench.lima.pairs import project
from lima_bench.lima.pooling import superpixel_means

N_CAMERAS, GRID, IMAGE = 6, (14, 28), (224, 448)
WIDTH, N_SUPERPIXELS = 384, 150
"""A batch element of the papers: six images, ViT-S/14's grid, 150 superpixels an image."""
MIN_DEPTH_M = 1.0


def rows(quick: bool) -> list[Row]:
    """Projection of a keyframe, pooling of its images."""
    rounds = 3 if quick else 9
    return [*_projection_rows(quick, rounds), *_pooling_rows(quick, rounds)]


def _projection_rows(quick: bool, rounds: int) -> list[Row]:
    (sample,) = samples(quick, 1)
    found = project(sample, rounding="floor")
    assert _by_devkit(sample) == len(found)
    work: dict[str, Callable[[], object]] = {
        "ours": lambda: project(sample, rounding="floor"),
        "devkit": lambda: _by_devkit(sample),
    }
    timings = interleave(work, rounds=rounds)
    note = (
        f"{timings.sample('ours', 1e3).median:.2f} ms; {len(sample.points)} points, "
        f"{len(sample.cameras)} cameras, {len(found)} pairs"
    )
    return [
        Row.of("images/projection over devkit", timings.ratio("devkit", "ours"), "x", note=note)
    ]


def _by_devkit(sample: Sample) -> int:
    """Number of pairs, by the devkit's chain of rotations and translations of all points."""
    from nuscenes.utils.data_classes import LidarPointCloud
    from nuscenes.utils.geometry_utils import view_points

    assert sample.lidar_to_global is not None
    columns = np.vstack((sample.points.T, sample.intensity)).astype(np.float64)
    n_pairs = 0
    for camera in sample.cameras:
        cloud = LidarPointCloud(columns.copy())
        _move(cloud, sample.lidar_to_global)
        cloud.translate(-camera.camera_to_global[:3, 3])
        cloud.rotate(camera.camera_to_global[:3, :3].T)
        pixels = view_points(cloud.points[:3], camera.intrinsic, normalize=True)
        seen = cloud.points[2] > MIN_DEPTH_M
        for axis, size in ((0, camera.width), (1, camera.height)):
            seen &= (pixels[axis] > 0) & (pixels[axis] < size - 1)
        n_pairs += len(np.floor(pixels[:2, seen]).astype(np.int64).T)
    return n_pairs


def _move(cloud: Any, transform: npt.NDArray[np.float64]) -> None:
    cloud.rotate(transform[:3, :3])
    cloud.translate(transform[:3, 3])


def _pooling_rows(quick: bool, rounds: int) -> list[Row]:
    torch.manual_seed(0)
    width = 16 if quick else WIDTH
    grids = torch.randn(N_CAMERAS, *GRID, width)
    superpixels = _patches(N_SUPERPIXELS)
    expected = _by_upsampling(grids, superpixels)
    error = (superpixel_means(grids, superpixels, N_SUPERPIXELS) - expected).abs().max()
    assert error < 1e-4, error
    work: dict[str, Callable[[], object]] = {
        "ours": lambda: superpixel_means(grids, superpixels, N_SUPERPIXELS),
        "upsampled": lambda: _by_upsampling(grids, superpixels),
    }
    timings = interleave(work, rounds=rounds)
    note = (
        f"{timings.sample('ours', 1e3).median:.0f} ms; "
        f"{N_CAMERAS} images of {IMAGE[0]} x {IMAGE[1]}, "
        f"grids of {GRID[0]} x {GRID[1]} x {width}"
    )
    ratio = timings.ratio("upsampled", "ours")
    return [Row.of("images/superpixel pooling over upsampling", ratio, "x", note=note)]


def _patches(count: int) -> Tensor:
    """Superpixels of about equal size: rectangles with ragged edges."""
    rng = np.random.default_rng(0)
    columns = 15
    row, col = np.indices(IMAGE) + rng.integers(-2, 3, (2, *IMAGE))
    row, col = row.clip(0, IMAGE[0] - 1), col.clip(0, IMAGE[1] - 1)
    ids = row * (count // columns) // IMAGE[0] * columns + col * columns // IMAGE[1]
    return torch.from_numpy(ids).expand(N_CAMERAS, -1, -1).contiguous()


def _by_upsampling(grids: Tensor, superpixels: Tensor) -> Tensor:
    """Every pixel's unit vector, then the mean over each superpixel."""
    large = F.interpolate(grids.permute(0, 3, 1, 2), IMAGE, mode="bilinear", align_corners=True)
    pixels = F.normalize(large, dim=1).permute(0, 2, 3, 1).flatten(0, 2)
    first = N_SUPERPIXELS * torch.arange(len(grids)).view(-1, 1, 1)
    group = (superpixels + first).flatten()
    total = pixels.new_zeros(len(grids) * N_SUPERPIXELS, pixels.shape[1])
    total.index_add_(0, group, pixels)
    count = torch.bincount(group, minlength=len(total))[:, None]
    return (total / (count + 1e-6)).view(len(grids), N_SUPERPIXELS, -1)
