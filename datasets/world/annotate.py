"""Boxes around the objects of a keyframe, as an annotator would draw them.

Offers `annotate`. An object is annotated when at least one LiDAR point lies on it.
"""

from __future__ import annotations

import math

import numpy as np

from lima_bench.datasets.world.labels import IS_OBJECT, NAMES
from lima_bench.datasets.world.lidar import Spin
from lima_bench.datasets.world.recording import Annotation
from lima_bench.datasets.world.scene import Scene
from lima_bench.datasets.world.things import Thing

_LEVELS = (0.4, 0.6, 0.8)


def annotate(scene: Scene, spin: Spin, time_s: float) -> tuple[Annotation, ...]:
    """Every object with LiDAR points in the keyframe's scan, by instance number."""
    counts = np.bincount(spin.scan.instance, minlength=len(scene.things) + 1)
    return tuple(
        _annotation(scene, thing, time_s, int(counts[thing.instance]), spin)
        for thing in scene.things
        if IS_OBJECT[thing.model.label] and counts[thing.instance] > 0
    )


def _annotation(scene: Scene, thing: Thing, time_s: float, n_points: int, spin: Spin) -> Annotation:
    x, y, z, yaw = thing.track.poses(np.array([time_s]))[0]
    length, width, height = thing.model.size
    to_global = scene.town_to_global
    centre = to_global @ np.array([x, y, z + height / 2, 1.0])
    turn = math.atan2(to_global[1, 0], to_global[0, 0])
    # Beams that met it, not points: of what is dark or wet some do not come back.
    in_view = spin.met[thing.instance] / max(int(spin.possible[thing.instance]), 1)
    return Annotation(
        instance=thing.instance,
        category=NAMES[thing.model.label].nuscenes,
        centre=centre[:3],
        size=(length, width, height),
        yaw=math.remainder(yaw + turn, 2 * math.pi),
        velocity=to_global[:2, :2] @ thing.velocity(time_s),
        attribute=thing.attribute,
        n_lidar_points=n_points,
        visibility=1 + sum(in_view > level for level in _LEVELS),
    )
