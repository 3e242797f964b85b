"""How the world is driven in the manner of one data set: its rig, its town, its trips.

Offers `Trip`, `Expedition` and `expedition_of`. Every data set that the world is written as has a
module ``datasets/<id>/expedition.py`` with ``expedition(spec) -> Expedition``, and a ``writer.py``
with ``write_recording(recording, root) -> part`` (one recording's sensor files; many at once) and
``write_tables(parts, root, *, pretrain)`` (lists and tables, once, parts in the order of `trips`).
"""

from __future__ import annotations

import importlib
from collections.abc import Collection
from dataclasses import dataclass

from lima_bench.common.errors import unknown_name
from lima_bench.datasets.world.rigs import Rig
from lima_bench.datasets.world.spec import SETS, WorldSpec
from lima_bench.datasets.world.street import Style


@dataclass(frozen=True)
class Trip:
    """What one recording is to be.

    Attributes:
        name: As its format calls it: a scene, a sequence, a frame.
        split: ``train``, ``val``, ``test``, or the format's own.
        index: From 0 within `split`; with the split and the town it decides what is seen.
        keyframes: How many.
        all_classes: Whether every scored class must show.
        sweeps: Non-key scans before every keyframe but the first, at the sensor's own rate.
        lead_in: Whether the first has them, too. A real recording has forty keyframes, of which one
            is without; ours have two or three.
        air: What hangs in the air, as in `Recording.air`.
        style: Of its streets, where they differ from the expedition's.
        rig: Its sensors, where they differ from the expedition's.
        unlabelled: How many of the first keyframes have no point labels.
    """

    name: str
    split: str
    index: int
    keyframes: int
    all_classes: bool
    sweeps: int = 0
    lead_in: bool = False
    air: str = ""
    style: Style | None = None
    rig: Rig | None = None
    unlabelled: int = 0


@dataclass(frozen=True)
class Expedition:
    """Everything that a data set asks of the world.

    Attributes:
        rig: Sensors.
        style: Of the streets.
        trips: One per recording, in the order of the data set's tables.
        pretrain: Names of train recordings on which students are pretrained; needs cameras.
        town: Whose streets are driven; data sets of the same town see the same ones.
    """

    rig: Rig
    style: Style
    trips: tuple[Trip, ...]
    town: str
    pretrain: Collection[str] = ()

    def of(self, split: str) -> tuple[Trip, ...]:
        """The trips of one split, in order."""
        return tuple(trip for trip in self.trips if trip.split == split)


def expedition_of(spec: WorldSpec, dataset: str) -> Expedition:
    """The expedition of a data set.

    Raises:
        UserError: The world is not written as this data set.
    """
    if dataset not in SETS:
        raise unknown_name("world", "data set of the world", dataset, SETS)
    module = importlib.import_module(f"lima_bench.datasets.{dataset}.expedition")
    found: Expedition = module.expedition(spec)
    return found
