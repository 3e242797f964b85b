"""How the world is recorded in the manner of SemanticPOSS: a campus, seen by 40 beams.

Offers `expedition`, its rig as `semanticposs_rig` and its town as `CAMPUS`.
"""

from __future__ import annotations

import numpy as np

from lima_bench.datasets.sample import Float64
from lima_bench.datasets.semanticposs.raw_ids import RAW
from lima_bench.datasets.semanticposs.reader import SCANS_PER_S, SemanticPoss
from lima_bench.datasets.world.drives import SemanticPossDrive
from lima_bench.datasets.world.expedition import Expedition, Trip
from lima_bench.datasets.world.rigs import Rig, upright
from lima_bench.datasets.world.spec import WorldSpec
from lima_bench.datasets.world.street import Style

PANDORA_RAD: Float64 = np.radians(
    np.concatenate([np.linspace(-16, -7, 10), np.linspace(-6, 2, 25), np.linspace(3, 7, 5)])
)
"""(40,) elevations of a Hesai Pandora's beams, lowest first: a third of a degree apart from -6 to 2
degrees, one degree elsewhere (channel distribution of Hesai's Pandar40)."""

CAMPUS = Style(
    name="campus",
    urban=0.25,
    curve_m=16.0,
    slope=0.02,
    trees=45.0,
    houses=0.1,
    parked=0.4,
    traffic=0.9,
    walkers=9.0,
    cycle_path=0.35,
    median=0.03,
    works=0.0,
    machines=False,
    weather=(0.6, 0.4, 0.0, 0.0, 0.0),
    rare=0.6,
    lacks=("trailer", "bus", "truck"),
    fleet="campus",
    company=0.35,
    built=0.55,
    bicycles=14.0,
    bushes=16.0,
    bins=1.2,
    cones=0.5,
)


def expedition(spec: WorldSpec) -> Expedition:
    """All six sequences; each shows every class, for any of them may be a half or a validation."""
    own, splits = spec.semanticposs, SemanticPoss.card.splits
    trips = tuple(
        Trip(name, split, index, own.scans, all_classes=True)
        for split in ("train", "val")
        if own.scans
        for index, name in enumerate(splits[split])
    )
    return Expedition(semanticposs_rig(own), CAMPUS, trips, "semanticposs")


def semanticposs_rig(drive: SemanticPossDrive) -> Rig:
    """Pandora at 10 Hz on the roof, x ahead; its cameras were never published."""
    lidar = upright((0.9, 0.0, 1.75), PANDORA_RAD, drive.azimuths, drive.max_range_m)
    return Rig(lidar, (), period_s=1 / SCANS_PER_S, scored=SemanticPoss.card.remap(RAW))
