"""What flows out of every data set: a `Frame` is listed, a `Sample` is loaded.

Frames of reference: *LiDAR* is the sensor's own frame at the time of the scan, *global* the map
frame of the sequence. Transforms are named ``a_to_b`` and take column vectors of frame a to b.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from lima_bench.datasets.card import Card, Intensity

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]

IGNORE = 255
"""The train id of points that are neither learnt from nor scored, in every data set."""


@dataclass(frozen=True)
class Frame:
    """One scan in a list: enough to find it, nothing read yet.

    Attributes:
        id: Unique within the data set and stable between runs (nuScenes: the LIDAR_TOP
            sample_data token; SemanticKITTI: ``"08/000123"``).
        sequence: The recording it belongs to (nuScenes: the scene name).
        index: Position in its sequence, in order of time, from 0.
        timestamp_s: Seconds; the origin is the data set's own.
        dataset: Which of several data sets it is of; empty where there is only one.
        handle: What the reader needs to load it; opaque to everyone else.
        alias: Another name by which published lists call the frame (nuScenes: its sample token).
    """

    id: str
    sequence: str
    index: int
    timestamp_s: float
    dataset: str = ""
    handle: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    alias: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True)
class EncodedImage:
    """A JPEG or PNG that lies inside a larger file (Waymo); plain data that travels.

    Attributes:
        file: The file that holds it.
        place: Where in that file, for messages.
        read: Gives its bytes.
    """

    file: Path
    place: str
    read: Callable[[], bytes] = field(compare=False, repr=False)

    def __str__(self) -> str:
        """The file and the place in it."""
        return f"{self.file}: {self.place}"


@dataclass(frozen=True)
class Camera:
    """One image and how it looks at the world.

    Attributes:
        name: The camera, e.g. ``CAM_FRONT``.
        id: The image, unique within the data set (nuScenes: its sample_data token).
        image: The image file, or where it lies inside a larger file;
            `lima_bench.datasets.images.read_image` reads either.
        intrinsic: 3x3, pixels of the full-size image; pixel centres are whole numbers.
        camera_to_global: 4x4 at the camera's own time; camera axes are x right, y down, z ahead.
        width: Pixels of the file.
        height: Pixels of the file.
        distortion: Brown-Conrady k1, k2, p1, p2, k3 where the image is not undistorted (Waymo);
            None for a pinhole image.
    """

    name: str
    id: str
    image: Path | EncodedImage
    intrinsic: Float64
    camera_to_global: Float64
    width: int
    height: int
    distortion: tuple[float, float, float, float, float] | None = None

    @property
    def file(self) -> Path:
        """The file that is the image or holds it."""
        return self.image if isinstance(self.image, Path) else self.image.file


@dataclass(frozen=True)
class Boxes:
    """Annotated objects of one scan, in the LiDAR frame.

    Attributes:
        centre: (B, 3) metres, the middle of the box.
        size: (B, 3) metres: length (along the heading), width, height.
        yaw: (B,) radians about z, 0 along x, counter-clockwise.
        velocity: (B, 2) metres per second in the LiDAR frame's axes; NaN where unknown.
        category: B general category names.
        instance: B ids that stay the same over a sequence.
        moving: (B,) whether the annotation calls it moving; with a rider counts as moving.
        n_points: (B,) LiDAR points inside, as annotated.
        n_radar: (B,) RADAR points inside, as annotated; 0 without RADAR.
    """

    centre: Float64
    size: Float64
    yaw: Float64
    velocity: Float64
    category: tuple[str, ...]
    instance: tuple[str, ...]
    moving: Bool
    n_points: Int64
    n_radar: Int64


@dataclass(frozen=True)
class Sample:
    """One scan with everything that was recorded with it.

    Attributes:
        frame: The frame it was loaded from.
        points: (N, 3) float32 metres, LiDAR frame, in file order.
        intensity: (N,) float32, the file's value; the card declares its scale.
        labels: (N,) int64 train ids, `IGNORE` where not evaluated; None without annotation.
        lidar_to_global: 4x4 at the scan's time; None where no poses exist.
        cameras: The images of this frame, in the card's order; empty without cameras.
        ring: (N,) beam number, where the file has it.
        time_s: (N,) seconds relative to the frame, where known.
        boxes: Annotated objects, where they exist.
        moving: (N,) whether the point lies on something that moves, where the annotation tells.
        unknown_labels: Raw ids that no table lists, with how many points carry them.
        n_dropped: Rows of the file that are no points and were left out (RELLIS-3D: zero rows).
        condition: Under what it was recorded, one of the card's `conditions` (SemanticSTF: the
            weather); empty where the data set does not tell.
    """

    frame: Frame
    points: Float32
    intensity: Float32
    labels: Int64 | None = None
    lidar_to_global: Float64 | None = None
    cameras: tuple[Camera, ...] = ()
    ring: Int64 | None = None
    time_s: Float32 | None = None
    boxes: Boxes | None = None
    moving: Bool | None = None
    unknown_labels: Mapping[int, int] = field(default_factory=dict)
    n_dropped: int = 0
    condition: str = ""


@dataclass(frozen=True)
class Sweep:
    """A scan between keyframes.

    Attributes:
        points: (N, 3) float32 metres, its own LiDAR frame, in file order.
        intensity: (N,) float32, the file's value.
        lidar_to_global: 4x4 at the sweep's time.
        timestamp_s: Seconds, on the clock of the keyframes.
    """

    points: Float32
    intensity: Float32
    lidar_to_global: Float64
    timestamp_s: float


Sweeps = Callable[[Frame, int], tuple[Sweep, ...]]
"""``sweeps(frame, n)``: the latest n scans before a keyframe, the latest first; fewer where the
recording begins."""


@dataclass(frozen=True)
class Source:
    """Frames of one split and the way to load them: all that training code knows of a data set.

    Attributes:
        card: The data set's facts.
        frames: In the data set's order (sequences as listed, time order inside).
        load: Reads one of `frames`.
        scales: Of the intensity column, by `Frame.dataset`, where frames are of several data sets.
        sweeps: Reads the scans before one of `frames`; None where the data set has none.
    """

    card: Card
    frames: Sequence[Frame]
    load: Callable[[Frame], Sample]
    scales: Mapping[str, Intensity] = field(default_factory=dict)
    sweeps: Sweeps | None = None

    def scale_of(self, frame: Frame) -> Intensity:
        """The scale of the intensity column of one frame."""
        return self.scales.get(frame.dataset, self.card.intensity)
