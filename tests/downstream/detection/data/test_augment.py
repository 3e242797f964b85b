"""Boxes move as their points do: to move a box and to move its corners is the same."""

from __future__ import annotations

import numpy as np
import pytest

from lima_bench.downstream.detection.boxes import Objects
from lima_bench.downstream.detection.data.augment import moved, within, wrapped
from lima_bench.lima.augment import draw_motion, move
from lima_bench.lima.recipes import Augmentation, GridBounds

SIGNS = np.array([[a, b, c] for a in (1, -1) for b in (1, -1) for c in (1, -1)])


def _objects(seed: int, n: int = 7) -> Objects:
    rng = np.random.default_rng(seed)
    columns = [
        rng.uniform(-40, 40, (n, 3)),
        rng.uniform(0.5, 8, (n, 3)),
        rng.uniform(-7, 7, n),
        rng.normal(0, 5, (n, 2)),
    ]
    boxes = np.column_stack(columns).astype(np.float32)
    boxes[::3, 7:] = np.nan
    return Objects(boxes, np.arange(n))


def _corners(boxes: np.ndarray) -> np.ndarray:
    """(B, 8, 3), front left top first."""
    local = SIGNS * boxes[:, None, 3:6] / 2
    cos, sin = np.cos(boxes[:, 6, None]), np.sin(boxes[:, 6, None])
    x, y = local[..., 0], local[..., 1]
    turned = np.stack([cos * x - sin * y, sin * x + cos * y, local[..., 2]], axis=2)
    return turned + boxes[:, None, :3]


@pytest.mark.parametrize("seed", range(12))
def test_moved_corners_are_corners_of_the_moved(seed: int) -> None:
    """Mirroring swaps left and right; front stays front and top stays top."""
    settings = Augmentation(rotation_deg=180, scale=(0.5, 2.0), translation_m=3.0)
    motion = draw_motion(settings, np.random.default_rng(seed))
    objects = _objects(seed)
    after = moved(objects, motion)
    expected = move(_corners(objects.boxes.astype(np.float64)).reshape(-1, 3), motion)
    expected = expected.reshape(-1, 8, 3)
    if np.linalg.det(motion[:3, :3]) < 0:
        expected = expected[:, [2, 3, 0, 1, 6, 7, 4, 5]]
    np.testing.assert_allclose(_corners(after.boxes), expected, atol=1e-4)
    assert (-np.pi <= after.boxes[:, 6]).all() and (after.boxes[:, 6] <= np.pi).all()
    assert after.boxes.dtype == np.float32


@pytest.mark.parametrize("seed", range(6))
def test_velocities_go_where_the_object_goes(seed: int) -> None:
    """A second later the object is one velocity farther, before and after the motion."""
    motion = draw_motion(Augmentation(translation_m=2.0), np.random.default_rng(seed))
    objects = _objects(seed)
    later = objects.boxes.copy()
    later[:, :2] += later[:, 7:]
    known = ~np.isnan(later[:, 7])
    now, then = moved(objects, motion).boxes, moved(Objects(later, objects.label), motion)
    np.testing.assert_allclose(
        (now[:, :2] + now[:, 7:])[known], then.boxes[known, :2], rtol=1e-5, atol=1e-4
    )
    np.testing.assert_array_equal(np.isnan(now[:, 7:]).all(axis=1), ~known)


def test_both_kinds_of_motion_were_looked_at() -> None:
    flips = [
        np.linalg.det(draw_motion(Augmentation(), np.random.default_rng(s))[:3, :3]) < 0
        for s in range(12)
    ]
    assert any(flips) and not all(flips)


def test_a_mirror_turns_headings_over() -> None:
    boxes = np.zeros((1, 9), dtype=np.float32)
    boxes[0, 3:7] = 4, 2, 1, 0.3
    one = Objects(boxes, np.zeros(1, np.int64))
    assert moved(one, np.diag([1.0, -1, 1, 1])).boxes[0, 6] == pytest.approx(-0.3)
    assert moved(one, np.diag([-1.0, 1, 1, 1])).boxes[0, 6] == pytest.approx(np.pi - 0.3)
    assert moved(one, np.diag([-1.0, -1, 1, 1])).boxes[0, 6] == pytest.approx(0.3 - np.pi)


def test_the_grid_keeps_what_has_its_middle_in_it() -> None:
    boxes = np.zeros((5, 9), dtype=np.float32)
    boxes[:, 0] = -10, -10.01, 9.99, 10, 0
    boxes[:, 1] = 0, 0, 0, 0, 12
    boxes[:, 2] = 99  # heights do not count
    objects = Objects(boxes, np.arange(5))
    bounds = GridBounds(lower=(-10, -10, -1), upper=(10, 10, 1))
    kept = within(objects, bounds)
    np.testing.assert_array_equal(kept.label, [0, 2])


def test_angles_are_wrapped() -> None:
    angles = np.array([-np.pi, np.pi, 3.5, -3.5, 0, 20])
    assert (wrapped(angles) >= -np.pi).all() and (wrapped(angles) < np.pi).all()
    np.testing.assert_allclose(np.exp(1j * wrapped(angles)), np.exp(1j * angles), atol=1e-12)
