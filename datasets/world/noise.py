"""Repeatable randomness for kernels: integer hashes and smooth value noise, no state.

Offers `chance` (uniform in 0..1 from four integers), `bell` (about normal), `cell` and `smooth`
(noise over a plane).
The mixing function is splitmix64's finaliser.
"""

from __future__ import annotations

import math

import numpy as np

from lima_bench.datasets.world.compiled import compiled

_A, _B, _C = (
    np.uint64(0x9E3779B97F4A7C15),
    np.uint64(0xBF58476D1CE4E5B9),
    np.uint64(0x94D049BB133111EB),
)
_S30, _S27, _S31, _S11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
_S16, _LOW16 = np.uint64(16), np.uint64(0xFFFF)
_UNIT = 1.0 / (1 << 53)


@compiled
def chance(seed: int, a: int, b: int, c: int) -> float:
    """A number in [0, 1) that depends on all four integers."""
    state = np.uint64(seed) * _A ^ np.uint64(a) * _B
    state = (state ^ (state >> _S30)) * _B + np.uint64(b) * _C
    state = (state ^ (state >> _S27)) * _C + np.uint64(c) * _A
    state = (state ^ (state >> _S30)) * _B
    state = (state ^ (state >> _S27)) * _C
    return float((state ^ (state >> _S31)) >> _S11) * _UNIT


@compiled
def bell(seed: int, a: int) -> float:
    """A number that is about standard normal (sum of four uniform ones), quickly."""
    state = (np.uint64(seed) * _A) ^ (np.uint64(a) * _B)
    state = (state ^ (state >> _S30)) * _B
    state = (state ^ (state >> _S27)) * _C
    state ^= state >> _S31
    total = 0.0
    for _ in range(4):
        total += float(state & _LOW16)
        state >>= _S16
    return (total * (1.0 / 65536.0) - 2.0) * 1.7320508


@compiled
def _lattice(x: int, y: int, seed: int) -> float:
    """A cheap hash for textures, where quality hardly matters."""
    state = (x * 374761393 + y * 668265263 + seed * 2147483647) & 0x7FFFFFFF
    state = ((state ^ (state >> 13)) * 1274126177) & 0x7FFFFFFF
    return float((state ^ (state >> 16)) & 0xFFFF) / 65536.0


@compiled
def cell(x: float, y: float, seed: int) -> float:
    """A number in [0, 1) for the unit square that holds (x, y)."""
    return _lattice(math.floor(x), math.floor(y), seed)


@compiled
def smooth(x: float, y: float, seed: int) -> float:
    """Noise in [0, 1) that varies over about one unit."""
    i, j = math.floor(x), math.floor(y)
    u, v = x - i, y - j
    u, v = u * u * (3 - 2 * u), v * v * (3 - 2 * v)
    low = _lattice(i, j, seed) * (1 - u) + _lattice(i + 1, j, seed) * u
    high = _lattice(i, j + 1, seed) * (1 - u) + _lattice(i + 1, j + 1, seed) * u
    return low * (1 - v) + high * v
