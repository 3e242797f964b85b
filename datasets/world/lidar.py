"""Spins the LiDAR once and gives what came back: points, reflectance, labels, visibility.

Offers `Spin` (a scan before it is a recording) and `spin`. Points are corrected for the ego's
own motion: they lie in the sensor's frame at the scan's time stamp. Objects are where they were
when their column fired.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lima_bench.common.seeds import derive_seed
from lima_bench.datasets.rigid import inverse
from lima_bench.datasets.sample import Float64, Int64
from lima_bench.datasets.world.compiled import compiled
from lima_bench.datasets.world.echoes import Hits, second_hits, with_second
from lima_bench.datasets.world.ground import Triple
from lima_bench.datasets.world.labels import IS_OBJECT, Label
from lima_bench.datasets.world.lidar_rays import GROUND, NOTHING, Turn, trace
from lima_bench.datasets.world.materials import DROP_OUT, REFLECTIVITY, Material
from lima_bench.datasets.world.noise import bell, chance
from lima_bench.datasets.world.rays import facing, to_local, turned
from lima_bench.datasets.world.recording import Beams, LidarScan
from lima_bench.datasets.world.rigs import LidarMount
from lima_bench.datasets.world.scene import Instant, Scene
from lima_bench.datasets.world.shapes import (
    INSTANCE,
    KIND,
    LABEL,
    MATERIAL,
    MOVING,
    VX,
    VY,
    Builder,
    Int32,
    Shapes,
    concatenate,
    place,
)

RANGE_NOISE_M = 0.02
_BUMP_M = 0.03
_BLADES_M = 0.12
_NEAREST_M = 0.3
_GRASS, _SOIL = int(Material.GRASS), int(Material.SOIL)
_NOISE, _GRASSLAND = int(Label.NOISE), int(Label.GRASSLAND)


@dataclass(frozen=True)
class Spin:
    """A scan and what it tells about objects.

    Attributes:
        scan: The scan.
        met: (instances + 1,) beams that met each object, whether or not they came back.
        possible: (instances + 1,) beams that would have met each object, were it alone.
    """

    scan: LidarScan
    met: Int64
    possible: Int64


def spin(now: Instant, mount: LidarMount, timestamp_us: int) -> Spin:
    """One turn whose time stamp is the time of `now`."""
    scene, time_s = now.scene, now.time_s
    ego = scene.ego_to_town(time_s)
    turn = _turn(scene, mount, time_s)
    shapes = now.shapes
    if mount.sees_ego:
        shapes = concatenate([shapes, _roof(scene, mount, time_s)])
    ground, instances = scene.street.ground.table, len(scene.things) + 1
    depth, owner, below, possible = trace(turn, ground, shapes.rows, shapes.tags, instances)
    bumps_m = (0.0, 0.0) if mount.on_beam or mount.clean else (_BUMP_M, _BLADES_M)
    rough = 0.0 if mount.clean else 1.0
    met = np.bincount(shapes.tags[owner[owner >= 0], INSTANCE], minlength=instances)
    # A range of zero means that nothing came back.
    nearest_m = max(mount.nearest_m, _NEAREST_M) if mount.on_beam else mount.nearest_m
    owner = np.where(depth > nearest_m, owner, NOTHING)
    hits = Hits(depth, owner, below)
    points, facts = _points(turn, hits, shapes, scene.weather.wet, bumps_m, rough)
    second = None
    if mount.two_returns:
        echo, behind = second_hits(turn, hits, ground, shapes)
        more = _points(echo, behind, shapes, scene.weather.wet, bumps_m, rough)
        points, facts, second = with_second(turn, (points, facts), more)
    town_to_lidar = inverse(ego @ mount.lidar_to_ego)
    own = points[:, :3] @ town_to_lidar[:3, :3].T + town_to_lidar[:3, 3]
    scan = LidarScan(
        timestamp_us=timestamp_us,
        points=own.astype(np.float32),
        intensity=points[:, 3].astype(np.float32),
        ring=facts[:, 0],
        column=facts[:, 4],
        label=facts[:, 1],
        instance=np.where(IS_OBJECT[facts[:, 1]], facts[:, 2], 0),
        moving=facts[:, 3] > 0,
        lidar_to_ego=mount.lidar_to_ego,
        ego_to_global=scene.town_to_global @ ego,
        beams=_beams(scene, mount, time_s),
        lidar=mount.name,
        second=second,
    )
    return Spin(scan, met, possible)


def _points(
    turn: Turn,
    hits: Hits,
    shapes: Shapes,
    wet: float,
    bumps_m: tuple[float, float],
    rough: float,
) -> tuple[Float64, Int64]:
    """What comes back from where beams end; see `_returns`."""
    depth, owner, below = hits
    rows, tags = shapes.rows, shapes.tags
    return _returns(
        turn, depth, owner, below, rows, tags, wet, REFLECTIVITY, DROP_OUT, bumps_m, rough
    )


def _beams(scene: Scene, mount: LidarMount, time_s: float) -> Beams:
    """Where the sensor looks while it turns."""
    first = scene.ego_to_town(time_s + mount.first_s)
    last = scene.ego_to_town(time_s + mount.first_s + mount.turn_s)
    share: Float64 = ((np.arange(mount.azimuths) + 0.5) / mount.azimuths)[:, None, None]
    # A turn lasts at most a tenth of a second: between its ends, poses are interpolated linearly.
    poses = first * (1 - share) + last * share
    return Beams(
        elevations_rad=mount.elevations_rad,
        azimuths_rad=_azimuths(mount),
        spin_to_ego=mount.spin_to_ego,
        ego_to_global=scene.town_to_global @ (_rigid(poses) if mount.on_beam else poses),
    )


def _rigid(poses: Float64) -> Float64:
    """Transforms (C, 4, 4) with the rotations nearest to their own.

    Between two poses the straight line leaves the rotations: too little to be seen, but enough to
    part a point by millimetres from the beam that a range image says it lies on.
    """
    left, _, right = np.linalg.svd(poses[:, :3, :3])
    rigid = poses.copy()
    rigid[:, :3, :3] = left @ right
    return rigid


def _azimuths(mount: LidarMount) -> Float64:
    turn = 2 * np.pi * (np.arange(mount.azimuths) + 0.5) / mount.azimuths
    azimuths: Float64 = mount.first_azimuth_rad - turn
    return azimuths


def _turn(scene: Scene, mount: LidarMount, time_s: float) -> Turn:
    later = mount.first_s + mount.turn_s * (np.arange(mount.azimuths) + 0.5) / mount.azimuths
    first = scene.ego_to_town(time_s + mount.first_s) @ mount.spin_to_ego
    last = scene.ego_to_town(time_s + mount.first_s + mount.turn_s) @ mount.spin_to_ego
    share: Float64 = ((later - mount.first_s) / mount.turn_s)[:, None, None]
    poses = first * (1 - share) + last * share
    if mount.on_beam:
        to_ego = inverse(mount.spin_to_ego)
        poses = _rigid((first @ to_ego) * (1 - share) + (last @ to_ego) * share) @ mount.spin_to_ego
    azimuth = _azimuths(mount)
    level = np.stack([np.cos(azimuth), np.sin(azimuth)], axis=1)
    elevation = mount.elevations_rad
    beams = np.empty((mount.azimuths, len(elevation), 3))
    beams[..., :2] = level[:, None] * np.cos(elevation)[None, :, None]
    beams[..., 2] = np.sin(elevation)
    directions = beams @ poses[:, :3, :3].transpose(0, 2, 1)
    directions /= np.linalg.norm(directions, axis=2, keepdims=True)
    now = scene.ego_to_town(time_s) @ mount.spin_to_ego
    named = (mount.noise,) if mount.noise else ()
    seed = derive_seed(scene.seed, "lidar", round(time_s * 1e6), *named) % (1 << 31)
    return Turn(
        origins=np.ascontiguousarray(poses[:, :3, 3]),
        directions=np.ascontiguousarray(directions),
        later_s=later,
        centre=np.ascontiguousarray(now[:3, 3]),
        axes=np.ascontiguousarray(now[:3, :3].T),
        first_azimuth=mount.first_azimuth_rad,
        elevations=elevation,
        max_range=mount.max_range_m,
        seed=seed,
    )


def _roof(scene: Scene, mount: LidarMount, time_s: float) -> Shapes:
    """The ego's roof, which the lowest beams graze."""
    build = Builder(Label.EGO)
    middle = float(mount.spin_to_ego[0, 3])
    build.box((middle, 0, 1.51), (1.0, 0.6, 0.08), Material.CAR_PAINT)
    x, y, z, yaw = scene.ego.track.poses(np.array([time_s]))[0]
    shapes = place(build.shapes(), (x, y, z), yaw, moving=True)
    before, after = scene.ego.track.poses(np.array([time_s - 0.05, time_s + 0.05]))
    shapes.rows[:, VX], shapes.rows[:, VY] = (after - before)[:2] / 0.1
    return shapes


@compiled
def _upright(rows: Float64, tags: Int32, i: int, o: Triple, d: Triple, t: float) -> float:
    """Cosine between a beam and the normal of the solid that it meets, in the solid's frame."""
    p = (o[0] + t * d[0], o[1] + t * d[1], o[2] + t * d[2])
    n = facing(rows, i, tags[i, KIND], p)
    return min(abs(n[0] * d[0] + n[1] * d[1] + n[2] * d[2]), 1.0)


@compiled
def _returns(
    turn: Turn,
    depth: Float64,
    owner: Int64,
    below: Int64,
    rows: Float64,
    tags: Int32,
    wet: float,
    reflectivity: Float64,
    drop_out: Float64,
    bumps_m: tuple[float, float],
    rough: float,
) -> tuple[Float64, Int64]:
    """Points with intensity (N, 4) in the town's frame; ring, label, instance, moving, column.

    `rough` 1 is a real sensor; with 0 nothing is lost, strays or is measured inexactly.
    """
    count, rings = owner.shape
    points, facts = np.empty((count * rings, 4)), np.empty((count * rings, 5), dtype=np.int64)
    kept = 0
    origins, ways, later_s, seed = turn.origins, turn.directions, turn.later_s, turn.seed
    for column in range(count):
        x, y, z = origins[column, 0], origins[column, 1], origins[column, 2]
        for ring in range(rings):
            i, t, ray = owner[column, ring], depth[column, ring], column * rings + ring
            if i == NOTHING:
                continue
            way = (ways[column, ring, 0], ways[column, ring, 1], ways[column, ring, 2])
            label, instance, moving, bump = below[column, ring, 0], 0, 0, 0.0
            material, cosine = below[column, ring, 1], abs(way[2])
            if i != GROUND:
                material, label = tags[i, MATERIAL], tags[i, LABEL]
                instance, moving = tags[i, INSTANCE], tags[i, MOVING]
                o = to_local(rows, i, x, y, z, later_s[column])
                d = turned(rows, i, way[0], way[1], way[2])
                cosine = _upright(rows, tags, i, o, d, t)
            elif label == _GRASSLAND and material == _GRASS:
                bump = bumps_m[1] * abs(bell(seed + 3, ray))
            elif material in (_GRASS, _SOIL):
                bump = bumps_m[0] * bell(seed + 3, ray)
            bright = reflectivity[material] * (1 - 0.4 * wet * (i == GROUND))
            lost = drop_out[material] + 0.04 + 0.25 * (t / turn.max_range) ** 3 * (1 - bright)
            lost += 0.25 * wet * (i == GROUND) + 0.3 * max(0.0, 0.06 - cosine * bright) / 0.06
            if chance(seed, ray, 4, 1) < lost * rough:
                continue
            t += rough * RANGE_NOISE_M * bell(seed + 5, ray)
            if chance(seed, ray, 6, 1) < rough * (0.0004 + 0.003 * wet):
                t *= chance(seed, ray, 6, 2)
                label, instance, moving = _NOISE, 0, 0
            intensity = bright * (0.35 + 0.65 * cosine) * (1 - 0.3 * t / turn.max_range)
            intensity *= 1 + rough * 0.15 * bell(seed + 7, ray)
            points[kept, 0], points[kept, 1] = x + t * way[0], y + t * way[1]
            points[kept, 2] = z + t * way[2] + bump
            points[kept, 3] = min(max(intensity, 0.0), 1.0)
            facts[kept, 0], facts[kept, 1] = ring, label
            facts[kept, 2], facts[kept, 3], facts[kept, 4] = instance, moving, column
            kept += 1
    return points[:kept], facts[:kept]
