"""How the world is recorded in the manner of DAPS-3D: low above the ground, and slowly.

Offers `expedition`, and its rig as `daps3d_rig`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lima_bench.datasets.card import Card
from lima_bench.datasets.daps3d.raw_ids import RAW, RAW_DAPS1
from lima_bench.datasets.sample import Int64
from lima_bench.datasets.world.drives import Daps3dDrive
from lima_bench.datasets.world.expedition import Expedition, Trip
from lima_bench.datasets.world.rigs import Rig, upright
from lima_bench.datasets.world.spec import WorldSpec
from lima_bench.datasets.world.street import SUBURB, Style

HEIGHT_M = 1.0
OS0_64_RAD = np.radians(np.linspace(-45.0, 45.0, 64))
PERIOD_S = 1.0

PARK = Style(
    name="park",
    urban=0.25,
    curve_m=12.0,
    slope=0.012,
    trees=45.0,
    houses=0.7,
    parked=0.0,
    traffic=0.2,
    walkers=40.0,
    cycle_path=0.6,
    median=0.0,
    works=0.0,
    machines=False,
    weather=(0.6, 0.4, 0.0, 0.0, 0.0),
    rare=0.05,
    narrow=1.0,
    bays=0.0,
    built=0.6,
    side_traffic=0.05,
    pace=0.15,
    walk_m=(4.0, 8.0),
    on_walk=True,
)
"""DAPS-2: paths under trees with many people; the robot keeps to the path beside the road."""

SCANNED_SUBURB = replace(
    SUBURB,
    name="scanned-suburb",
    traffic=0.0,
    walkers=12.0,
    works=0.0,
    weather=(0.55, 0.45, 0.0, 0.0, 0.0),
    rare=0.0,
    side_traffic=0.1,
    pace=0.15,
)
"""DAPS-1: a map of a KITTI-like suburb with people put into it; what drove is not in the map."""


def expedition(spec: WorldSpec) -> Expedition:
    """The published sequences of both parts, DAPS-1 first."""
    own, card = spec.daps3d, Card.beside(__file__)
    first = daps3d_rig(own, card.variant("daps1").remap(RAW_DAPS1))
    second = daps3d_rig(own, card.remap(RAW))
    return Expedition(second, PARK, _trips(own, card, first), "daps3d")


def _trips(own: Daps3dDrive, card: Card, first: Rig) -> tuple[Trip, ...]:
    """One trip a sequence; numbers of a split run on from DAPS-1 to DAPS-2."""
    trips: list[Trip] = []
    parts = (
        ("daps-1", card.variant("daps1"), own.daps1_scans, SCANNED_SUBURB, first),
        ("daps-2", card, own.daps2_scans, None, None),
    )
    for part, its_card, scans, style, rig in parts:
        for split, names in its_card.splits.items():
            for name in names if scans else ():
                index = sum(trip.split == split for trip in trips)
                trips.append(
                    Trip(f"{part}/{name}", split, index, scans, False, style=style, rig=rig)
                )
    return tuple(trips)


def daps3d_rig(drive: Daps3dDrive, scored: Int64) -> Rig:
    """OS0-64 above the robot's middle, x ahead; a scan a second, as the labelled ones are few.

    Neither authors nor files tell the height. Of DAPS-1's points 70 % are surface and the mean z is
    -0.71 m (``DATASET.md``, ``cfgs/data_stats.yml``): one metre above the ground, if what is no
    surface lies about the sensor's height.
    """
    lidar = replace(
        upright((0.0, 0.0, HEIGHT_M), OS0_64_RAD, drive.azimuths, drive.max_range_m), nearest_m=0.3
    )
    return Rig(lidar, (), period_s=PERIOD_S, scored=scored)
