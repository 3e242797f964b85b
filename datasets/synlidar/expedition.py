"""How the world is recorded in the manner of SynLiDAR: virtual towns, 64 simulated beams.

Offers `expedition`, its rig as `synlidar_rig` and its town as `VIRTUAL_TOWN`.
"""

from __future__ import annotations

from dataclasses import replace

from lima_bench.datasets.synlidar.raw_ids import RAW
from lima_bench.datasets.synlidar.reader import SynLidar
from lima_bench.datasets.world.drives import SynLidarDrive
from lima_bench.datasets.world.expedition import Expedition, Trip
from lima_bench.datasets.world.rigs import HDL_64E_RAD, Rig, upright
from lima_bench.datasets.world.spec import WorldSpec
from lima_bench.datasets.world.street import Style

VIRTUAL_TOWN = Style(
    name="virtual town",
    urban=0.35,
    curve_m=10.0,
    slope=0.015,
    trees=14.0,
    houses=0.5,
    parked=0.35,
    traffic=1.3,
    walkers=9.0,
    cycle_path=0.3,
    median=0.3,
    works=0.2,
    machines=False,
    weather=(1.0, 0.0, 0.0, 0.0, 0.0),
    rare=0.5,
    company=0.35,
    bushes=2.0,
    bicycles=1.5,
)
THINNED_S = 1.0
"""Between scans of the SubDataset: one in ten of a simulation at 10 Hz."""


def expedition(spec: WorldSpec) -> Expedition:
    """All thirteen sequences; each shows every class, for a share keeps few scans of each."""
    own, splits = spec.synlidar, SynLidar.card.splits
    scans = {"train": own.train_scans, "val": own.val_scans}
    trips = tuple(
        Trip(name, split, index, scans[split], all_classes=True)
        for split in scans
        if scans[split]
        for index, name in enumerate(splits[split])
    )
    return Expedition(synlidar_rig(own), VIRTUAL_TOWN, trips, "synlidar")


def synlidar_rig(drive: SynLidarDrive) -> Rig:
    """HDL-64E as in SemanticKITTI, but the world stands still while it looks."""
    lidar = replace(
        upright((0.76, 0.0, 1.73), HDL_64E_RAD, drive.azimuths, drive.max_range_m),
        first_s=0.0,
        turn_s=1e-4,
    )
    return Rig(lidar, (), period_s=THINNED_S, scored=SynLidar.card.remap(RAW))
