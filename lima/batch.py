"""What a method sees in one step.  Sample -> augment -> voxelise -> collate -> `Batch`.

Shapes use: ``points`` all un-augmented LiDAR points of the batch, scan after scan; ``rows`` the
points that enter the student, view after view; ``voxels``; ``pairs``; ``images`` (scan-major, the
cameras of scan 0 first). A *view* is one cloud that the student sees: by default one per scan; a
mixing method adds clouds made of parts of several scans.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from lima_bench.lima.voxels import Voxels


@dataclass(frozen=True)
class Matches:
    """Where the points of a scan lie in earlier keyframes of its recording.

    Attributes:
        indices: Positions of those keyframes in the recording, oldest first.
        rows: For each keyframe and each point of the scan, the nearest of the points that any
            camera saw then, counted among them in order; -1 if none is near enough.
    """

    indices: tuple[int, ...]
    rows: Int[Tensor, "past points"]


@dataclass(frozen=True)
class Scan:
    """Where and when one scan of the batch was taken.

    Attributes:
        id: The frame's id.
        sequence: The recording; a memory bank never crosses it.
        index: Position in the recording.
        start: First row of this scan in `Batch.xyz`.
        stop: One past the last.
        lidar_to_global: 4x4 float64.
        matches: With what came before, if the method asked for it (`lima_bench.lima.lookback`).
    """

    id: str
    sequence: str
    index: int
    start: int
    stop: int
    lidar_to_global: Float[Tensor, "4 4"]
    matches: Matches | None = None


@dataclass(frozen=True)
class PairIndex:
    """Point-pixel pairs of a whole batch.

    Attributes:
        point: Row of `Batch.xyz`.
        image: Image of the batch, ``scan * cameras + camera``.
        row: Pixel row in the resized image (`Images.size`).
        col: Pixel column.
    """

    point: Int[Tensor, " pairs"]
    image: Int[Tensor, " pairs"]
    row: Int[Tensor, " pairs"]
    col: Int[Tensor, " pairs"]


@dataclass(frozen=True)
class Images:
    """The images of a batch: as pixels, or already as the teacher's cached patch grids.

    Attributes:
        size: (height, width) of the resized image that pixel indices refer to.
        n_images: Scans times cameras.
        pixels: (images, 3, H, W) in 0..1, when the teacher runs inside the step.
        grids: (images, h, w, D) float16 from the cache, channels last.
        superpixels: (images, H, W) ids per image from 0, when the method asked for them.
    """

    size: tuple[int, int]
    n_images: int
    pixels: Float[Tensor, "images 3 H W"] | None = None
    grids: Float[Tensor, "images h w D"] | None = None
    superpixels: Int[Tensor, "images H W"] | None = None


@dataclass(frozen=True)
class Batch:
    """One step's data, on one device.

    Attributes:
        scans: The scans, in order.
        xyz: Every point of every scan, un-augmented, in its own LiDAR frame, metres.
        voxels: The student's input; `Voxels.inverse` has one entry per row.
        source: For each row, the point (row of `xyz`) that it is an augmented copy of.
        view: For each row, the view it belongs to.
        n_scan_views: Views 0..n-1 are the scans themselves, later ones are mixes.
        pairs: Point-pixel pairs of the un-mixed scans.
        images: What the teacher looks at.
    """

    scans: tuple[Scan, ...]
    xyz: Float[Tensor, "points 3"]
    voxels: Voxels
    source: Int[Tensor, " rows"]
    view: Int[Tensor, " rows"]
    n_scan_views: int
    pairs: PairIndex
    images: Images
