"""Sample -> `Cloud` -> `Voxels`: what the student is fed of each scan, and of a batch of them.

Offers `Cloud`, `make_cloud` (of a sample), `cloud_of_points` (of any points, such as a mix of two
scans), `scaled_intensity` and `collate_clouds`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lima_bench.datasets.card import Card, Intensity
from lima_bench.datasets.sample import Float32, Float64, Int64, Sample
from lima_bench.lima.augment import draw_motion, move
from lima_bench.lima.backbones.catalogue import BACKBONES
from lima_bench.lima.recipes import Augmentation, InputSettings, StudentSettings
from lima_bench.lima.voxels import Voxels, voxelise


@dataclass(frozen=True)
class Cloud:
    """One view of the world as the student sees it.

    Attributes:
        xyz: (rows, 3) metres, after augmentation, in the order of the file.
        features: (rows, channels) input.
        point: (rows,) index of each in the scan that it was made from.
        motion: 4x4 that moved the points: augmented from LiDAR frame.
    """

    xyz: Float32
    features: Float32
    point: Int64
    motion: Float64


def make_cloud(
    sample: Sample,
    card: Card,
    student: StudentSettings,
    augmentation: Augmentation | None,
    rng: np.random.Generator,
) -> Cloud:
    """The student's view of one scan; see `cloud_of_points`."""
    intensity = scaled_intensity(sample.intensity, card.intensity, student.inputs)
    return cloud_of_points(sample.points, intensity, student, augmentation, rng)


def cloud_of_points(
    points: Float32,
    intensity: Float32,
    student: StudentSettings,
    augmentation: Augmentation | None,
    rng: np.random.Generator,
) -> Cloud:
    """Leave out what is too far, move the rest, gather its input channels.

    Args:
        points: (N, 3) metres, LiDAR frame; the range limit applies before augmentation.
        intensity: (N,) values as the student is fed them; see `scaled_intensity`.
        student: Which channels, and how far.
        augmentation: None leaves the points where they are and draws nothing.
        rng: Source of the augmentation.
    """
    kept = _within_range(points, student.inputs)
    xyz = points.take(kept, axis=0).astype(np.float32, copy=False)
    motion = np.eye(4)
    if augmentation is not None:
        motion[:3, :3] = draw_motion(augmentation, rng)
        xyz = move(xyz, motion[:3, :3])
    columns = {
        "x": xyz[:, 0],
        "y": xyz[:, 1],
        "z": xyz[:, 2],
        "intensity": intensity[kept],
    }
    features = np.column_stack([columns[channel] for channel in student.inputs.channels])
    return Cloud(xyz, features.astype(np.float32, copy=False), kept, motion)


def scaled_intensity(intensity: Float32, scale: Intensity, inputs: InputSettings) -> Float32:
    """File values (N,) as the student is fed them.

    Args:
        intensity: (N,) file values.
        scale: The card's scale of file values.
        inputs: Says how they are fed.
    """
    if inputs.intensity.startswith("raw"):
        fed = intensity
    elif scale.unit == "tanh":
        fed = np.tanh(intensity)
    else:
        fed = (intensity - scale.minimum) / (scale.maximum - scale.minimum)
    # SLidR's SemanticKITTI loader: a zero would make its one-channel voxel look empty.
    return fed + 1.0 if inputs.intensity.endswith("plus_one") else fed


def collate_clouds(
    clouds: Sequence[Cloud], student: StudentSettings, *, with_maps: bool = False
) -> Voxels:
    """All clouds of a batch in one sparse grid; its points are the clouds' rows, in order.

    Args:
        clouds: The clouds, at least one.
        student: The grid, and the backbone whose kernel maps are wanted.
        with_maps: Whether to build the kernel maps of every level here: where the network
            computes on a CPU, so that it never waits for them. Another device builds its own.
    """
    cloud_index = np.repeat(np.arange(len(clouds)), [len(cloud.xyz) for cloud in clouds])
    return voxelise(
        np.concatenate([cloud.xyz for cloud in clouds]),
        np.concatenate([cloud.features for cloud in clouds]),
        cloud_index,
        student.voxels,
        n_clouds=len(clouds),
        n_levels=BACKBONES.get(student.backbone).n_levels if with_maps else None,
    )


def _within_range(points: Float32, inputs: InputSettings) -> Int64:
    if inputs.max_range_m is None:
        return np.arange(len(points))
    return np.flatnonzero(np.hypot(points[:, 0], points[:, 1]) <= inputs.max_range_m)
