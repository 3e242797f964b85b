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
        anchor: Number, in the batch, of the scan that it accompanies; its own if it was drawn for
            the step (`lima_bench.lima.company`).
        offset: Keyframes after its anchor; 0 too where the anchor stands in for a missing one.
        dense: Whether earlier sweeps are among its points.
        clusters: For each point, the 3D cluster that it belongs to, counted over an anchor and its
            company; -1 for none. If the method asked for them.
        matches: With what came before, if the method asked for it (`lima_bench.lima.lookback`).
    """

    id: str
    sequence: str
    index: int
    start: int
    stop: int
    lidar_to_global: Float[Tensor, "4 4"]
    anchor: int
    offset: int = 0
    dense: bool = False
    clusters: Int[Tensor, " points"] | None = None
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

    def at(self, chosen: Int[Tensor, " chosen"]) -> PairIndex:
        """Some of them, in the order in which they are named."""
        columns = (self.point, self.image, self.row, self.col)
        return PairIndex(*(column[chosen] for column in columns))


@dataclass(frozen=True)
class Lenses:
    """How the images of a batch look at the world.

    Attributes:
        scan: The scan whose LiDAR frame is meant.
        intrinsic: Pixels of the resized image (`Images.size`), float64; pixel centres are whole
            numbers.
        camera_to_lidar: Camera at its own time to LiDAR at the scan's time, float64; camera axes
            are x right, y down, z ahead.
    """

    scan: Int[Tensor, " images"]
    intrinsic: Float[Tensor, "images 3 3"]
    camera_to_lidar: Float[Tensor, "images 4 4"]


@dataclass(frozen=True)
class Images:
    """The images of a batch: as pixels, or already as the teacher's cached patch grids.

    Attributes:
        size: (height, width) of the resized image that pixel indices refer to.
        n_images: Scans times cameras.
        pixels: (images, 3, H, W) in 0..1, when the teacher runs inside the step.
        grids: (images, h, w, D) float16 from the cache, channels last.
        superpixels: (images, H, W) ids per image from 0, when the method asked for them; -1 where
            a pixel belongs to no segment.
        n_slots: One more than the largest id that any image of the data set has.
        lenses: Intrinsics and poses.
    """

    size: tuple[int, int]
    n_images: int
    pixels: Float[Tensor, "images 3 H W"] | None = None
    grids: Float[Tensor, "images h w D"] | None = None
    superpixels: Int[Tensor, "images H W"] | None = None
    n_slots: int = 0
    lenses: Lenses | None = None


@dataclass(frozen=True)
class Moment:
    """Where in the run a batch stands.

    Attributes:
        step: From 0.
        steps_per_epoch: Steps until frames come again.
        total_steps: Of the whole run.
    """

    step: int
    steps_per_epoch: int
    total_steps: int

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return self.step // self.steps_per_epoch

    @property
    def done(self) -> float:
        """Share of the run that is done, 0 at its first step."""
        return self.step / self.total_steps


@dataclass(frozen=True)
class Batch:
    """One step's data, on one device.

    Attributes:
        scans: The scans: first those of the step's frames, then their company, as
            `lima_bench.lima.company` orders it.
        xyz: Every point of every scan, un-augmented, in its own LiDAR frame, metres.
        voxels: The student's input; `Voxels.inverse` has one entry per row.
        source: For each row, the point (row of `xyz`) that it is an augmented copy of.
        view: For each row, the view it belongs to.
        motion: For each view, the 4x4 that moved its points: augmented from LiDAR frame.
        n_scan_views: Views 0..n-1 are the scans themselves, later ones are mixes or second looks.
        pairs: Point-pixel pairs of the un-mixed scans.
        images: What the teacher looks at.
        moment: Where in the run the step stands.
        edge_m: Edge of the student's cells along their first axis, metres: the distance below
            which it hardly tells two points apart.
    """

    scans: tuple[Scan, ...]
    xyz: Float[Tensor, "points 3"]
    voxels: Voxels
    source: Int[Tensor, " rows"]
    view: Int[Tensor, " rows"]
    motion: Float[Tensor, "views 4 4"]
    n_scan_views: int
    pairs: PairIndex
    images: Images
    moment: Moment
    edge_m: float

    @property
    def n_anchors(self) -> int:
        """How many of the scans were drawn for the step; the others keep them company."""
        return sum(scan.anchor == number for number, scan in enumerate(self.scans))
