"""Batch normalisation on the CPU, compiled: a pass of sums, then a pass of results.

Offers `forward`, in phases, and `Forward`, what it takes. See
`lima_bench.lima.backbones.sparse.norm_tiles` for how everything is cut and handed over.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from lima_bench.datasets.compiled import compiler
from lima_bench.datasets.sample import Float32, Float64
from lima_bench.lima.backbones.sparse import norm_tiles
from lima_bench.lima.backbones.sparse.norm_tiles import (
    INVERSE,
    MEAN,
    N_STATISTICS,
    SCALE,
    SETTLE,
    SHIFT,
    SUM,
    WHOLE,
    WRITE,
    counter,
    cut,
    floats,
    fold,
    n_chunks,
    tiled,
)

compiled = compiler([norm_tiles.__file__])


class Forward(NamedTuple):
    """``out = max((x - mean) / deviation * weight + bias + beside, floor)``.

    Attributes:
        n_rows: Rows.
        width: Channels.
        x: To be normalised.
        beside: To be added, or 0.
        out: The result; may be `x`.
        weight: (width,).
        bias: (width,).
        n_batches: One int64, counted up where the batch's statistics count; or 0.
        running_mean: (width,).
        running_variance: (width,).
        statistics: (6, width), the first four filled.
        learns: Whether the statistics are those of `x`, which the running ones then follow.
        floor: 0 for ReLU, minus infinity for none.
        momentum: How far they follow; the variance towards the unbiased one.
        epsilon: Added to the variance.
    """

    n_rows: int
    width: int
    x: int
    beside: int
    out: int
    weight: int
    bias: int
    n_batches: int
    running_mean: int
    running_variance: int
    statistics: int
    learns: bool
    floor: float
    momentum: float
    epsilon: float


@compiled
def _add_values(chunk: Float32, total: Float32) -> None:
    """Add a chunk's values to a tile, four tiles at a time."""
    tile = len(total)
    whole = len(chunk) // (4 * tile) * (4 * tile)
    for start in range(0, whole, 4 * tile):
        first = chunk[start : start + tile]
        second = chunk[start + tile : start + 2 * tile]
        third = chunk[start + 2 * tile : start + 3 * tile]
        fourth = chunk[start + 3 * tile : start + 4 * tile]
        for j in range(tile):
            total[j] += (first[j] + second[j]) + (third[j] + fourth[j])
    for start in range(whole, len(chunk), tile):
        rest = chunk[start : start + tile]
        for j in range(len(rest)):
            total[j] += rest[j]


@compiled
def _add_squares(chunk: Float32, centre: Float32, total: Float32) -> None:
    """Add the squared distances of a chunk's values from `centre` to a tile, two at a time."""
    tile = len(total)
    whole = len(chunk) // (2 * tile) * (2 * tile)
    for start in range(0, whole, 2 * tile):
        first = chunk[start : start + tile]
        second = chunk[start + tile : start + 2 * tile]
        for j in range(tile):
            one, other = first[j] - centre[j], second[j] - centre[j]
            total[j] += one * one + other * other
    for start in range(whole, len(chunk), tile):
        rest = chunk[start : start + tile]
        for j in range(len(rest)):
            one = rest[j] - centre[j]
            total[j] += one * one


@compiled
def _sum_moments(x: Float32, width: int, first: int, last: int, parts: Float64) -> None:
    """Of each chunk, the mean and the sum of squared distances from (about) it."""
    size, tile = cut(width)
    total, centre = np.zeros(tile, np.float32), np.empty(width, np.float32)
    for number in range(first, last):
        chunk = x[number * size : min((number + 1) * size, len(x))]
        mean, squares = parts[number, 0], parts[number, 1]
        _add_values(chunk, total)
        fold(total, mean)
        for channel in range(width):
            mean[channel] /= len(chunk) // width
            centre[channel] = mean[channel]
        _add_squares(chunk, tiled(centre, tile), total)
        fold(total, squares)


@compiled
def _merge_moments(parts: Float64, n_rows: int) -> Float64:
    """(2, width): mean and sum of squares over all chunks (Chan, Golub and LeVeque 1979)."""
    width = parts.shape[2]
    chunk_rows = cut(width)[0] // width
    merged = np.zeros((2, width), np.float64)
    for number in range(len(parts)):
        share = min(chunk_rows, n_rows - number * chunk_rows) / n_rows
        for channel in range(width):
            merged[0, channel] += parts[number, 0, channel] * share
    for number in range(len(parts)):
        rows = min(chunk_rows, n_rows - number * chunk_rows)
        for channel in range(width):
            off = parts[number, 0, channel] - merged[0, channel]
            merged[1, channel] += parts[number, 1, channel] + rows * off * off
    return merged


@compiled
def _settle(run: Forward, parts: Float64) -> None:
    """Fill the statistics; the running ones follow where the batch's count."""
    width, n_rows = run.width, run.n_rows
    weight, bias = floats(run.weight, width), floats(run.bias, width)
    mean, variance = floats(run.running_mean, width), floats(run.running_variance, width)
    statistics = floats(run.statistics, N_STATISTICS * width).reshape(N_STATISTICS, width)
    if run.learns and run.n_batches:
        counter(run.n_batches)[0] += 1
    if run.learns:
        merged = _merge_moments(parts, n_rows)
        for channel in range(width):
            unbiased = merged[1, channel] / (n_rows - 1)
            mean[channel] += run.momentum * (merged[0, channel] - mean[channel])
            variance[channel] += run.momentum * (unbiased - variance[channel])
            biased = merged[1, channel] / n_rows
            statistics[MEAN, channel] = merged[0, channel]
            statistics[INVERSE, channel] = 1.0 / np.sqrt(biased + run.epsilon)
    else:
        for channel in range(width):
            spread = variance[channel] + np.float32(run.epsilon)
            statistics[MEAN, channel] = mean[channel]
            statistics[INVERSE, channel] = np.float32(1.0) / np.sqrt(spread)
    for channel in range(width):
        statistics[SCALE, channel] = statistics[INVERSE, channel] * weight[channel]
        statistics[SHIFT, channel] = (
            bias[channel] - statistics[MEAN, channel] * statistics[SCALE, channel]
        )


@compiled
def _write(
    x: Float32, beside: Float32, floor: float, scale: Float32, shift: Float32, out: Float32
) -> None:
    """``out = max(x * scale + shift + beside, floor)``; NaN stays NaN."""
    least, tile = np.float32(floor), len(scale)
    # Apart from what is written: were both one array, the loop would go value by value.
    values = np.empty(tile, np.float32)
    for begin in range(0, len(x), tile):
        given, result = x[begin : begin + tile], out[begin : begin + tile]
        for j in range(len(given)):
            values[j] = given[j] * scale[j] + shift[j]
        if len(beside) > 0:
            more = beside[begin : begin + tile]
            for j in range(len(more)):
                values[j] += more[j]
        for j in range(len(result)):
            result[j] = least if values[j] <= least else values[j]


@compiled
def forward(phase: int, first: int, last: int, parts: Float64, *run_: Any) -> None:
    """One phase of a `Forward`.

    Args:
        phase: What to do now.
        first: First chunk, for `SUM` and `WRITE`.
        last: One past the last.
        parts: (chunks, 2, width), kept between phases; of any size for `WHOLE`.
        *run_: All there is to do, field by field: a named tuple takes longer to hand over.
    """
    run = Forward(*run_)
    width, n_values = run.width, run.n_rows * run.width
    x = floats(run.x, n_values)
    if phase == WHOLE:
        first, last = 0, n_chunks(run.n_rows, width)
        parts = np.empty((last, 2, width), np.float64)
    if run.learns and phase in (WHOLE, SUM):
        _sum_moments(x, width, first, last, parts)
    if phase in (WHOLE, SETTLE):
        _settle(run, parts)
    if phase in (WHOLE, WRITE):
        size, tile = cut(width)
        begin, end = first * size, min(last * size, n_values)
        statistics = floats(run.statistics, N_STATISTICS * width).reshape(N_STATISTICS, width)
        beside, out = floats(run.beside, n_values), floats(run.out, n_values)
        scale, shift = tiled(statistics[SCALE], tile), tiled(statistics[SHIFT], tile)
        _write(x[begin:end], beside[begin:end], run.floor, scale, shift, out[begin:end])
