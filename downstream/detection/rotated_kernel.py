"""Compiled: what rotated rectangles share, pair by pair, and which of them stay.

Offers `overlaps` and `stay`, the loops of `rotated.py`, where the formula is derived.
"""

from __future__ import annotations

import numpy as np

from lima_bench.datasets.sample import Float64, Int64
from lima_bench.lima.compiled import compiled


@compiled
def _shared(a: Float64, m: int, b: Float64, n: int) -> float:
    """Square metres that row `m` of `a` and row `n` of `b` share; rows as `rotated._table`."""
    dx, dy = a[m, 0] - b[n, 0], a[m, 1] - b[n, 1]
    reach = a[m, 6] + b[n, 6]
    if not dx * dx + dy * dy < reach * reach:
        return 0.0
    x, y = dx * b[n, 4] + dy * b[n, 5], dy * b[n, 4] - dx * b[n, 5]
    cosine = a[m, 4] * b[n, 4] + a[m, 5] * b[n, 5]
    sine = a[m, 5] * b[n, 4] - a[m, 4] * b[n, 5]
    right, top = b[n, 2], b[n, 3]
    along_x, along_y = a[m, 2] * cosine, a[m, 2] * sine
    across_x, across_y = -a[m, 3] * sine, a[m, 3] * cosine
    area, x0, y0 = 0.0, x + along_x - across_x, y + along_y - across_y
    for side in range(4):
        forward = 1.0 if side == 0 or side == 3 else -1.0
        left = 1.0 if side < 2 else -1.0
        x1 = x + forward * along_x + left * across_x
        y1 = y + forward * along_y + left * across_y
        begin, end = min(max(x0, -right), right), min(max(x1, -right), right)
        if begin != end:
            slope = (y1 - y0) / (x1 - x0)
            low, high = y0 + slope * (begin - x0), y0 + slope * (end - x0)
            rise = high - low
            inner0, inner1 = min(max(low, -top), top), min(max(high, -top), top)
            mean = inner0
            if rise != 0.0:
                above = (max(high, top) - max(low, top)) / rise
                below = (min(high, -top) - min(low, -top)) / rise
                inside = (inner1 - inner0) / rise
                mean = inside * (inner0 + inner1) / 2.0 + top * (above - below)
            area += (begin - end) * mean
        x0, y0 = x1, y1
    return max(area, 0.0)


@compiled
def _iou(a: Float64, m: int, b: Float64, n: int) -> float:
    shared = _shared(a, m, b, n)
    if not shared > 0.0:
        return 0.0
    union: float = 4.0 * (a[m, 2] * a[m, 3] + b[n, 2] * b[n, 3]) - shared
    return min(shared / union, 1.0)


@compiled
def overlaps(a: Float64, b: Float64, out: Float64) -> None:
    """Fill `out` (rows of `a`, rows of `b`) with intersection over union."""
    for m in range(len(a)):
        for n in range(len(b)):
            out[m, n] = _iou(a, m, b, n)


@compiled
def stay(boxes: Float64, iou: float, most: int) -> Int64:
    """Rows that no better row which stays overlaps by more than `iou`.

    Args:
        boxes: Rows as `rotated._table`, best first.
        iou: What is tolerated.
        most: Rows at which the search ends.
    """
    gone = np.zeros(len(boxes), np.bool_)
    kept = np.empty(min(most, len(boxes)), np.int64)
    n_kept = 0
    for best in range(len(boxes)):
        if n_kept == len(kept):
            break
        if gone[best]:
            continue
        kept[n_kept] = best
        n_kept += 1
        for other in range(best + 1, len(boxes)):
            if not gone[other] and _iou(boxes, best, boxes, other) > iou:
                gone[other] = True
    return kept[:n_kept].copy()
