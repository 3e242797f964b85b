"""Random motions of the student's copy of a cloud: rotation about z, mirror images, scale.

Offers `draw_motion`, which draws one as a matrix, and `move`, which applies it.
"""

from __future__ import annotations

import numpy as np

from lima_bench.datasets.sample import Float32, Float64
from lima_bench.lima.recipes import Augmentation


def draw_motion(augmentation: Augmentation, rng: np.random.Generator) -> Float64:
    """A 3x3 matrix that rotates, then mirrors, then scales column vectors.

    Every call takes the same number of draws from `rng`, whatever the settings.
    """
    angle = np.radians(rng.uniform(-augmentation.rotation_deg, augmentation.rotation_deg))
    mirrored = rng.random(2) < augmentation.flip_probability
    scale = rng.uniform(*augmentation.scale)
    cosine, sine = np.cos(angle), np.sin(angle)
    rotation = np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])
    signs = np.array([*np.where(mirrored, -1.0, 1.0), 1.0])
    motion: Float64 = scale * signs[:, None] * rotation
    return motion


def move(xyz: Float32, motion: Float64) -> Float32:
    """(N, 3) points moved by a 3x3 matrix, in the type they came in."""
    return (xyz @ motion.T.astype(xyz.dtype)).astype(xyz.dtype, copy=False)
