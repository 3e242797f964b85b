"""Scenes that show what they must: drawn again until every scored class is seen often enough.

Offers `draw_showing` and the floor `FLOOR_POINTS`.
"""

from __future__ import annotations

import numpy as np

from lima_bench.common.seeds import derive_seed
from lima_bench.datasets.sample import Int64
from lima_bench.datasets.world.lidar import spin
from lima_bench.datasets.world.rigs import Rig
from lima_bench.datasets.world.scene import Scene, draw_scene
from lima_bench.datasets.world.street import Style

FLOOR_POINTS = 20
"""LiDAR points of every scored class that a scene with `all_classes` shows in the keyframes that
are looked at, at 480 columns; fewer columns need proportionally fewer."""

_ATTEMPTS = 24
_LOOKS = 3
_SECTIONS = 480


def draw_showing(
    seed: int, style: Style, rig: Rig, keyframes: int, *, all_classes: bool, unlabelled: int = 0
) -> Scene:
    """A scene of `keyframes` keyframes; with `all_classes`, one that shows every scored class.

    The first `unlabelled` keyframes do not count. Draws up to 24 scenes and keeps the one in which
    the rarest class has most points, ending at the first that reaches the floor.
    """
    last = (keyframes - 1) * rig.period_s
    times = (rig.lidar.first_s, last + rig.lidar.first_s + rig.lidar.turn_s)
    if not all_classes:
        return draw_scene(seed, style, times, all_classes=False)
    best: tuple[int, Scene] | None = None
    for attempt in range(_ATTEMPTS):
        own = derive_seed(seed, "attempt", attempt)
        scene = draw_scene(own, style, times, all_classes=True)
        least = int(shown(scene, rig, keyframes, unlabelled).min())
        if best is None or least > best[0]:
            best = (least, scene)
        if least >= floor_points(rig):
            break
    assert best is not None
    return best[1]


def floor_points(rig: Rig) -> int:
    """The floor for this rig's number of columns."""
    return max(1, round(FLOOR_POINTS * rig.lidar.azimuths / _SECTIONS))


def shown(scene: Scene, rig: Rig, keyframes: int, unlabelled: int = 0) -> Int64:
    """Points of each class that the rig's format scores, over up to three labelled keyframes."""
    first, last = min(unlabelled, keyframes - 1), keyframes - 1
    looks = sorted({first, (first + last) // 2, last})[:_LOOKS]
    counts = np.zeros(256, dtype=np.int64)
    for keyframe in looks:
        scan = spin(scene.at(keyframe * rig.period_s), rig.lidar, 0).scan
        counts += np.bincount(rig.scored[scan.label], minlength=256)
    return counts[: rig.scored[rig.scored < 255].max() + 1]
