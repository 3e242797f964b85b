"""What the world hands to a format's writer: a drive through a street, as sensors saw it.

`Recording` (one sequence) holds `Moment`s (one keyframe each) of a `LidarScan` (with its `Beams`),
earlier non-key scans, `Picture`s and `Annotation`s. Frames of reference: *sensor*, *ego* (the
vehicle: x ahead, y left, z up, on the ground), *global* (the town). Labels are the world's own ids
(`lima_bench.datasets.world.labels`); every writer maps them to its format's raw ids.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lima_bench.datasets.sample import Bool, Float32, Float64, Int64


@dataclass(frozen=True)
class Beams:
    """Where a spinning LiDAR looked during one turn: what formats with range images store.

    Attributes:
        elevations_rad: (R,) of the beams, lowest first: one a ring.
        azimuths_rad: (C,) of the columns about z of the spinning frame, in the order of firing.
        spin_to_ego: 4x4; the spinning frame has x ahead and z along the axis of rotation.
        ego_to_global: (C, 4, 4) at each column's own time.
    """

    elevations_rad: Float64
    azimuths_rad: Float64
    spin_to_ego: Float64
    ego_to_global: Float64


@dataclass(frozen=True)
class LidarScan:
    """One turn of one LiDAR.

    Attributes:
        timestamp_us: Microseconds; the end of the turn, or the moment at which the sensor looks
            ahead if the format says so (SemanticKITTI).
        points: (N, 3) metres, sensor frame at `timestamp_us`: corrected for the ego's own motion
            while the sensor turns, not for that of objects; column after column, and within a
            column from the lowest beam up.
        intensity: (N,) reflectance in 0..1.
        ring: (N,) beam, 0 the lowest.
        column: (N,) number of the column that fired, 0 the first of the turn.
        label: (N,) world class ids.
        instance: (N,) object number within the street, 0 for things that are not objects.
        moving: (N,) whether the object moves.
        lidar_to_ego: 4x4.
        ego_to_global: 4x4 at `timestamp_us`.
        beams: Where the sensor looked.
        lidar: Which LiDAR of the rig; the first is the one that sets the pace.
        second: (N,) whether the point is its beam's second return; None where the sensor keeps
            one return a beam. Second returns come after all first ones.
    """

    timestamp_us: int
    points: Float32
    intensity: Float32
    ring: Int64
    column: Int64
    label: Int64
    instance: Int64
    moving: Bool
    lidar_to_ego: Float64
    ego_to_global: Float64
    beams: Beams
    lidar: str = "LIDAR_TOP"
    second: Bool | None = None


@dataclass(frozen=True)
class Picture:
    """One image of one camera.

    Attributes:
        camera: The channel name, e.g. ``CAM_FRONT``.
        timestamp_us: Exposure, microseconds; differs from the LiDAR's.
        pixels: (H, W, 3) uint8 RGB.
        intrinsic: 3x3, pixels.
        camera_to_ego: 4x4; camera axes are x right, y down, z ahead.
        ego_to_global: 4x4 at `timestamp_us`.
        material: (H, W) uint8 material ids, for training the stand-in teacher; never written.
        label: (H, W) uint8 world class ids, for probing the teacher in 2D; never written.
        depth: (H, W) float32 metres along the ray, inf where sky; never written.
        distortion: Brown-Conrady k1, k2, p1, p2, k3 of the lens; None for a pinhole.
    """

    camera: str
    timestamp_us: int
    pixels: npt.NDArray[np.uint8]
    intrinsic: Float64
    camera_to_ego: Float64
    ego_to_global: Float64
    material: npt.NDArray[np.uint8]
    label: npt.NDArray[np.uint8]
    depth: Float32
    distortion: tuple[float, float, float, float, float] | None = None


@dataclass(frozen=True)
class Annotation:
    """A box around one object at the time of the keyframe.

    Attributes:
        instance: Object number within the town, as in `LidarScan.instance`.
        category: nuScenes general category, e.g. ``vehicle.car``.
        centre: (3,) metres, global.
        size: Length, width, height in metres.
        yaw: Heading in the global frame, radians.
        velocity: (2,) metres per second, global.
        attribute: nuScenes attribute name, or empty.
        n_lidar_points: Points of the keyframe scan on the object.
        visibility: nuScenes visibility level 1..4 (0-40, 40-60, 60-80, 80-100 % of it in view).
    """

    instance: int
    category: str
    centre: Float64
    size: tuple[float, float, float]
    yaw: float
    velocity: Float64
    attribute: str
    n_lidar_points: int
    visibility: int


@dataclass(frozen=True)
class Moment:
    """One keyframe and what was recorded since the last one.

    Attributes:
        scan: The keyframe's scan.
        sweeps: Earlier non-key scans since the previous keyframe, oldest first.
        pictures: One per camera, in the sensor rig's order.
        annotations: Every object near enough to be annotated.
        more_scans: The rig's further LiDARs at the same time, in its order.
        labelled: Whether its points get labels, in formats that leave some without.
    """

    scan: LidarScan
    sweeps: tuple[LidarScan, ...]
    pictures: tuple[Picture, ...]
    annotations: tuple[Annotation, ...]
    more_scans: tuple[LidarScan, ...] = ()
    labelled: bool = True


@dataclass(frozen=True)
class Recording:
    """One drive: a nuScenes scene, a SemanticKITTI sequence.

    Attributes:
        name: ``scene-0001`` or ``08``; given by the format.
        split: ``train`` or ``val``.
        description: What a person would note: weather, time of day, road.
        town: Name of the town, used as the log's location.
        moments: In order of time.
        air: What hangs in the air (``dense_fog``, ``light_fog``, ``snow``, ``rain``); empty if
            nothing does.
    """

    name: str
    split: str
    description: str
    town: str
    moments: tuple[Moment, ...]
    air: str = ""
