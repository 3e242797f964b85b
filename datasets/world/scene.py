"""One street with everything in it, ready to be looked at: the world's unit of generation.

Offers `Scene`, `Instant` (a scene at one moment) and `draw_scene`, a pure function of its seed and
sizes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lima_bench.common.seeds import derive_seed
from lima_bench.datasets.sample import Float64
from lima_bench.datasets.world import backcountry, backdrop, cast, traffic
from lima_bench.datasets.world.claims import Claims
from lima_bench.datasets.world.plan import NO_LANE, Ego, Plan
from lima_bench.datasets.world.shapes import Shapes, concatenate
from lima_bench.datasets.world.street import Street, Style, draw_street
from lima_bench.datasets.world.things import AlongRoad, Thing
from lima_bench.datasets.world.weather import Weather, draw_weather
from lima_bench.datasets.world.wild import draw_trail


@dataclass(frozen=True)
class Scene:
    """A street, what is in it, the weather, and the ego's way through it.

    Attributes:
        street: The ground.
        things: Everything that stands or moves, by number.
        ego: The recording car.
        weather: Light, haze, rain.
        seed: Root of the sensors' noise.
        town_to_global: 4x4; the town's own frame is an implementation detail.
    """

    street: Street
    things: tuple[Thing, ...]
    ego: Ego
    weather: Weather
    seed: int
    town_to_global: Float64

    @cached_property
    def standing(self) -> Shapes:
        """Solids of everything that does not move."""
        return concatenate(t.shapes_at(0.0) for t in self.things if not t.moving)

    def at(self, time_s: float) -> Instant:
        """The scene at one moment."""
        moving = concatenate(t.shapes_at(time_s) for t in self.things if t.moving)
        return Instant(self, time_s, moving, concatenate([self.standing, moving]))

    def ego_to_town(self, time_s: float) -> Float64:
        """4x4 pose of the ego: x ahead, y left, upright on the slope of the road."""
        x, y, z, yaw = self.ego.track.poses(np.array([time_s]))[0]
        ahead = np.array([math.cos(yaw), math.sin(yaw)])
        forward = np.array([ahead[0], ahead[1], self._rise(x, y, ahead)])
        forward /= np.linalg.norm(forward)
        left = np.array([-ahead[1], ahead[0], self.street.ground.tilt * ahead[0]])
        if self.street.style.wild:
            left[2] = self._rise(x, y, left[:2])
        left -= forward * (left @ forward)
        left /= np.linalg.norm(left)
        pose = np.eye(4)
        pose[:3, 0], pose[:3, 1], pose[:3, 2] = forward, left, np.cross(forward, left)
        pose[:3, 3] = x, y, z
        return pose

    def _rise(self, x: float, y: float, way: Float64) -> float:
        """Metres that the ground rises per metre along `way` (2,), over two metres."""
        step = 1.0
        xs = np.array([x - step * way[0], x + step * way[0]])
        ys = np.array([y - step * way[1], y + step * way[1]])
        low, high = self.street.heights(xs, ys)
        return float((high - low) / (2 * step))


@dataclass(frozen=True)
class Instant:
    """A scene at one moment; sensors that look a little earlier or later use velocities.

    Attributes:
        scene: The scene.
        time_s: Seconds after the drive's start.
        moving: Solids of what moves.
        shapes: Every solid.
    """

    scene: Scene
    time_s: float
    moving: Shapes
    shapes: Shapes


def draw_scene(
    seed: int, style: Style, times_s: tuple[float, float], *, all_classes: bool
) -> Scene:
    """Draw a scene that lasts from `times_s[0]` to `times_s[1]` seconds.

    Args:
        seed: Decides everything.
        style: The town's.
        times_s: First and last moment at which a sensor looks.
        all_classes: Place every rare class near the ego.
    """
    rng = np.random.default_rng(derive_seed(seed, "street"))
    speed = float(rng.uniform(3.0, 9.0)) * style.pace
    travel_m = speed * max(times_s[1], 0.0)
    draw = draw_trail if style.wild else draw_street
    street = draw(rng, style, travel_m, all_classes=all_classes)
    times = np.arange(times_s[0] - 0.1, times_s[1] + 0.2, 0.1)
    lane = int(rng.integers(street.ground.lanes))
    offset = -(street.ground.median + street.ground.lane_width * (lane + 0.5))
    if style.on_walk:
        lane, offset = NO_LANE, -(street.behind_walk(1) - float(street.ground.walk[1]) / 2 - 0.2)
    ego = Ego(AlongRoad(street, offset, 0.0, speed, 1), lane)
    plan = Plan(rng, street, ego, travel_m, Claims(times))
    plan.claims.take(ego.body_poses(times), *ego.size[:2], apart_m=0.3)
    fill = backcountry.fill if style.wild else _fill_street
    fill(plan, all_classes=all_classes)
    turn, shift = rng.uniform(0, 2 * math.pi), rng.uniform(200, 1800, 2)
    town_to_global = np.eye(4)
    town_to_global[:2, :2] = [
        [math.cos(turn), -math.sin(turn)],
        [math.sin(turn), math.cos(turn)],
    ]
    town_to_global[:2, 3] = shift
    return Scene(
        street=street,
        things=tuple(plan.things),
        ego=ego,
        weather=draw_weather(rng, style.weather),
        seed=derive_seed(seed, "sensors") % (1 << 31),
        town_to_global=town_to_global,
    )


def _fill_street(plan: Plan, *, all_classes: bool) -> None:
    """Everything that stands and moves in a town's street."""
    cast.cast_rare(plan, all_classes=all_classes)
    traffic.drive_lanes(plan)
    backdrop.raise_buildings(plan)
    backdrop.furnish(plan)
    traffic.park(plan)
    traffic.fill_branches(plan)
    backdrop.plant(plan)
    traffic.walk(plan)
