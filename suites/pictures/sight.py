"""What a camera sees of straight edges: ends in space -> lines in the image, cut at its border.

Offers `seen_edges`.
"""

from __future__ import annotations

import numpy as np

from lima_bench.datasets.lens import distort
from lima_bench.datasets.rigid import apply, inverse
from lima_bench.datasets.sample import Bool, Camera, Float64

NEAREST_M = 0.1
"""Depth at which edges are cut: what lies behind the camera has no place in the image."""

_PIECES = 24
"""Of an edge that a lens bends."""


def seen_edges(ends: Float64, lidar_to_global: Float64, camera: Camera) -> tuple[Float64, Bool]:
    """Edges as lines in the image.

    An edge is cut in space, before anything is divided by its depth, at a plane just before the
    camera and at the four planes through the image's border. A lens that bends has no such planes:
    its lines are cut at the near one only, and are left to the border of the drawing.

    Args:
        ends: (E, 2, 3) metres, LiDAR frame.
        lidar_to_global: 4x4 at the scan's time.
        camera: The image, whose pixel centres are whole numbers.

    Returns:
        (V, P, 2) columns and rows of the edges that are seen, in order, and (E,) which those are.
    """
    to_camera = inverse(camera.camera_to_global) @ lidar_to_global
    there = apply(to_camera, ends.reshape(-1, 3)).reshape(-1, 2, 3)
    bends = camera.distortion is not None
    first, last = _cut(there, _planes(camera)[: 1 if bends else 5])
    seen = first < last
    steps = np.linspace(0.0, 1.0, _PIECES if bends else 2)[None, :, None]
    first, last = first[seen, None, None], last[seen, None, None]
    begin, way = there[seen, :1], there[seen, 1:] - there[seen, :1]
    line = begin + way * (first + (last - first) * steps)
    places = (line[..., :2] / line[..., 2:]).reshape(-1, 2)
    if camera.distortion is not None:
        places = distort(places, camera.distortion)
    pixels = places @ camera.intrinsic[:2, :2].T + camera.intrinsic[:2, 2]
    return pixels.reshape(line.shape[0], line.shape[1], 2), seen


def _planes(camera: Camera) -> Float64:
    """(5, 4) planes whose inner product with (x, y, z, 1) is not negative where the camera sees."""
    across, down, ahead = camera.intrinsic
    sides = [
        across + 0.5 * ahead,
        (camera.width - 0.5) * ahead - across,
        down + 0.5 * ahead,
        (camera.height - 0.5) * ahead - down,
    ]
    near = [0.0, 0.0, 1.0, -NEAREST_M]
    return np.array([near, *([*side, 0.0] for side in sides)])


def _cut(ends: Float64, planes: Float64) -> tuple[Float64, Float64]:
    """Where along each edge (E, 2, 3), 0..1, all planes are met; from 1 to 0 where none is."""
    side = ends @ planes[:, :3].T + planes[:, 3]
    start, stop = side[:, 0], side[:, 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = start / (start - stop)
    enters, leaves = (start < 0) & (stop >= 0), (start >= 0) & (stop < 0)
    first = np.where(enters, crossing, 0.0).max(axis=1)
    last = np.where(leaves, crossing, 1.0).min(axis=1)
    gone = ((start < 0) & (stop < 0)).any(axis=1)
    return np.where(gone, 1.0, first), np.where(gone, 0.0, last)
