"""Sorting by 64-bit keys, several times faster than a comparison sort: for voxels and kernel maps.

Offers `sort_keys` and the type `Int32`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lima_bench.datasets.sample import Int64
from lima_bench.lima.compiled import ONE, ZERO, compiled

Int32 = npt.NDArray[np.int32]

DIGIT_BITS = 11
"""Counters of a digit fill half of a core's first cache."""


@compiled
def sort_keys(keys: Int64) -> tuple[Int64, Int32]:
    """Keys in ascending order, and where each was; equal keys stay in their order.

    From the lowest digit up, every pass puts the keys into the order of one digit. Digits that all
    keys share need none.

    Args:
        keys: Not negative, fewer than 2^31.
    """
    n_keys = len(keys)
    old, old_order = keys, np.arange(n_keys).astype(np.int32)
    new, new_order = np.empty(n_keys, np.int64), np.empty(n_keys, np.int32)
    next_, next_order = np.empty(n_keys, np.int64), np.empty(n_keys, np.int32)
    differing = np.int64(0)
    for key in keys:
        differing |= key ^ keys[0]
    starts = np.empty(1 << DIGIT_BITS, np.uint64)
    mask = (1 << DIGIT_BITS) - 1
    for shift in range(0, 63, DIGIT_BITS):
        if (differing >> shift) & mask == 0:
            continue
        starts[:] = ZERO
        for key in old:
            starts[np.uint64((key >> shift) & mask)] += ONE
        total = ZERO
        for value in range(len(starts)):
            count = starts[value]
            starts[value] = total
            total += count
        for n in range(n_keys):
            key = old[n]
            digit = np.uint64((key >> shift) & mask)
            place = starts[digit]
            starts[digit] = place + ONE
            new[place] = key
            new_order[place] = old_order[n]
        # The two buffers take turns; the keys that were given stay as they are.
        old, new, next_ = new, next_, new
        old_order, new_order, next_order = new_order, next_order, new_order
    return old, old_order
