"""The inputs: scans of a spinning LiDAR between houses, cars and poles, without any data set.

Offers `scan`, `scan_voxels`, `LARGE`, `SMALL` and `QUICK`. Ray-cast, so that distances between
points, and with them the number of occupied neighbours, are those of a LiDAR; random voxels would
have almost none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lima_bench.lima.recipes import VoxelSettings
from lima_bench.lima.voxels import Voxels, voxelise

RANGE_M, SENSOR_HEIGHT_M = 52.0, 1.8
NOISE_M = 0.03
MISSING = 0.06
LOWEST_DEG, HIGHEST_DEG = -30.0, 10.0


@dataclass(frozen=True)
class Sensor:
    """A spinning LiDAR and the grid that its points go into.

    Attributes:
        beams: One above the other.
        azimuths: Steps of a turn.
        voxel_size_m: Edge of a cubic cell.
    """

    beams: int
    azimuths: int
    voxel_size_m: float = 0.1


LARGE = Sensor(32, 1090)
"""About 22,000 voxels: a keyframe of nuScenes at the papers' cell size."""

SMALL = Sensor(16, 512)
"""About 6,000 voxels."""

QUICK = Sensor(8, 180, 0.3)
"""Some hundred voxels, to see that a benchmark runs."""


def scan(sensor: Sensor, seed: int = 0) -> npt.NDArray[np.float32]:
    """(N, 3) metres: where the beams first meet the ground or a box, with noise and gaps."""
    rng = np.random.default_rng(seed)
    elevation, azimuth = np.meshgrid(
        np.radians(np.linspace(LOWEST_DEG, HIGHEST_DEG, sensor.beams)),
        np.radians(np.arange(sensor.azimuths) * 360 / sensor.azimuths),
    )
    across = np.cos(elevation)
    beam = np.stack((across * np.cos(azimuth), across * np.sin(azimuth), np.sin(elevation)), -1)
    beam = beam.reshape(-1, 3) + 1e-9
    nearest = np.where(beam[:, 2] < 0, -SENSOR_HEIGHT_M / beam[:, 2], np.inf)
    for centre, size in _street(rng):
        with np.errstate(over="ignore"):
            faces = (centre + np.stack((-size, size)) / 2)[:, None] / beam
        enters, leaves = faces.min(0).max(1), faces.max(0).min(1)
        hit = (enters < leaves) & (enters > 0)
        nearest[hit] = np.minimum(nearest[hit], enters[hit])
    seen = (nearest < RANGE_M) & (rng.random(len(beam)) > MISSING)
    points = beam[seen] * nearest[seen, None]
    noisy: npt.NDArray[np.float32] = (points + rng.normal(0, NOISE_M, points.shape)).astype("f4")
    return noisy


def _street(rng: np.random.Generator) -> list[tuple[npt.NDArray[np.float64], ...]]:
    """Centre and size of houses on both sides, and of cars, poles and bushes between them."""
    boxes = []
    for side in (-1, 1):
        for x in np.arange(-50, 50, 14):
            boxes.append(([x, side * rng.uniform(16, 24), 2.0], [rng.uniform(8, 13), 8, 8]))
    for _ in range(70):
        size = rng.choice([[4.2, 1.8, 1.5], [0.3, 0.3, 5.0], [1.5, 1.5, 1.2], [0.6, 0.6, 1.7]])
        x, y = rng.uniform(-48, 48), rng.choice([-1, 1]) * rng.uniform(3, 15)
        boxes.append(([x, y, size[2] / 2 - SENSOR_HEIGHT_M], size))
    return [(np.asarray(centre), np.asarray(size)) for centre, size in boxes]


def scan_voxels(sensor: Sensor, seed: int = 0) -> Voxels:
    """One scan as a batch, four features a point: its coordinates and a constant."""
    xyz = scan(sensor, seed)
    grid = VoxelSettings(kind="cartesian", size=(sensor.voxel_size_m,) * 3)
    features = np.column_stack((xyz, np.ones(len(xyz), np.float32)))
    return voxelise(xyz, features, np.zeros(len(xyz), np.int64), grid, n_clouds=1)
