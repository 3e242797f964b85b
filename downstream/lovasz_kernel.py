"""The inner loop of the Lovasz-softmax on the CPU: sort by error, then weigh, class by class.

Offers `weigh`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lima_bench.datasets.sample import Float32, Float64, Int64
from lima_bench.lima.compiled import Unsigned, compiled

DIGIT_BITS = 11
"""Three digits hold 32 bits, and their counters two thirds of a core's first cache."""

N_DIGITS = 3


@compiled
def _falling(
    errors: Float32, keys: Unsigned, other: Unsigned, counts: npt.NDArray[np.uint32]
) -> Unsigned:
    """Places of the errors from the largest to the smallest, equal ones in order: a radix sort.

    The bits of non-negative floats rise with them.

    Args:
        errors: 0 to 1, up to rounding.
        keys: Room for as many.
        other: Room for as many.
        counts: Room for the counters of all digits.

    Returns:
        In the lower half of each number; one of `keys` and `other`.
    """
    mask, low = np.uint64((1 << DIGIT_BITS) - 1), np.uint64(32)
    bits = np.abs(errors).view(np.uint32)  # a rounded 1 - p may be -0 or just below
    counts[:] = 0
    for n in range(len(errors)):
        key = np.uint64(~bits[n])
        keys[n] = key << low | np.uint64(n)
        for digit in range(N_DIGITS):
            counts[digit, (key >> np.uint64(digit * DIGIT_BITS)) & mask] += np.uint32(1)
    for digit in range(N_DIGITS):
        starts, total = counts[digit], np.uint32(0)
        for value in range(len(starts)):
            total, starts[value] = total + starts[value], total
        shift = low + np.uint64(digit * DIGIT_BITS)
        for n in range(len(keys)):
            key = keys[n]
            value = (key >> shift) & mask
            other[starts[value]] = key
            starts[value] += np.uint32(1)
        keys, other = other, keys
    return keys


@compiled
def weigh(
    classes: Int64,
    probabilities: Float32,
    truth: Int64,
    counts: Int64,
    weights: Float32,
    values: Float64,
) -> None:
    """Loss of each of the classes, and its slope over every probability.

    Args:
        classes: Which ones.
        probabilities: (points, classes).
        truth: (points,).
        counts: (classes,) points of each.
        weights: (points, classes), the columns of `classes` filled: what each point adds to its
            class's Jaccard loss when points fail in order of error, negative on the class.
        values: (classes,), filled for `classes`: the sum of errors times what they add.
    """
    n_points = len(truth)
    errors = np.empty(n_points, np.float32)
    keys, other = np.empty(n_points, np.uint64), np.empty(n_points, np.uint64)
    counters = np.empty((N_DIGITS, 1 << DIGIT_BITS), np.uint32)
    one, lower = np.float32(1.0), np.uint64((1 << 32) - 1)
    for name in classes:
        for n in range(n_points):
            p = probabilities[n, name]
            errors[n] = one - p if truth[n] == name else p
        order = _falling(errors, keys, other, counters)
        total, on, before, value = counts[name], 0, np.float32(0.0), np.float64(0.0)
        for place in range(n_points):
            n = order[place] & lower
            is_on = truth[n] == name
            on += is_on
            jaccard = one - np.float32(total - on) / np.float32(total + place + 1 - on)
            added = jaccard - before
            before = jaccard
            value += np.float64(errors[n]) * np.float64(added)
            weights[n, name] = -added if is_on else added
        values[name] = value
