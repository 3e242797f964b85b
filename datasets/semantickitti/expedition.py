"""How the world is recorded in the manner of SemanticKITTI.

Offers `expedition`, its rig as `semantickitti_rig`, and the sequence names.
"""

from __future__ import annotations

import numpy as np

from lima_bench.datasets.world.drives import SemanticKittiDrive
from lima_bench.datasets.world.expedition import Expedition, Trip
from lima_bench.datasets.world.labels import SCORED_19
from lima_bench.datasets.world.rigs import (
    HDL_64E_RAD,
    LOOKING_AHEAD,
    CameraMount,
    Rig,
    mounted,
    upright,
)
from lima_bench.datasets.world.spec import WorldSpec
from lima_bench.datasets.world.street import SUBURB

TRAIN_SEQUENCES = ("00", "01", "02", "03", "04", "05", "06", "07", "09", "10")
VAL_SEQUENCES = ("08",)

KITTI_BASELINE_M = 0.06
"""Colour camera 2 sits this far left of camera 0, whose frame SemanticKITTI's poses use."""


def expedition(spec: WorldSpec) -> Expedition:
    """The published train and val sequences; each of them shows every class."""
    own = spec.semantickitti
    names = {"train": TRAIN_SEQUENCES, "val": VAL_SEQUENCES}
    trips = tuple(
        Trip(name, split, index, own.scans(split), all_classes=True)
        for split in names
        if own.scans(split)
        for index, name in enumerate(names[split])
    )
    return Expedition(
        semantickitti_rig(own), SUBURB, trips, "semantickitti", pretrain=TRAIN_SEQUENCES
    )


def semantickitti_rig(drive: SemanticKittiDrive) -> Rig:
    """HDL-64E at 10 Hz, x ahead, and colour camera 2; both belong to the same instant."""
    lidar = upright((0.76, 0.0, 1.73), HDL_64E_RAD, drive.azimuths, drive.max_range_m)
    height, width = drive.image_height, drive.image_width
    pixels = 718.86 / 1241 * width
    intrinsic = np.array(
        [[pixels, 0, 0.489 * (width - 1)], [0, pixels, 0.493 * (height - 1)], [0, 0, 1.0]]
    )
    pose = mounted((0.76 + 0.27, KITTI_BASELINE_M, 1.65), LOOKING_AHEAD)
    camera = CameraMount("image_2", pose, intrinsic, height, width, 0.0)
    return Rig(lidar, (camera,), period_s=0.1, scored=SCORED_19)
