"""CBGS: every class has an equal share of an epoch, drawn from the frames that show it."""

from __future__ import annotations

import numpy as np
import pytest

from lima_bench.common.errors import UserError
from lima_bench.downstream.detection.data.balance import balanced, epoch_of
from lima_bench.downstream.detection.data.frames import LoadedFrames

LABELS = [np.array(one) for one in ([0], [0], [0, 1], [0, 2], [0], [], [0, 1], [0, 7])]


def test_each_class_gets_its_share_of_the_published_draw() -> None:
    """As published for every class: ``int(len(list) * (1 / C) / (len(list) / T))`` draws."""
    numbers = balanced(LABELS, 0)
    lists = {c: [i for i, one in enumerate(LABELS) if c in one] for c in (0, 1, 2, 7)}
    total = sum(len(one) for one in lists.values())
    start = 0
    for own in lists.values():
        draws = int(len(own) * ((1 / len(lists)) / (len(own) / total)))
        assert draws == 2
        assert set(numbers[start : start + draws]) <= set(own)
        start += draws
    assert start == len(numbers)
    assert 5 not in numbers


def test_shares_are_equal_in_the_long_run() -> None:
    many = [np.array([0] + [1] * (i % 10 == 0)) for i in range(2000)]
    numbers = balanced(many, 3)
    assert len(numbers) == 2200
    rare = numbers % 10 == 0
    assert rare.mean() == pytest.approx(0.5 + 0.5 * 0.1, abs=0.03)
    assert len(np.unique(numbers[1100:])) < 200  # with replacement
    np.testing.assert_array_equal(numbers, balanced(many, 3))
    assert not np.array_equal(numbers, balanced(many, 4))


def test_an_absent_class_is_named_and_the_others_share(
    make_boxed, grid_student, recipe, changed
) -> None:
    source = make_boxed(4)
    loaded = LoadedFrames(source, grid_student, changed(recipe, balanced=True))
    epoch = epoch_of(loaded, seed=0)
    assert epoch.absent == ("cone",)
    assert len(epoch.numbers) == 8  # two classes in each of four frames: four draws each
    frames = epoch.of(source).frames
    assert [f.id for f in frames] == [f"a/{n}" for n in epoch.numbers]
    np.testing.assert_array_equal(epoch.numbers, epoch_of(loaded, seed=0).numbers)
    assert any((epoch.numbers != epoch_of(loaded, seed=s).numbers).any() for s in (1, 2, 3))


def test_without_balance_every_frame_comes_once(make_boxed, grid_student, recipe) -> None:
    loaded = LoadedFrames(make_boxed(4), grid_student, recipe)
    np.testing.assert_array_equal(epoch_of(loaded, seed=0).numbers, np.arange(4))


@pytest.mark.parametrize("even", [False, True])
def test_a_share_without_a_box_is_told(make_boxed, grid_student, recipe, changed, even) -> None:
    boxes = (
        ("object.debris", 1, 1, 0, 1, 1, 1, 0, 9, 9),
        ("vehicle.car", 6, 0, 0, 4, 2, 2, 0, 0, 0),
    )
    loaded = LoadedFrames(make_boxed(3, boxes=boxes), grid_student, changed(recipe, balanced=even))
    with pytest.raises(UserError, match="None of its 3 frames") as caught:
        epoch_of(loaded, seed=0)
    assert "larger share" in caught.value.how


def test_classes_are_known_of_frames_that_were_loaded(make_boxed, grid_student, recipe) -> None:
    source = make_boxed(3)
    loaded = LoadedFrames(source, grid_student, recipe, cache_bytes=1)
    for frame in source.frames:
        loaded.at(frame)
    epoch_of(loaded, seed=0)
    assert set(source.load.__self__.loads.values()) == {1}
