"""A street while it is being filled: who stands where, and what room is left.

Offers `Plan`, with which every filling step places things, and `Ego` (the recording car).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from lima_bench.datasets.sample import Float64
from lima_bench.datasets.world.claims import Claims
from lima_bench.datasets.world.kerbs import clearance, from_crossing, from_junction
from lima_bench.datasets.world.labels import CYCLES, PEOPLE, VEHICLES, Label
from lima_bench.datasets.world.street import Street
from lima_bench.datasets.world.things import AlongRoad, Model, Still, Thing, Track

EGO_SIZE = (4.3, 1.85, 1.6)
_EGO_MIDDLE_M = 1.4
ROBOT_SIZE = (1.2, 0.8, 1.0)
NO_LANE = -1


@dataclass(frozen=True)
class Ego:
    """The recording car on its lane; its origin is the middle of the rear axle, on the ground.

    Attributes:
        track: Of the origin.
        lane: Lane index counted from the middle of the road; `NO_LANE` for a machine on the
            sidewalk, whose origin is below its middle.
    """

    track: AlongRoad
    lane: int

    @property
    def size(self) -> tuple[float, float, float]:
        """Length, width, height in metres."""
        return ROBOT_SIZE if self.lane == NO_LANE else EGO_SIZE

    def body_poses(self, times_s: Float64) -> Float64:
        """Poses (T, 4) of the middle of the car's body."""
        poses = self.track.poses(times_s)
        middle_m = 0.0 if self.lane == NO_LANE else _EGO_MIDDLE_M
        poses[:, 0] += middle_m * np.cos(poses[:, 3])
        poses[:, 1] += middle_m * np.sin(poses[:, 3])
        return poses


@dataclass
class Plan:
    """What is placed so far; every step of filling gets it and adds to it.

    Attributes:
        rng: Source of every draw.
        street: The empty street.
        ego: The recording car.
        travel_m: Metres that the ego drives.
        claims: The ground taken.
        things: In the order of placing; a thing's number is its position + 1.
    """

    rng: np.random.Generator
    street: Street
    ego: Ego
    travel_m: float
    claims: Claims
    things: list[Thing] = field(default_factory=list)

    def put(
        self,
        model: Model,
        track: Track,
        speed_mps: float = 0.0,
        *,
        apart_m: float = 0.15,
        attribute: str | None = None,
        room: tuple[float, float] | None = None,
    ) -> bool:
        """Place a thing if the ground is free all along its way; say whether it was.

        Args:
            model: What.
            track: Where.
            speed_mps: How fast it goes along the track.
            apart_m: Free ground around it.
            attribute: nuScenes attribute; by default that of its class and speed.
            room: Length and width to claim instead of the model's.
        """
        poses = track.poses(self.claims.times_s)
        length, width = model.size[:2] if room is None else room
        if not self.claims.take(poses, length, width, apart_m=apart_m):
            return False
        name = _attribute(model.label, speed_mps) if attribute is None else attribute
        self.things.append(Thing(len(self.things) + 1, model, track, abs(speed_mps), name))
        return True

    def beside(self, x: float, offset_m: float, turn: float = 0.0) -> Still:
        """A standing place `offset_m` left of the middle line, turned against the road."""
        px, py, z, yaw = self.street.beside(x, offset_m)
        return Still(px, py, z, yaw + turn)

    def at(self, x: float, y: float, yaw: float) -> Still:
        """A standing place in the town's frame."""
        z = self.street.heights(np.array([x]), np.array([y]))[0]
        return Still(x, y, float(z), yaw)

    def kerb_clearance(self, track: Still, length_m: float, width_m: float) -> float:
        """Smallest distance beyond the kerb over the outline of a footprint."""
        ground = self.street.ground.table
        return float(clearance(ground, track.x, track.y, track.yaw, length_m, width_m))

    def open_road(self, x: float, before_m: float = 6.0) -> bool:
        """Whether `x` is away from junctions and crossings, so that one may park there."""
        ground = self.street.ground.table
        return bool(from_junction(ground, x) > before_m and from_crossing(ground, x) > 3.0)

    def lane_offset(self, direction: int, lane: int) -> float:
        """Left of the middle line: the middle of a lane; direction 1 drives towards larger x."""
        ground = self.street.ground
        return -direction * float(ground.median + ground.lane_width * (lane + 0.5))


def _attribute(label: Label, speed_mps: float) -> str:
    if label in PEOPLE:
        return "pedestrian.moving" if speed_mps else "pedestrian.standing"
    if label in (Label.RIDDEN_BICYCLE, Label.RIDDEN_MOTORCYCLE):
        return "cycle.with_rider"
    if label in CYCLES:
        return "cycle.without_rider"
    if label in VEHICLES:
        return "vehicle.moving" if speed_mps else "vehicle.parked"
    return ""
