"""Gradients of batch normalisation on the CPU, compiled: a pass of sums, a pass of results.

Offers `backward`, in phases, and `Backward`, what it takes. See
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
    SHARE,
    SLOPE,
    SUM,
    WHOLE,
    WRITE,
    cut,
    floats,
    fold,
    n_chunks,
    tiled,
)

compiled = compiler([norm_tiles.__file__])


class Backward(NamedTuple):
    """What `backward` fills: the gradients of what `forward` took, where it learnt.

    Attributes:
        n_rows: Rows.
        width: Channels.
        x: What was normalised.
        gate: The output of a ReLU: where it is 0, no gradient passes. Without one, anything.
        statistics: As `forward` left them; the other two are filled.
        grad_out: Of the output.
        grad_x: Filled.
        grad_beside: Filled; 0 if it is not wanted.
        grad_weight: (width,), filled.
        grad_bias: (width,), filled.
        floor: As in `Forward`.
    """

    n_rows: int
    width: int
    x: int
    gate: int
    statistics: int
    grad_out: int
    grad_x: int
    grad_beside: int
    grad_weight: int
    grad_bias: int
    floor: float


@compiled
def _sum_gradients(
    x: Float32,
    gate: Float32,
    floor: float,
    grad: Float32,
    mean: Float32,
    first: int,
    last: int,
    parts: Float64,
) -> None:
    """Of each chunk, the sum of gradients, and of gradients times ``x - mean``."""
    size, tile = cut(parts.shape[2])
    least, zero = np.float32(floor), np.float32(0.0)
    total, product = np.zeros(tile, np.float32), np.zeros(tile, np.float32)
    for number in range(first, last):
        stop = min((number + 1) * size, len(x))
        whole = number * size + (stop - number * size) // (2 * tile) * (2 * tile)
        for begin in range(number * size, whole, 2 * tile):
            middle, end = begin + tile, begin + 2 * tile
            x0, gate0, grad0 = x[begin:middle], gate[begin:middle], grad[begin:middle]
            x1, gate1, grad1 = x[middle:end], gate[middle:end], grad[middle:end]
            for j in range(tile):
                passed = zero if gate0[j] <= least else grad0[j]
                other = zero if gate1[j] <= least else grad1[j]
                total[j] += passed + other
                product[j] += passed * (x0[j] - mean[j]) + other * (x1[j] - mean[j])
        for begin in range(whole, stop, tile):
            end = min(begin + tile, stop)
            x0, gate0, grad0 = x[begin:end], gate[begin:end], grad[begin:end]
            for j in range(len(x0)):
                passed = zero if gate0[j] <= least else grad0[j]
                total[j] += passed
                product[j] += passed * (x0[j] - mean[j])
        fold(total, parts[number, 0])
        fold(product, parts[number, 1])


@compiled
def _balance(run: Backward, parts: Float64) -> None:
    """What makes the gradient blind to shift and scale of the batch; those of weight and bias."""
    width, n_rows = run.width, run.n_rows
    statistics = floats(run.statistics, N_STATISTICS * width).reshape(N_STATISTICS, width)
    grad_weight, grad_bias = floats(run.grad_weight, width), floats(run.grad_bias, width)
    totals = np.zeros((2, width), np.float64)
    for number in range(len(parts)):
        for which in range(2):
            for channel in range(width):
                totals[which, channel] += parts[number, which, channel]
    for channel in range(width):
        inverse = np.float64(statistics[INVERSE, channel])
        grad_weight[channel] = totals[1, channel] * inverse
        grad_bias[channel] = totals[0, channel]
        statistics[SHARE, channel] = totals[0, channel] / n_rows
        statistics[SLOPE, channel] = totals[1, channel] * inverse * inverse / n_rows


@compiled
def _write_gradients(
    x: Float32,
    gate: Float32,
    floor: float,
    grad: Float32,
    tiles: Float32,
    grad_x: Float32,
    grad_beside: Float32,
) -> None:
    """``grad_x = (passed - share - (x - mean) * slope) * scale`` and ``grad_beside = passed``.

    Args:
        x: Some rows.
        gate: As many; a gradient passes where it is above `floor`.
        floor: 0 where `gate` is the output of a ReLU, minus infinity where all pass.
        grad: As many rows, of the output.
        tiles: Every statistic, along a tile.
        grad_x: As many rows, filled.
        grad_beside: As many rows, filled, or none.
    """
    tile = tiles.shape[1]
    mean, scale, share, slope = tiles[MEAN], tiles[SCALE], tiles[SHARE], tiles[SLOPE]
    least, zero = np.float32(floor), np.float32(0.0)
    for begin in range(0, len(x), tile):
        end = begin + tile
        values, open_, given, out = (
            x[begin:end],
            gate[begin:end],
            grad[begin:end],
            grad_x[begin:end],
        )
        if len(grad_beside) > 0:
            kept = grad_beside[begin:end]
            for j in range(len(values)):
                kept[j] = zero if open_[j] <= least else given[j]
            for j in range(len(values)):
                out[j] = (kept[j] - share[j] - (values[j] - mean[j]) * slope[j]) * scale[j]
        else:
            for j in range(len(values)):
                passed = zero if open_[j] <= least else given[j]
                out[j] = (passed - share[j] - (values[j] - mean[j]) * slope[j]) * scale[j]


@compiled
def backward(phase: int, first: int, last: int, parts: Float64, *run_: Any) -> None:
    """One phase of a `Backward`; arguments as in `forward`."""
    run = Backward(*run_)
    width, n_values = run.width, run.n_rows * run.width
    x, gate = floats(run.x, n_values), floats(run.gate, n_values)
    grad = floats(run.grad_out, n_values)
    statistics = floats(run.statistics, N_STATISTICS * width).reshape(N_STATISTICS, width)
    size, tile = cut(width)
    if phase == WHOLE:
        first, last = 0, n_chunks(run.n_rows, width)
        parts = np.empty((last, 2, width), np.float64)
    if phase in (WHOLE, SUM):
        mean = tiled(statistics[MEAN], tile)
        _sum_gradients(x, gate, run.floor, grad, mean, first, last, parts)
    if phase in (WHOLE, SETTLE):
        _balance(run, parts)
    if phase in (WHOLE, WRITE):
        begin, end = first * size, min(last * size, n_values)
        tiles = np.empty((N_STATISTICS, tile), np.float32)
        for row in range(N_STATISTICS):
            tiles[row] = tiled(statistics[row], tile)
        _write_gradients(
            x[begin:end],
            gate[begin:end],
            run.floor,
            grad[begin:end],
            tiles,
            floats(run.grad_x, n_values)[begin:end],
            floats(run.grad_beside, n_values)[begin:end],
        )
