"""Random motions: what they may be, how often, and that a seed fixes them."""

import numpy as np
import pytest

from lima_bench.lima.augment import draw_motion, move
from lima_bench.lima.recipes import Augmentation

STILL = Augmentation(rotation_deg=0.0, flip_probability=0.0, scale=(1.0, 1.0))


def motions(augmentation, n_draws=300):
    rng = np.random.default_rng(0)
    return np.array([draw_motion(augmentation, rng) for _ in range(n_draws)])


def test_nothing_to_do_is_the_identity():
    assert np.array_equal(draw_motion(STILL, np.random.default_rng(0)), np.eye(3))


def test_rotation_is_about_z_within_its_range():
    drawn = motions(STILL.model_copy(update={"rotation_deg": 30.0}))
    angles = np.degrees(np.arctan2(drawn[:, 1, 0], drawn[:, 0, 0]))
    assert np.abs(angles).max() <= 30
    assert angles.min() < -25 and angles.max() > 25
    assert np.allclose(drawn @ drawn.transpose(0, 2, 1), np.eye(3))
    assert np.allclose(drawn[:, 2], [0, 0, 1])


def test_x_and_y_flip_independently():
    drawn = motions(STILL.model_copy(update={"flip_probability": 0.5}))
    signs, counts = np.unique(drawn[:, [0, 1], [0, 1]], axis=0, return_counts=True)
    assert signs.tolist() == [[-1, -1], [-1, 1], [1, -1], [1, 1]]
    assert counts.min() > 45


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_flip_probability_is_kept_at_its_ends(probability):
    drawn = motions(STILL.model_copy(update={"flip_probability": probability}), 50)
    assert (drawn[:, 0, 0] == 1 - 2 * probability).all()


def test_scale_is_the_same_along_every_axis():
    drawn = motions(STILL.model_copy(update={"scale": (0.5, 2.0)}))
    factors = drawn[:, [0, 1, 2], [0, 1, 2]]
    assert (factors == factors[:, :1]).all()
    assert factors.min() > 0.5 and factors.max() < 2.0
    assert np.ptp(factors) > 1.4


def test_every_draw_takes_the_same_from_the_generator():
    one, other = np.random.default_rng(3), np.random.default_rng(3)
    draw_motion(STILL, one)
    draw_motion(Augmentation(), other)
    assert one.random() == other.random()


def test_points_move_as_column_vectors_and_keep_their_type():
    quarter = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    moved = move(np.array([[1.0, 0.0, 5.0]], dtype=np.float32), quarter)
    assert moved.dtype == np.float32
    assert moved.tolist() == [[0.0, 1.0, 5.0]]
