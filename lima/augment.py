"""Random changes of the student's copy of a cloud: motions, and a cuboid that is cut out.

Offers `draw_motion`, which draws a motion as a matrix, `move`, which applies it, and `cut_cuboid`,
which is told of the images by `Sights`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lima_bench.datasets.sample import Bool, Float32, Float64, Int64
from lima_bench.lima.recipes import Augmentation


def draw_motion(augmentation: Augmentation, rng: np.random.Generator) -> Float64:
    """A 4x4 matrix that rotates, then shifts, then scales, then mirrors points.

    Every call takes the same number of draws from `rng`, whatever the settings; a shift takes three
    more.
    """
    angle = np.radians(rng.uniform(-augmentation.rotation_deg, augmentation.rotation_deg))
    mirrored = _mirrored(augmentation, rng.random(2))
    scale = rng.uniform(*augmentation.scale)
    cosine, sine = np.cos(angle), np.sin(angle)
    rotation = np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])
    signs = np.array([*np.where(mirrored, -1.0, 1.0), 1.0])
    motion = np.eye(4)
    motion[:3, :3] = scale * signs[:, None] * rotation
    if augmentation.translation_m > 0:
        motion[:3, 3] = scale * signs * rng.normal(0.0, augmentation.translation_m, 3)
    return motion


def _mirrored(augmentation: Augmentation, drawn: Float64) -> Bool:
    """Whether x and whether y changes its sign."""
    if augmentation.flips == "each":
        each: Bool = drawn < augmentation.flip_probability
        return each
    return np.array([drawn[0] < 1 / 3, 1 / 3 <= drawn[0] < 2 / 3])


def move(xyz: Float32, motion: Float64) -> Float32:
    """(N, 3) points moved by a 4x4 matrix, in the type they came in."""
    moved = xyz @ motion[:3, :3].T.astype(xyz.dtype)
    if motion[:3, 3].any():
        moved += motion[:3, 3].astype(xyz.dtype)
    return moved.astype(xyz.dtype, copy=False)


@dataclass(frozen=True)
class Sights:
    """Which points the images of a step see.

    Attributes:
        point: (pairs,) the point of every pair.
        image: (pairs,) its image.
        n_images: How many images there are.
    """

    point: Int64
    image: Int64
    n_images: int


UNSEEN = Sights(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), 0)


def cut_cuboid(
    xyz: Float32, sights: Sights, augmentation: Augmentation, rng: np.random.Generator
) -> Bool:
    """Which of (N, 3) augmented points stay when a random cuboid is cut out; SLidR's rule.

    All stay where some image would keep too few pairs. Draws nothing where there is nothing to cut.

    Args:
        xyz: The points.
        sights: Who sees them; `Sights.point` counts rows of `xyz`.
        augmentation: How large the cuboid is, and how many pairs each image must keep.
        rng: Source of its size and place.
    """
    everything = np.ones(len(xyz), dtype=bool)
    if not augmentation.cuboid or not len(xyz):
        return everything
    share = rng.uniform(0.0, augmentation.cuboid)
    centre = xyz[rng.integers(len(xyz))]
    half = (xyz.max(axis=0) - xyz.min(axis=0)) * np.float32(share / 2)
    stays: Bool = ~((xyz > centre - half) & (xyz < centre + half)).all(axis=1)
    left = np.bincount(sights.image[stays[sights.point]], minlength=sights.n_images)
    return stays if (left >= augmentation.cuboid_pairs).all() else everything
