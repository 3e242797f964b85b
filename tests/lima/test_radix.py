"""The radix sort against numpy's stable one."""

import numpy as np
import pytest

from lima_bench.lima.radix import sort_keys

RNG = np.random.default_rng(0)
KEYS = {
    "few bits": RNG.integers(0, 50, 3000),
    "one digit": RNG.integers(0, 1 << 11, 3000),
    "odd number of digits": RNG.integers(0, 1 << 33, 3000),
    "all bits": RNG.integers(0, 1 << 62, 3000),
    "largest": np.array([(1 << 63) - 1, 0, 1 << 62, (1 << 63) - 1, 1]),
    "digits in common": RNG.integers(0, 8, 500) << 50 | RNG.integers(0, 8, 500) << 3 | 1 << 30,
    "equal": np.full(20, 12345),
    "ascending": np.arange(1000),
    "descending": np.arange(100_000, 0, -7),
    "one": np.array([7]),
    "none": np.zeros(0, dtype=np.int64),
}


@pytest.mark.parametrize("kind", KEYS)
def test_order_is_that_of_a_stable_sort(kind):
    keys = KEYS[kind]
    before = keys.copy()
    ordered, order = sort_keys(keys)
    expected = np.argsort(keys, kind="stable")
    assert np.array_equal(order, expected)
    assert np.array_equal(ordered, keys[expected])
    assert np.array_equal(keys, before)
    assert order.dtype == np.int32
