"""How the world is recorded in the manner of Synth4D: four towns, once by 32 and once by 64 beams.

Offers `expedition`, and its rigs as `synth4d_rigs`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from lima_bench.datasets.card import Card
from lima_bench.datasets.sample import Float64
from lima_bench.datasets.synth4d.raw_ids import RAW
from lima_bench.datasets.world.drives import Synth4dDrive
from lima_bench.datasets.world.expedition import Expedition, Trip
from lima_bench.datasets.world.rigs import HDL_64E_RAD, Rig, upright
from lima_bench.datasets.world.spec import WorldSpec
from lima_bench.datasets.world.street import Style

HDL_32E_RAD = np.radians(np.linspace(-30.67, 10.67, 32))
PERIOD_S = 0.5
FRAMES_A_TRIP = 25
INSTANT_S = 1e-4
"""The simulator casts the rays of a turn at one moment."""
SHARE_STRIDE = 100
"""The sparsest label share keeps every 100th frame of the training list, the first included."""

_CLEAR = (0.8, 0.2, 0.0, 0.0, 0.0)

# A town with hills, squares and some of everything.
TOWN = Style(
    name="town",
    urban=0.5,
    curve_m=12.0,
    slope=0.04,
    trees=8.0,
    houses=0.4,
    parked=0.3,
    traffic=1.4,
    walkers=5.0,
    cycle_path=0.2,
    median=0.5,
    works=0.0,
    machines=False,
    weather=_CLEAR,
    rare=0.4,
    narrow=0.4,
)
# Wide, straight, full of cars, hardly anyone on foot.
HIGHWAY = replace(
    TOWN,
    name="highway",
    urban=0.05,
    curve_m=4.0,
    slope=0.006,
    trees=14.0,
    parked=0.02,
    traffic=2.6,
    walkers=0.8,
    cycle_path=0.0,
    median=0.95,
    narrow=0.0,
    bays=0.05,
    built=0.3,
    walk_m=(0.8, 1.4),
)
# Narrow winding roads, fields, barns.
COUNTRY = replace(
    TOWN,
    name="country",
    urban=0.0,
    curve_m=20.0,
    slope=0.05,
    trees=30.0,
    houses=1.0,
    parked=0.1,
    traffic=0.5,
    walkers=1.0,
    cycle_path=0.0,
    median=0.0,
    rare=0.1,
    narrow=1.0,
    bays=0.1,
    built=0.2,
    walk_m=(0.5, 0.9),
)
# The middle of a large city.
DOWNTOWN = replace(
    TOWN,
    name="downtown",
    urban=0.95,
    curve_m=3.0,
    slope=0.006,
    trees=7.0,
    houses=0.0,
    parked=0.7,
    traffic=2.0,
    walkers=10.0,
    cycle_path=0.3,
    rare=0.6,
)
TOWNS: dict[str, Style] = {
    "Town03": TOWN,
    "Town06": HIGHWAY,
    "Town07": COUNTRY,
    "Town10HD": DOWNTOWN,
}


def expedition(spec: WorldSpec) -> Expedition:
    """Both sets, the 32-beam one first; training frames of every town, then validation frames."""
    own = spec.synth4d
    nuscenes, kitti = synth4d_rigs(own)
    return Expedition(nuscenes, TOWN, tuple(_trips(own, kitti)), "synth4d")


def _trips(own: Synth4dDrive, kitti: Rig) -> Iterator[Trip]:
    """Trips of at most 25 frames; each is a street of its own."""
    sets = (
        ("nuscenes_synth", None, own.train_frames, own.val_frames),
        ("kitti_synth", kitti, own.kitti_frames, own.kitti_val_frames),
    )
    numbers = {"train": 0, "val": 0}
    for set_name, rig, train, val in sets:
        listed = 0
        for split, first, count in (("train", 0, train), ("val", train, val)):
            for town, style in TOWNS.items():
                for start in range(first, first + count, FRAMES_A_TRIP):
                    frames = min(FRAMES_A_TRIP, first + count - start)
                    shared = any(i % SHARE_STRIDE == 0 for i in range(listed, listed + frames))
                    yield Trip(
                        name=f"{set_name}/{town}/{start:06}",
                        split=split,
                        index=numbers[split],
                        keyframes=frames,
                        all_classes=split == "val" or shared,
                        style=style,
                        rig=rig,
                    )
                    listed += frames
                    numbers[split] += 1


def synth4d_rigs(drive: Synth4dDrive) -> tuple[Rig, Rig]:
    """HDL-32E and HDL-64E where nuScenes and KITTI carry theirs, x ahead."""
    return (
        _rig(drive, HDL_32E_RAD, (0.94, 0.0, 1.84)),
        _rig(drive, HDL_64E_RAD, (0.76, 0.0, 1.73)),
    )


def _rig(drive: Synth4dDrive, elevations_rad: Float64, place: tuple[float, float, float]) -> Rig:
    lidar = replace(
        upright(place, elevations_rad, drive.azimuths, drive.max_range_m),
        first_s=0.0,
        turn_s=INSTANT_S,
        clean=True,
    )
    return Rig(lidar, (), period_s=PERIOD_S, scored=Card.beside(__file__).remap(RAW))
