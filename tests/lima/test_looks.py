"""Crops and mirror images: pixels, pairs, superpixels and calibration move together."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from lima_bench.lima.looks import PAIR_TRIES, Look, Shown, draw_look
from lima_bench.lima.recipes import ImageAugmentation, Length, PretrainRecipe
from lima_bench.lima.resize import squeeze, squeeze_ids

FULL, SIZE = (90, 160), (28, 52)
CROPS = ImageAugmentation(crop_area=(0.3, 1.0), flip_probability=0.5)
PLAIN = Shown((), SIZE, "round")


def some_pairs(n_pairs=3000, seed=0):
    rng = np.random.default_rng(seed)
    return np.stack([rng.integers(1, side - 1, n_pairs) for side in FULL])


def looks(settings=CROPS, pairs=None, n_draws=200, full=FULL):
    pairs = some_pairs() if pairs is None else pairs
    rng = np.random.default_rng(0)
    return [draw_look(full, pairs, PLAIN, settings, rng) for _ in range(n_draws)]


def test_crops_have_the_area_and_aspect_asked_for():
    drawn = looks()
    areas = np.array([one.height * one.width for one in drawn]) / (FULL[0] * FULL[1])
    aspects = np.array([one.width / one.height for one in drawn])
    assert areas.min() > 0.29 and areas.max() <= 1.0
    assert areas.min() < 0.4 and areas.max() > 0.9
    assert aspects.min() > 14 / 9 - 0.05 and aspects.max() < 17 / 9 + 0.05
    assert aspects.min() < 1.6 and aspects.max() > 1.8
    for one in drawn:
        assert 0 <= one.top <= FULL[0] - one.height
        assert 0 <= one.left <= FULL[1] - one.width
    assert 60 < sum(one.mirrored for one in drawn) < 140


def test_a_crop_that_loses_its_pairs_is_drawn_again():
    corner = np.stack([np.arange(2000) % 9, np.arange(2000) % 16])
    for one in looks(pairs=corner, n_draws=60):
        n_left = Shown([one], SIZE, "round").moved(np.vstack([0 * corner, corner])).shape[1]
        assert n_left > 1024 or n_left > 0.75 * 2000
    few = looks(ImageAugmentation(crop_area=(0.3, 0.3), keep_pairs=10**6), corner, 30)
    assert {one.top < 10 and one.left < 20 for one in few} == {True}


def test_a_picture_without_pairs_is_drawn_once():
    class Counted:
        """Counts draws of shapes."""

        def __init__(self):
            self.rng, self.n = np.random.default_rng(0), 0

        def __getattr__(self, name):
            self.n += name == "uniform"
            return getattr(self.rng, name)

    rng = Counted()
    look = draw_look(FULL, np.zeros((2, 0), dtype=np.int64), PLAIN, CROPS, rng)
    assert rng.n == 2 and (look.height, look.width) != FULL


def test_pairs_that_no_crop_can_keep_leave_the_picture_whole():
    corners = np.array([[0, 0, 89, 89] * 500, [0, 159, 0, 159] * 500])
    settings = ImageAugmentation(crop_area=(0.3, 0.3), keep_pairs=2000)
    look = draw_look(FULL, corners, PLAIN, settings, np.random.default_rng(0))
    assert look == Look(0, 0, *FULL) and PAIR_TRIES < 1000


def test_without_a_crop_only_mirrors_are_drawn():
    drawn = looks(ImageAugmentation(flip_probability=0.5))
    assert {(one.top, one.left, one.height, one.width) for one in drawn} == {(0, 0, *FULL)}
    assert {one.mirrored for one in drawn} == {True, False}
    assert not any(one.mirrored for one in looks(ImageAugmentation()))


def test_pairs_move_by_the_published_formula():
    look = Look(10, 20, 56, 104)  # half the size is shown: one pixel of two
    row, col = np.array([[10, 12, 66, 65, 9], [20, 25, 60, 123, 60]])
    moved = Shown([Look(0, 0, *FULL), look], SIZE, "round").moved(
        np.stack([np.arange(5), np.ones(5, dtype=int), row, col])
    )
    assert moved.tolist() == [[0, 1, 4], [1, 1, 1], [0, 1, 0], [0, 2, 20]]  # rint(2.5), rint(-.5)
    floored = Shown([look], SIZE, "floor").moved(np.stack([np.arange(5), 0 * row, row, col]))
    assert floored.tolist() == [[0, 1, 3], [0, 0, 0], [0, 1, 27], [0, 2, 51]]


def a_picture(seed=0):
    rng = np.random.default_rng(seed)
    return np.kron(rng.integers(0, 255, (9, 16, 3)), np.ones((10, 10, 1))).astype(np.uint8)


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_pair_keeps_its_pixel_and_its_superpixel(mirrored):
    picture = a_picture()
    ids = torch.arange(9 * 16).view(9, 16).repeat_interleave(10, 0).repeat_interleave(10, 1)
    look = Look(20, 40, 45, 80, mirrored)
    pixels = look.pixels(picture, SIZE, antialias=False)
    shown = look.ids(ids, FULL, SIZE)
    inner = np.stack(np.meshgrid(np.arange(2, 8), np.arange(3, 8), indexing="ij")).reshape(2, -1)
    rows, cols = inner * 10 + 5  # centres of blocks
    pairs = np.stack([np.arange(rows.size), 0 * rows, rows, cols])
    moved = Shown([look], SIZE, "round").moved(pairs)
    assert moved.shape[1] > 8
    point, _, row, col = moved
    for p, r, c in zip(point, row, col, strict=True):
        assert (pixels[:, r, c] * 255).round().tolist() == picture[rows[p], cols[p]].tolist()
        assert shown[r, c] == ids[rows[p], cols[p]]


def test_the_whole_picture_is_what_no_look_gives():
    picture, look = a_picture(), Look(0, 0, *FULL)
    assert torch.equal(look.pixels(picture, SIZE, antialias=False), squeeze(picture, SIZE))
    ids = np.random.default_rng(0).integers(0, 99, FULL)
    ours = look.ids(torch.from_numpy(ids), FULL, SIZE)
    assert np.array_equal(ours, squeeze_ids(ids, SIZE))
    coarse = torch.from_numpy(squeeze_ids(ids, (45, 80)))
    assert torch.equal(look.ids(coarse, FULL, (45, 80)), coarse)


@pytest.mark.parametrize("mirrored", [False, True])
def test_the_matrix_moves_points_as_pairs_move(mirrored):
    look = Look(10, 20, 56, 104, mirrored)
    row, col = np.array([[10, 20, 64], [20, 60, 122]])
    moved = Shown([look], SIZE, "round").moved(np.stack([0 * row, 0 * row, row, col]))
    place = look.matrix(SIZE) @ np.stack([col, row, np.ones(3)])
    np.testing.assert_allclose(place, [moved[3], moved[2], np.ones(3)], atol=1e-9)


def test_superpixels_are_kept_fine_enough_for_every_crop():
    recipe = PretrainRecipe(length=Length(steps=1), image_size=(224, 416))
    assert recipe.superpixel_size == (224, 416)
    cropped = recipe.model_copy(update={"images": CROPS})
    assert cropped.superpixel_size == (448, 832)
    mirrored = recipe.model_copy(update={"images": ImageAugmentation(flip_probability=0.5)})
    assert mirrored.superpixel_size == (224, 416)


@pytest.mark.parametrize("wrong", [{"crop_area": (0.5, 0.3)}, {"crop_area": (0.0, 1.0)}])
def test_ranges_are_checked(wrong):
    with pytest.raises(ValidationError, match="crop_area"):
        ImageAugmentation(**wrong)
