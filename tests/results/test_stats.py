import math
import random

import pytest

from lima_bench.results.stats import Spread, apart, paired_difference, summarise


@pytest.mark.parametrize(
    ("values", "mean", "std", "n"),
    [
        ([3.0], 3.0, None, 1),
        ([1.0, 3.0], 2.0, math.sqrt(2), 2),
        ([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0], 5.0, math.sqrt(32 / 7), 8),
        ([1.5, 1.5, 1.5], 1.5, 0.0, 3),
    ],
)
def test_mean_and_sample_deviation(values, mean, std, n):
    spread = summarise(values)
    assert (spread.mean, spread.n) == (pytest.approx(mean), n)
    assert spread.std == (std if std is None else pytest.approx(std))


def test_nothing_has_no_spread():
    assert summarise([]) is None


def test_order_changes_no_bit():
    values = [random.Random(0).gauss(50, 1) for _ in range(20)]
    assert summarise(values) == summarise(reversed(values))


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (Spread(10, 1, 3), Spread(13, 1, 3), True),
        (Spread(10, 1, 3), Spread(12, 1, 3), False),
        (Spread(10, 1, 3), Spread(11, 1, 3), False),
        (Spread(10, 0, 3), Spread(10, 0, 3), False),
        (Spread(10, None, 1), Spread(99, 1, 3), False),
    ],
)
def test_apart_needs_known_spreads_that_do_not_touch(one, other, expected):
    assert apart(one, other) is expected
    assert apart(other, one) is expected


def test_difference_is_taken_seed_by_seed():
    ours, theirs = {0: 10.0, 1: 20.0, 2: 30.0, 9: 5.0}, {0: 9.0, 1: 19.0, 2: 29.0, 7: 0.0}
    assert paired_difference(ours, theirs) == Spread(1.0, 0.0, 3)
    assert paired_difference(ours, {4: 1.0}) is None
