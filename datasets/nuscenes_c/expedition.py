"""How the world is recorded for nuScenes-C: the first val scenes of nuScenes, LiDAR only.

Offers `expedition`. Same town, same rig, same streets and scans as in the clean set.
"""

from __future__ import annotations

from dataclasses import replace

from lima_bench.datasets.nuscenes.expedition import expedition as clean_expedition
from lima_bench.datasets.world.expedition import Expedition
from lima_bench.datasets.world.spec import WorldSpec


def expedition(spec: WorldSpec) -> Expedition:
    """The first `spec.nuscenes_c.scenes` val scenes, each showing every class."""
    clean = clean_expedition(spec)
    trips = clean.of("val")[: spec.nuscenes_c.scenes]
    return replace(
        clean,
        rig=replace(clean.rig, cameras=()),
        trips=tuple(replace(trip, sweeps=0) for trip in trips),
        pretrain=(),
    )
