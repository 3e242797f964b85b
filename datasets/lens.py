"""Lens distortion after Brown and Conrady, on coordinates that the focal length divides.

Offers `distort` and `undistort`. The model and the order of its coefficients k1, k2, p1, p2, k3 are
OpenCV's (calib3d, "Detailed Description"). x points right and y down.
"""

from __future__ import annotations

import math

import numpy as np

from lima_bench.datasets.sample import Float64

Coefficients = tuple[float, float, float, float, float]

_STEPS = 20


def distort(places: Float64, coefficients: Coefficients) -> Float64:
    """Where a lens shows what a pinhole would show at `places` (N, 2); NaN where it is blind.

    The polynomial was fitted inside the image. Farther out it turns round and would show what lies
    beside or behind the camera a second time, in the middle of the image: those are no places.
    """
    k1, k2, p1, p2, k3 = coefficients
    x, y = places[:, 0], places[:, 1]
    with np.errstate(over="ignore", invalid="ignore"):
        r2 = x * x + y * y
        radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
        u = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
        v = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
        blind = ~(r2 < widest(coefficients) ** 2)
    seen: Float64 = np.where(blind[:, None], np.nan, np.stack([u, v], axis=1))
    return seen


def undistort(places: Float64, coefficients: Coefficients) -> Float64:
    """What `distort` takes to `places` (N, 2), by fixed-point steps; for places in an image."""
    k1, k2, p1, p2, k3 = coefficients
    found: Float64 = places.copy()
    for _ in range(_STEPS):
        x, y = found[:, 0], found[:, 1]
        r2 = x * x + y * y
        radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
        shift_x = 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
        shift_y = p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
        found = (places - np.stack([shift_x, shift_y], axis=1)) / radial[:, None]
    return found


def widest(coefficients: Coefficients) -> float:
    """The radius up to which the radial polynomial r (1 + k1 r^2 + k2 r^4 + k3 r^6) grows."""
    k1, k2, _, _, k3 = coefficients
    squared = np.roots([7 * k3, 5 * k2, 3 * k1, 1.0])
    turns = squared.real[(np.abs(squared.imag) < 1e-12) & (squared.real > 0)]
    return math.sqrt(float(turns.min())) if len(turns) else math.inf
