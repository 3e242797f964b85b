"""How the world is recorded in the manner of Waymo Open.

Offers `expedition`, its rig as `waymo_rig`, and `segment_name`. Places, fields of view and firing
times follow a calibration of the data set, rounded.
"""

from __future__ import annotations

import math

import numpy as np

from lima_bench.common.seeds import derive_seed
from lima_bench.datasets.card import Card
from lima_bench.datasets.sample import Float64
from lima_bench.datasets.waymo.raw_ids import RAW
from lima_bench.datasets.world.drives import WaymoDrive
from lima_bench.datasets.world.expedition import Expedition, Trip
from lima_bench.datasets.world.rigs import (
    LOOKING_AHEAD,
    CameraMount,
    LidarMount,
    Rig,
    mounted,
    turned_about,
)
from lima_bench.datasets.world.spec import WorldSpec
from lima_bench.datasets.world.street import Style

SHARE_STRIDE = 100
"""The sparsest label share keeps every 100th labelled train frame, the first included."""

BOULEVARDS = Style(
    name="boulevards",
    urban=0.12,
    curve_m=7.0,
    slope=0.045,
    trees=24.0,
    houses=0.85,
    parked=0.55,
    traffic=1.4,
    walkers=2.0,
    cycle_path=0.3,
    median=0.55,
    works=0.3,
    machines=True,
    weather=(0.62, 0.2, 0.08, 0.08, 0.02),
    rare=0.4,
)
"""Wide, hilly residential streets with medians, detached houses and few people on foot."""

_SHORT_RANGE_M = 20.0
_FLASH_S = 1e-6

# Name: x, y, z in metres, heading in degrees.
_SHORT_RANGE = {
    "FRONT": (4.07, 0.0, 0.69, 0.0),
    "SIDE_LEFT": (3.25, 1.03, 0.98, 90.0),
    "SIDE_RIGHT": (3.25, -1.03, 0.98, -90.0),
    "REAR": (-1.16, 0.0, 0.46, 180.0),
}
_TOP = (1.43, 0.0, 2.18, 148.0)

# Name: x, y, z in metres, yaw in degrees, exposure in ms, height against width, row of the axis.
_CAMERAS = {
    "FRONT": (1.54, -0.02, 2.12, 0.0, 2.0, 1280 / 1920, 0.495),
    "FRONT_LEFT": (1.49, 0.10, 2.12, 45.0, -8.0, 1280 / 1920, 0.505),
    "FRONT_RIGHT": (1.49, -0.10, 2.12, -45.0, 12.0, 1280 / 1920, 0.505),
    "SIDE_LEFT": (1.43, 0.12, 2.12, 90.0, -28.0, 886 / 1920, 0.278),
    "SIDE_RIGHT": (1.43, -0.12, 2.12, -90.0, 22.0, 886 / 1920, 0.272),
}
_FOCAL = 1.07  # of the width
_LENS = (0.04, -0.33, 0.001, -0.001, 0.0)


def expedition(spec: WorldSpec) -> Expedition:
    """Train segments, then val segments; val and the 1 % share of train show every class.

    Names are drawn, and segments follow each other in the order of their names, as on disk.
    """
    own = spec.waymo
    trips = tuple(
        trip
        for split, count in (("train", own.train_segments), ("val", own.val_segments))
        for trip in _trips(own, split, count)
    )
    pretrain = [trip.name for trip in trips if trip.split == "train"]
    return Expedition(waymo_rig(own), BOULEVARDS, trips, "waymo", pretrain=pretrain)


def _trips(own: WaymoDrive, split: str, count: int) -> list[Trip]:
    names = sorted(segment_name(split, index) for index in range(count))
    return [
        Trip(
            name=name,
            split=split,
            index=index,
            keyframes=own.frames,
            all_classes=split == "val" or _in_share(index, own.frames - own.unlabelled),
            unlabelled=own.unlabelled,
        )
        for index, name in enumerate(names)
    ]


def _in_share(index: int, labelled: int) -> bool:
    """Whether the 1 % share has a frame of train segment `index`, each with `labelled` frames."""
    return -(index * labelled) % SHARE_STRIDE < labelled


def segment_name(split: str, index: int) -> str:
    """A context name in the form of the real ones: a number, and from when to when in ms."""
    number = derive_seed("waymo segment", split, index)
    start_s = number % 4000
    return f"{number:019d}_{start_s}_000_{start_s + 20}_000"


def waymo_rig(drive: WaymoDrive) -> Rig:
    """The top LiDAR at 10 Hz, four short-range ones, five cameras behind bending lenses."""
    short_range = tuple(_short_range(name, drive) for name in _SHORT_RANGE)
    cameras = tuple(_camera(name, drive) for name in _CAMERAS)
    scored = Card.beside(__file__).remap(RAW)
    return Rig(_top(drive), cameras, period_s=0.1, scored=scored, more_lidars=short_range)


def _top(drive: WaymoDrive) -> LidarMount:
    """64 beams, the denser the nearer to the horizon; the first column looks back."""
    return _lidar("TOP", _TOP, _top_elevations(), drive.azimuths, -0.05, 0.1, drive.max_range_m)


def _top_elevations() -> Float64:
    """From -17.6 to 2.4 degrees: steps of 0.65 degrees at the bottom, of 0.17 from the horizon."""
    share = np.linspace(0.0, 1.0, 64)
    steps = np.interp(share[1:], [0.0, 0.75, 1.0], [0.65, 0.17, 0.17])
    degrees = np.concatenate([[0.0], np.cumsum(steps)])
    found: Float64 = np.radians(-17.6 + degrees * (20.0 / degrees[-1]))
    return found


def _short_range(name: str, drive: WaymoDrive) -> LidarMount:
    """Rows from 90 degrees below to 30 above; without a pose per pixel, so taken in a flash."""
    edges = np.radians(np.linspace(-90.0, 30.0, drive.side_beams + 1))
    elevations = (edges[:-1] + edges[1:]) / 2
    reach = min(_SHORT_RANGE_M, drive.max_range_m)
    return _lidar(name, _SHORT_RANGE[name], elevations, drive.side_azimuths, 0.0, _FLASH_S, reach)


def _lidar(
    name: str,
    place: tuple[float, float, float, float],
    elevations_rad: Float64,
    azimuths: int,
    first_s: float,
    turn_s: float,
    max_range_m: float,
) -> LidarMount:
    """A LiDAR whose columns begin behind the vehicle, whatever its own heading is."""
    *position, heading = place
    yaw = math.radians(heading)
    mount = mounted((position[0], position[1], position[2]), turned_about(2, yaw))
    return LidarMount(
        lidar_to_ego=mount,
        spin_to_ego=mount,
        elevations_rad=elevations_rad,
        azimuths=azimuths,
        first_azimuth_rad=math.pi - yaw,
        first_s=first_s,
        turn_s=turn_s,
        max_range_m=max_range_m,
        sees_ego=False,
        name=name,
        on_beam=True,
        two_returns=True,
        noise=name,
    )


def _camera(name: str, drive: WaymoDrive) -> CameraMount:
    x, y, z, yaw, later_ms, tall, row = _CAMERAS[name]
    width = drive.image_width
    height = round(drive.image_height * tall * 1.5)
    pixels = _FOCAL * width
    intrinsic = np.array(
        [[pixels, 0, 0.5 * (width - 1)], [0, pixels, row * (height - 1)], [0, 0, 1.0]]
    )
    pose = mounted((x, y, z), turned_about(2, math.radians(yaw)) @ LOOKING_AHEAD)
    return CameraMount(name, pose, intrinsic, height, width, later_ms / 1000, distortion=_LENS)
