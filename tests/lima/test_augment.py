"""Random motions: what they may be, how often, and that a seed fixes them."""

import numpy as np
import pytest

from lima_bench.lima.augment import UNSEEN, Sights, cut_cuboid, draw_motion, move
from lima_bench.lima.recipes import Augmentation

COSINE, SINE = "0x1.5126929be458bp-1", "0x1.60a063be8b4aap-1"

STILL = Augmentation(rotation_deg=0.0, flip_probability=0.0, scale=(1.0, 1.0))


def motions(augmentation, n_draws=300):
    rng = np.random.default_rng(0)
    return np.array([draw_motion(augmentation, rng) for _ in range(n_draws)])


def test_nothing_to_do_is_the_identity():
    assert np.array_equal(draw_motion(STILL, np.random.default_rng(0)), np.eye(4))


def test_rotation_is_about_z_within_its_range():
    drawn = motions(STILL.model_copy(update={"rotation_deg": 30.0}))
    angles = np.degrees(np.arctan2(drawn[:, 1, 0], drawn[:, 0, 0]))
    assert np.abs(angles).max() <= 30
    assert angles.min() < -25 and angles.max() > 25
    assert np.allclose(drawn @ drawn.transpose(0, 2, 1), np.eye(4))
    assert np.allclose(drawn[:, 2:], np.eye(4)[2:])


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


def test_a_shift_takes_three_more_draws_and_no_other():
    one, other = np.random.default_rng(3), np.random.default_rng(3)
    straight = draw_motion(Augmentation(), one)
    shifted = draw_motion(Augmentation(translation_m=0.5), other)
    one.normal(size=3)
    assert one.random() == other.random()
    assert np.array_equal(straight[:3, :3], shifted[:3, :3])
    assert not straight[:3, 3].any() and shifted[:3, 3].all()


def test_the_order_is_rotation_shift_scale_mirror():
    """A shift of a known draw, undone step by step."""
    augmentation = Augmentation(flip_probability=1.0, scale=(2.0, 2.0), translation_m=0.5)
    motion = draw_motion(augmentation, np.random.default_rng(8))
    rng = np.random.default_rng(8)
    angle = np.radians(rng.uniform(-180, 180))
    rng.random(2), rng.uniform()
    shift = rng.normal(0.0, 0.5, 3)
    point = np.array([3.0, -1.0, 2.0])
    turned = [
        np.cos(angle) * point[0] - np.sin(angle) * point[1],
        np.sin(angle) * point[0] + np.cos(angle) * point[1],
        point[2],
    ]
    expected = np.array([-2.0, -2.0, 2.0]) * (turned + shift)
    np.testing.assert_allclose(motion[:3, :3] @ point + motion[:3, 3], expected)
    moved = move(point[None].astype(np.float32), motion)
    np.testing.assert_allclose(moved[0], expected, rtol=1e-5)


def test_shifts_are_normal_of_their_deviation():
    drawn = motions(STILL.model_copy(update={"translation_m": 0.5}), 2000)[:, :3, 3]
    assert np.abs(drawn.mean(axis=0)).max() < 0.05
    assert drawn.std(axis=0) == pytest.approx([0.5] * 3, rel=0.1)
    assert np.abs(np.corrcoef(drawn.T) - np.eye(3)).max() < 0.1


def test_one_of_the_two_axes_flips_in_two_clouds_of_three():
    drawn = motions(STILL.model_copy(update={"flips": "one_of", "flip_probability": 0.0}), 3000)
    signs, counts = np.unique(drawn[:, [0, 1], [0, 1]], axis=0, return_counts=True)
    assert signs.tolist() == [[-1, 1], [1, -1], [1, 1]]
    assert counts / 3000 == pytest.approx([1 / 3] * 3, abs=0.04)


CUT = STILL.model_copy(update={"cuboid": 0.5, "cuboid_pairs": 5})


def a_cloud(n_points=2000):
    return np.random.default_rng(1).uniform((-9, -3, 0), (9, 3, 2), (n_points, 3)).astype("float32")


def test_a_cuboid_around_a_point_is_cut_out():
    xyz, edges = a_cloud(), []
    for seed in range(40):
        stays = cut_cuboid(xyz, UNSEEN, CUT, np.random.default_rng(seed))
        rng = np.random.default_rng(seed)
        share, centre = rng.uniform(0, 0.5), xyz[rng.integers(len(xyz))]
        half = share / 2 * np.ptp(xyz, axis=0)
        inside = (np.abs(xyz - centre) < half).all(axis=1)
        assert (stays == ~inside).mean() > 0.999  # rounding of an edge
        edges.append((~stays).any())
    assert all(edges)


def test_a_cloud_stays_whole_where_an_image_would_keep_too_few_pairs():
    xyz = a_cloud(400)
    point = np.arange(400)
    rare = np.random.default_rng(3).integers(400, size=5)
    enough = Sights(point, point % 2, 2)
    few = Sights(np.concatenate([point, rare]), np.concatenate([point % 2, np.full(5, 2)]), 3)
    none = Sights(point, point % 2, 3)
    cut = [0, 0, 0]
    for seed in range(60):
        for kind, sights in enumerate((enough, few, none)):
            stays = cut_cuboid(xyz, sights, CUT, np.random.default_rng(seed))
            cut[kind] += not stays.all()
            if kind == 1:
                assert stays[rare].all()
    assert cut[0] == 60 and 0 < cut[1] < 60 and cut[2] == 0


def test_nothing_is_drawn_where_nothing_is_cut():
    rng = np.random.default_rng(5)
    assert cut_cuboid(a_cloud(), UNSEEN, STILL, rng).all()
    assert cut_cuboid(a_cloud(0), UNSEEN, CUT, rng).shape == (0,)
    assert rng.random() == np.random.default_rng(5).random()


def test_points_move_as_column_vectors_and_keep_their_type():
    quarter = np.eye(4)
    quarter[:2, :2] = [[0.0, -1.0], [1.0, 0.0]]
    moved = move(np.array([[1.0, 0.0, 5.0]], dtype=np.float32), quarter)
    assert moved.dtype == np.float32
    assert moved.tolist() == [[0.0, 1.0, 5.0]]


def test_existing_motions_keep_their_bits():
    """Drawn before shifts, one-of flips and cuboids existed."""
    motion = draw_motion(Augmentation(), np.random.default_rng(11))
    expected = [COSINE, f"-{SINE}", f"-{SINE}", f"-{COSINE}"]
    assert [float(v).hex() for v in motion[:2, :2].ravel()] == expected
    assert np.array_equal(move(a_cloud(3), motion), a_cloud(3) @ motion[:3, :3].T.astype("float32"))
