"""The bending of lenses: against the formula, back again, and where a lens is blind."""

import math

import numpy as np
import pytest

from lima_bench.datasets.lens import distort, undistort, widest
from lima_bench.datasets.world.lens_view import bent, nearest, widened
from lima_bench.datasets.world.rigs import CameraMount

REAL = (0.04, -0.33, 0.001, -0.0016, 0.0)  # as cameras of Waymo have it
WITH_K3 = (-0.2, 0.05, -0.002, 0.003, -0.01)


def formula(x: float, y: float, k1: float, k2: float, p1: float, p2: float, k3: float) -> list:
    """OpenCV's documentation, term by term."""
    r = math.hypot(x, y)
    radial = 1 + k1 * r**2 + k2 * r**4 + k3 * r**6
    return [
        x * radial + 2 * p1 * x * y + p2 * (r**2 + 2 * x**2),
        y * radial + p1 * (r**2 + 2 * y**2) + 2 * p2 * x * y,
    ]


@pytest.mark.parametrize("coefficients", [REAL, WITH_K3, (0.0,) * 5])
def test_distortion_is_the_plain_formula(coefficients: tuple) -> None:
    places = np.random.default_rng(0).uniform(-0.5, 0.5, (200, 2))
    expected = [formula(x, y, *coefficients) for x, y in places]
    np.testing.assert_allclose(distort(places, coefficients), expected, atol=1e-15)
    np.testing.assert_allclose(undistort(np.array(expected), coefficients), places, atol=1e-9)


def test_places_beyond_the_turning_point_are_not_seen() -> None:
    k1, k2, *_ = REAL
    edge = widest(REAL)
    # The derivative of r (1 + k1 r^2 + k2 r^4) vanishes there, and is positive before.
    slope = [1 + 3 * k1 * r**2 + 5 * k2 * r**4 for r in (0.99 * edge, edge, 1.01 * edge)]
    assert slope[0] > 0 > slope[2] and abs(slope[1]) < 1e-9
    radii = np.array([0.0, 0.999 * edge, 1.001 * edge, 1.7, 1e6])
    seen = np.isfinite(distort(np.column_stack([radii, 0 * radii]), REAL)).all(axis=1)
    np.testing.assert_array_equal(seen, [True, True, False, False, False])
    # Without the bound the formula would show r = 1.32 near the middle of the image.
    assert abs(formula(1.32, 0.0, *REAL)[0]) < 0.2
    assert widest((0.1, 0.0, 0.0, 0.0, 0.0)) == math.inf


def test_a_picture_through_a_lens_is_the_wider_picture_at_other_places() -> None:
    """A raster that holds its own coordinates tells where each pixel was taken from."""
    intrinsic = np.array([[60.0, 0, 30.2], [0, 60.0, 19.7], [0, 0, 1.0]])
    mount = CameraMount("c", np.eye(4), intrinsic, 40, 62, 0.0, distortion=REAL)
    wide = widened(mount)
    assert wide.distortion is None and wide.height >= 40 and wide.width >= 62
    v, u = np.mgrid[: wide.height, : wide.width].astype(np.float32)
    x = (u - wide.intrinsic[0, 2]) / 60
    y = (v - wide.intrinsic[1, 2]) / 60
    seen = bent(mount, wide, np.stack([x, y, 0 * x], axis=-1))
    assert seen.dtype == np.float32 and seen.shape == (40, 62, 3)
    shown = distort(seen[..., :2].reshape(-1, 2).astype(float), REAL) * 60 + intrinsic[:2, 2]
    rows, columns = np.mgrid[:40, :62]
    np.testing.assert_allclose(shown, np.column_stack([columns.ravel(), rows.ravel()]), atol=1e-3)
    whole = nearest(mount, wide, np.round(u).astype(np.uint8))
    assert (
        whole.dtype == np.uint8
        and np.abs(whole - (seen[..., 0] * 60 + wide.intrinsic[0, 2])).max() <= 0.51
    )
