"""Rigid transforms, as 4x4 matrices that take column vectors of one frame to another.

Offers `rotation`, `quaternion`, `rigid`, `inverse`, `apply` and `refuse_jumps`. Quaternions are
scalar first (w, x, y, z), as in nuScenes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lima_bench.common.errors import UserError
from lima_bench.datasets.sample import Float64

FASTEST_M_PER_S = 60.0
"""Above this (216 km/h) a step between two poses of a car is an error of the poses."""


def rotation(quaternions: npt.ArrayLike) -> Float64:
    """Quaternions (..., 4), w first and of any length, to rotation matrices (..., 3, 3)."""
    q = np.asarray(quaternions, dtype=np.float64)
    w, x, y, z = np.moveaxis(q / np.linalg.norm(q, axis=-1, keepdims=True), -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    matrices: Float64 = np.moveaxis(np.array(rows), (0, 1), (-2, -1))
    return matrices


def quaternion(matrix: Float64) -> tuple[float, float, float, float]:
    """A rotation matrix (3, 3) to its unit quaternion (w, x, y, z) with w >= 0.

    The quaternion is the dominant eigenvector of Bar-Itzhack's symmetric 4x4 matrix, which stays
    accurate at half turns, where the formulas that divide by w do not.
    """
    m = matrix
    symmetric = np.array(
        [
            [m[0, 0] + m[1, 1] + m[2, 2], 0, 0, 0],
            [m[2, 1] - m[1, 2], m[0, 0] - m[1, 1] - m[2, 2], 0, 0],
            [m[0, 2] - m[2, 0], m[1, 0] + m[0, 1], m[1, 1] - m[0, 0] - m[2, 2], 0],
            [m[1, 0] - m[0, 1], m[2, 0] + m[0, 2], m[2, 1] + m[1, 2], m[2, 2] - m[0, 0] - m[1, 1]],
        ]
    )
    values, vectors = np.linalg.eigh(symmetric, UPLO="L")
    w, x, y, z = (float(part) for part in vectors[:, np.argmax(values)])
    return (w, x, y, z) if w >= 0 else (-w, -x, -y, -z)


def rigid(turn: npt.ArrayLike, shift: npt.ArrayLike) -> Float64:
    """Rotations (..., 3, 3) and translations (..., 3) to transforms (..., 4, 4)."""
    turn, shift = np.asarray(turn, dtype=np.float64), np.asarray(shift, dtype=np.float64)
    matrices = np.zeros((*turn.shape[:-2], 4, 4))
    matrices[..., :3, :3], matrices[..., :3, 3], matrices[..., 3, 3] = turn, shift, 1.0
    return matrices


def inverse(transform: Float64) -> Float64:
    """The inverse of transforms (..., 4, 4).

    Published calibrations have few digits, so their rotations are not quite orthonormal and a
    transpose would not undo them: at 1000 m from the origin that is millimetres.
    """
    undone: Float64 = np.linalg.inv(transform)
    return undone


def apply(transform: Float64, points: npt.NDArray[np.floating[Any]]) -> Float64:
    """Points (N, 3) in the target frame, in float64."""
    moved: Float64 = points.astype(np.float64) @ transform[:3, :3].T + transform[:3, 3]
    return moved


def refuse_jumps(
    where: object, poses: Float64, times_s: npt.NDArray[np.floating[Any]], names: Sequence[str]
) -> None:
    """Refuse a drive (F, 4, 4) whose poses no car can have: broken, or too far apart.

    A method with a memory would fuse two places into one without a sign of it, so this is an
    error and not a warning.

    Raises:
        UserError: Names the first pose that is not rigid, or the first pair that is too far apart.
    """
    turns = poses[:, :3, :3]
    slant = np.abs(turns @ np.swapaxes(turns, 1, 2) - np.eye(3)).max(axis=(1, 2), initial=0.0)
    broken = np.flatnonzero(~(slant < 1e-2) | ~np.isfinite(poses).all(axis=(1, 2)))
    if broken.size:
        raise UserError(
            where,
            f"The pose of {names[broken[0]]} is not a rotation and a translation.",
            "Mend the pose file, or leave this sequence out with a splits.json at the data root.",
        )
    steps_m = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1)
    far = np.flatnonzero(steps_m > FASTEST_M_PER_S * np.maximum(np.diff(times_s), 1e-3))
    if far.size:
        i = int(far[0])
        raise UserError(
            where,
            f"The pose jumps by {steps_m[i]:.1f} m in {times_s[i + 1] - times_s[i]:.2f} s "
            f"between {names[i]} and {names[i + 1]}.",
            "Mend the pose file, or leave this sequence out with a splits.json at the data root.",
        )
