"""The cache of what comes again: bounded, oldest use first out, empty in a new process."""

import pickle

import numpy as np

from lima_bench.lima.cache import ByteCache


def _array(n: int) -> np.ndarray:
    return np.zeros(n, dtype=np.uint8)


def test_a_kept_value_is_not_made_again() -> None:
    cache: ByteCache[np.ndarray] = ByteCache(100)
    first = cache.get("a", lambda: _array(60))
    assert cache.get("a", lambda: _array(1)) is first


def test_what_was_used_longest_ago_goes_first() -> None:
    cache: ByteCache[np.ndarray] = ByteCache(100)
    for name in ("a", "b", "a", "c"):
        cache.get(name, lambda: _array(40))
    assert len(cache) == 2 and cache.held_bytes == 80
    kept = cache.get("a", lambda: _array(1))
    assert len(kept) == 40
    assert len(cache.get("b", lambda: _array(1))) == 1


def test_what_is_too_large_is_not_kept_and_drives_nothing_out() -> None:
    cache: ByteCache[tuple[np.ndarray, ...]] = ByteCache(100)
    cache.get("a", lambda: (_array(40), _array(40)))
    cache.get("b", lambda: (_array(101),))
    assert len(cache) == 1 and cache.held_bytes == 80


def test_a_copy_begins_empty() -> None:
    cache: ByteCache[np.ndarray] = ByteCache(100)
    cache.get("a", lambda: _array(40))
    copy = pickle.loads(pickle.dumps(cache))
    assert (len(copy), copy.held_bytes, copy.limit_bytes) == (0, 0, 100)


def test_what_came_first_stays_where_nothing_is_evicted() -> None:
    cache: ByteCache[np.ndarray] = ByteCache(250, evicts=False)
    for key in "abcb":
        cache.get(key, lambda: np.zeros(100, dtype=np.uint8))
    assert len(cache) == 2 and cache.held_bytes == 200
    made = []
    for key in "abc":
        cache.get(key, lambda key=key: made.append(key) or np.zeros(100, dtype=np.uint8))
    assert made == ["c"]
    assert pickle.loads(pickle.dumps(cache)).evicts is False
