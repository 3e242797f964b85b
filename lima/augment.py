"""Random motions of the student's copy of a cloud: rotation about z, mirror images, scale.

Offers `draw_motion`, which draws one as a matrix, and `move`, which applies it.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from lima_bench.lima.recipes import Augmentation


def draw_motion(augmentation: Augmentation, rng: np.random.Generator) -> Float[np.ndarray, "3 3"]:
    """A matrix that rotates, then mirrors, then scales column vectors.

    Every call takes the same number of draws from `rng`, whatever the settings.
    """
    angle = np.radians(rng.uniform(-augmentation.rotation_deg, augmentation.rotation_deg))
    mirrored = rng.random(2) < augmentation.flip_probability
    scale = rng.uniform(*augmentation.scale)
    cosine, sine = np.cos(angle), np.sin(angle)
    rotation = np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])
    signs = np.array([*np.where(mirrored, -1.0, 1.0), 1.0])
    return scale * signs[:, None] * rotation


def move(
    xyz: Float[np.ndarray, "points 3"], motion: Float[np.ndarray, "3 3"]
) -> Float[np.ndarray, "points 3"]:
    """Points moved by `motion`, in the type they came in."""
    return (xyz @ motion.T.astype(xyz.dtype)).astype(xyz.dtype, copy=False)
