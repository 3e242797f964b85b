"""Takes pictures: one exposure of one camera, with the truth of every pixel.

Offers `Darkroom` (what all exposures of a keyframe share) and `photograph`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lima_bench.common.seeds import derive_seed
from lima_bench.datasets.sample import Float32, Float64
from lima_bench.datasets.world.camera_rays import View, look
from lima_bench.datasets.world.film import develop
from lima_bench.datasets.world.lens_view import bent, nearest, widened
from lima_bench.datasets.world.materials import COLOUR
from lima_bench.datasets.world.recording import Picture
from lima_bench.datasets.world.rigs import CameraMount
from lima_bench.datasets.world.scene import Instant, Scene
from lima_bench.datasets.world.shading import UInt8, shade
from lima_bench.datasets.world.shadows import CELL_M, Shadows, cast_shadows
from lima_bench.datasets.world.shapes import Shapes

_SHADOW_RANGE_M = 45.0
_STRONG_SUN = 0.3
_MIDDLE_GREY = 0.44


@dataclass(frozen=True)
class Darkroom:
    """What the exposures of one keyframe share.

    Attributes:
        now: The scene at the keyframe's time.
        shadows: On the ground around the ego.
    """

    now: Instant
    shadows: Shadows


def open_darkroom(now: Instant, standing: Shadows) -> Darkroom:
    """Prepare the pictures of a keyframe; `standing` holds the shadows of what never moves."""
    shadows = standing._replace(sun=standing.sun.copy(), sky=standing.sky.copy())
    _cast(now.scene, now.moving, shadows)
    return Darkroom(now, shadows)


def standing_shadows(scene: Scene, duration_s: float) -> Shadows:
    """Shadows of what never moves, around the ego's way."""
    way = scene.ego.track.poses(np.array([0.0, duration_s / 2, duration_s]))
    low, high = way[:, :2].min(axis=0) - _SHADOW_RANGE_M, way[:, :2].max(axis=0) + _SHADOW_RANGE_M
    columns, rows = (int(n) for n in np.ceil((high - low) / CELL_M))
    raster = np.zeros((2, rows, columns), dtype=np.uint8)
    shadows = Shadows(float(low[0]), float(low[1]), raster[0], raster[1])
    _cast(scene, scene.standing, shadows)
    return shadows


def _cast(scene: Scene, shapes: Shapes, shadows: Shadows) -> None:
    weather = scene.weather
    sun = (weather.sun_x, weather.sun_y, weather.sun_z)
    strong = weather.sun > _STRONG_SUN
    cast_shadows(shadows, scene.street.ground.table, shapes.rows, shapes.tags, sun, strong)


def photograph(room: Darkroom, mount: CameraMount, timestamp_us: int) -> Picture:
    """Expose one camera at its own time."""
    scene, time_s = room.now.scene, room.now.time_s + mount.later_s
    ego = scene.ego_to_town(time_s)
    pinhole = mount if mount.distortion is None else widened(mount)
    view = _view(pinhole, ego @ mount.camera_to_ego)
    rows, tags = room.now.shapes.rows, room.now.shapes.tags
    depth, owner, below = look(view, scene.street.ground.table, rows, tags)
    look_seed = scene.street.ground.seed
    image, material, label, metres = shade(
        view, scene.weather, room.shadows, rows, tags, COLOUR, depth, owner, below, look_seed
    )
    if mount.distortion is not None:
        image = bent(mount, pinhole, image)
        material, label, metres = (
            nearest(mount, pinhole, raster) for raster in (material, label, metres)
        )
    seed = derive_seed(scene.seed, "camera", mount.name, round(time_s * 1e6))
    return Picture(
        camera=mount.name,
        timestamp_us=timestamp_us,
        pixels=_develop(image, seed, night=scene.weather.kind == 3),
        intrinsic=mount.intrinsic,
        camera_to_ego=mount.camera_to_ego,
        ego_to_global=scene.town_to_global @ ego,
        material=material,
        label=label,
        depth=metres,
        distortion=mount.distortion,
    )


def _view(mount: CameraMount, camera_to_town: Float64) -> View:
    focal = float(mount.intrinsic[0, 0])
    u, v = float(mount.intrinsic[0, 2]), float(mount.intrinsic[1, 2])
    axes = np.ascontiguousarray(camera_to_town[:3, :3])
    return View(
        origin=_triple(camera_to_town[:3, 3]),
        axes=axes,
        focal=focal,
        middle_u=u,
        middle_v=v,
        height=mount.height,
        width=mount.width,
        corner=_triple(axes @ [-u / focal, -v / focal, 1.0]),
        right=_triple(axes[:, 0] / focal),
        down=_triple(axes[:, 1] / focal),
        later_s=mount.later_s,
    )


def _triple(vector: Float64) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in vector)
    return x, y, z


def _develop(image: Float32, seed: int, *, night: bool) -> UInt8:
    rng = np.random.default_rng(seed)
    # The camera meters its own picture, as cars' cameras do, between limits that keep night dark.
    metered = _MIDDLE_GREY / max(float(image.mean()), 1e-3)
    limits = (0.8, 1.9) if night else (0.7, 1.7)
    exposure = min(max(metered, limits[0]), limits[1]) * rng.uniform(0.9, 1.12)
    gain: Float64 = exposure * rng.uniform(0.97, 1.03, 3)
    sigma = float(rng.uniform(0.008, 0.022) * (1.8 if night else 1.0))
    pixels: UInt8 = develop(image, gain, sigma, int(rng.integers(1 << 31)))
    return pixels
