"""How the world is recorded in the manner of ScribbleKITTI: SemanticKITTI without its camera.

Offers `expedition`.
"""

from __future__ import annotations

from dataclasses import replace

from lima_bench.datasets.semantickitti.expedition import (
    TRAIN_SEQUENCES,
    VAL_SEQUENCES,
    semantickitti_rig,
)
from lima_bench.datasets.world.drives import SemanticKittiDrive
from lima_bench.datasets.world.expedition import Expedition, Trip
from lima_bench.datasets.world.spec import WorldSpec
from lima_bench.datasets.world.street import SUBURB


def expedition(spec: WorldSpec) -> Expedition:
    """The published train and val sequences in SemanticKITTI's town; each shows every class."""
    own = spec.scribblekitti
    sensor = SemanticKittiDrive(azimuths=own.azimuths, max_range_m=own.max_range_m)
    splits = (("train", TRAIN_SEQUENCES, own.train_scans), ("val", VAL_SEQUENCES, own.val_scans))
    trips = tuple(
        Trip(name, split, index, scans, all_classes=True)
        for split, names, scans in splits
        if scans
        for index, name in enumerate(names)
    )
    return Expedition(
        replace(semantickitti_rig(sensor), cameras=()), SUBURB, trips, "semantickitti"
    )
