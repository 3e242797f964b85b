"""What stands and moves in a street: models, the tracks they follow, and things that do both.

Offers `Model` (an object in its own frame), the tracks `Still`, `AlongRoad` and `Straight`, and
`Thing` (a model on a track, with its number).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from lima_bench.datasets.sample import Float64
from lima_bench.datasets.world.labels import Label
from lima_bench.datasets.world.shapes import Shapes, place
from lima_bench.datasets.world.street import Street


@dataclass(frozen=True)
class Model:
    """One object in its own frame: x ahead, y left, z up from the ground, origin in the middle.

    Attributes:
        label: World class.
        size: Length, width, height in metres: the annotated box, which holds every part.
        shapes: Its parts.
        walking: Parts at a phase (radians) of the gait, for what has legs.
    """

    label: Label
    size: tuple[float, float, float]
    shapes: Shapes
    walking: Callable[[float], Shapes] | None = None


class Track(Protocol):
    """Where something is at a time."""

    def poses(self, times_s: Float64) -> Float64:
        """x, y, z, yaw (T, 4) at `times_s` (T,) seconds after the drive's start."""


@dataclass(frozen=True)
class Still:
    """Never moves."""

    x: float
    y: float
    z: float
    yaw: float

    def poses(self, times_s: Float64) -> Float64:
        """The same pose at all times."""
        poses = np.empty((len(times_s), 4))
        poses[:] = (self.x, self.y, self.z, self.yaw)
        return poses


@dataclass(frozen=True)
class AlongRoad:
    """Follows the main road.

    Attributes:
        street: The street.
        offset_m: Left of the middle line.
        start_m: Length along the middle line at time 0.
        speed_mps: Positive towards larger x; the heading follows.
        ahead: Which way it faces: 1 towards larger x, -1 towards smaller.
    """

    street: Street
    offset_m: float
    start_m: float
    speed_mps: float
    ahead: int = 1

    def poses(self, times_s: Float64) -> Float64:
        """Poses on the lane."""
        lengths = self.start_m + self.speed_mps * times_s
        return self.street.poses(lengths, self.offset_m, self.ahead)


@dataclass(frozen=True)
class Straight:
    """Keeps its heading.

    Attributes:
        street: The street.
        x: At time 0.
        y: At time 0.
        yaw: Heading.
        speed_mps: Along the heading.
    """

    street: Street
    x: float
    y: float
    yaw: float
    speed_mps: float

    def poses(self, times_s: Float64) -> Float64:
        """Poses on the line."""
        x = self.x + self.speed_mps * times_s * math.cos(self.yaw)
        y = self.y + self.speed_mps * times_s * math.sin(self.yaw)
        z = self.street.heights(x, y)
        return np.stack([x, y, z, np.full_like(x, self.yaw)], axis=1)


@dataclass(frozen=True)
class Thing:
    """A model on a track.

    Attributes:
        instance: Number within the street, from 1.
        model: What it is.
        track: Where it is.
        speed_mps: How fast; 0 for what stands.
        attribute: nuScenes attribute name, or empty.
    """

    instance: int
    model: Model
    track: Track
    speed_mps: float
    attribute: str

    @property
    def moving(self) -> bool:
        """Whether it changes place during the drive."""
        return self.speed_mps > 0

    def velocity(self, time_s: float) -> Float64:
        """(2,) metres per second in the ground plane, by a central difference."""
        if not self.moving:
            return np.zeros(2)
        poses = self.track.poses(np.array([time_s - 0.05, time_s + 0.05]))
        change: Float64 = (poses[1] - poses[0])[:2] / 0.1
        return change

    def shapes_at(self, time_s: float) -> Shapes:
        """Its parts in the town at a time, with their velocity."""
        x, y, z, yaw = self.track.poses(np.array([time_s]))[0]
        vx, vy = self.velocity(time_s)
        shapes = self.model.shapes
        if self.model.walking is not None and self.moving:
            stride = 0.75 * self.model.size[2]
            shapes = self.model.walking(2 * math.pi * self.speed_mps * time_s / stride)
        return place(
            shapes, (x, y, z), yaw, (vx, vy, 0.0), instance=self.instance, moving=self.moving
        )
