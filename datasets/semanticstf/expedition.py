"""How the world is recorded in the manner of SemanticSTF: single frames in bad weather.

Offers `expedition`, its rig as `semanticstf_rig`, and the town `NORTH`.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from lima_bench.datasets.card import Card
from lima_bench.datasets.semanticstf.raw_ids import RAW
from lima_bench.datasets.world.drives import SemanticStfDrive
from lima_bench.datasets.world.expedition import Expedition, Trip
from lima_bench.datasets.world.rigs import HDL_64E_RAD, Rig, upright
from lima_bench.datasets.world.spec import WorldSpec
from lima_bench.datasets.world.street import Style

WEATHERS = ("dense_fog", "light_fog", "snow", "rain", *("snow", "dense_fog", "light_fog") * 4)
"""Taken in turn: 5 of 16 each for snow and the fogs, 1 of 16 for rain. The released set has 694
frames with snow, 637 with dense fog, 631 with light fog and 114 with rain."""

NORTH = Style(
    name="northern town",
    urban=0.3,
    curve_m=12.0,
    slope=0.03,
    trees=13.0,
    houses=0.5,
    parked=0.4,
    traffic=1.4,
    walkers=1.6,
    cycle_path=0.35,
    median=0.3,
    works=0.15,
    machines=False,
    weather=(0.0, 0.85, 0.1, 0.05, 0.0),
    rare=0.35,
)
"""Wide roads, snow by the wayside, few people out; what rains or snows is the trip's own."""

_STARTS = {
    "train": datetime(2018, 2, 3, 20, 48, 35),
    "val": datetime(2018, 2, 6, 14, 25, 51),
    "test": datetime(2018, 12, 11, 9, 3, 7),
}


def expedition(spec: WorldSpec) -> Expedition:
    """Train, val and test frames, each on a street of its own.

    Frames that are scored, and those behind the half of the labels, show what can be shown of
    every class before the weather hides it.
    """
    own = spec.semanticstf
    counts = {"train": own.train_frames, "val": own.val_frames, "test": own.test_frames}
    trips = tuple(_trip(split, i) for split, count in counts.items() for i in range(count))
    return Expedition(semanticstf_rig(own), NORTH, trips, "semanticstf")


def _trip(split: str, index: int) -> Trip:
    return Trip(
        name=_name(split, index),
        split=split,
        index=index,
        keyframes=1,
        all_classes=split != "train" or index % 2 == 0,
        air=WEATHERS[index % len(WEATHERS)],
    )


def _name(split: str, index: int) -> str:
    """A time stamp and a frame number, as the released frames are named."""
    time = _STARTS[split] + timedelta(minutes=17, seconds=13) * index
    return f"{time:%Y-%m-%d_%H-%M-%S}_{100 * (index % 9):05d}"


def semanticstf_rig(drive: SemanticStfDrive) -> Rig:
    """HDL-64E S3D at 10 Hz on a car's roof, x ahead."""
    lidar = upright((0.9, 0.0, 1.75), HDL_64E_RAD, drive.azimuths, drive.max_range_m)
    scored = Card.beside(__file__).remap(RAW)
    return Rig(lidar, (), period_s=0.1, scored=scored)
