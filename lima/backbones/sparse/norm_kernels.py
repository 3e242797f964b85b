"""The inner loops of batch normalisation on the CPU, compiled: a pass of sums, a pass of results.

Offers `forward` and `backward`, each in phases, and `n_chunks`. Rows are cut into chunks of a size
that depends on their width alone; each chunk is summed on its own and the chunks in their order, so
nothing depends on who computes which. Within a chunk several rows lie side by side in a *tile*, so
that narrow features fill the vectors too. No loop may be reordered or fused by the compiler: every
machine computes the same bits.

Everything comes as addresses, since wrapping a dozen tensors as arrays would take as long as a
layer of a small network. All is float32 and C-contiguous: (rows, width) or (width,).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from lima_bench.datasets.sample import Float32, Float64
from lima_bench.lima.compiled import compiled

CHUNK_VALUES = 8192
"""Values of a chunk of narrow features: they stay in the first cache for the second look."""

CHUNK_ROWS = 128
"""Rows of a chunk of wide features, which then stay in the second cache."""

TILE_VALUES = 128
"""Values that a tile holds at least."""

WHOLE, SUM, SETTLE, WRITE = range(4)
"""Phases: all of them on one thread; or sums of a range of chunks, then what follows from all sums
together, then results of a range of chunks."""


MEAN, INVERSE, SCALE, SHIFT, SHARE, SLOPE = range(6)
"""Statistics: mean, one over the deviation, the factor and the summand that follow from them; and
of the gradient its mean, and its slope over ``x - mean``."""

N_STATISTICS = 6


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


def _emit_pointer(_: Any, address: Any) -> Any:
    def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.voidptr(address), emit


_pointer: Any = intrinsic(_emit_pointer)
_array_at: Any = numba.carray  # type: ignore[attr-defined]


@compiled
def _floats(address: int, size: int) -> Float32:
    array: Float32 = _array_at(_pointer(address), (size if address else 0,), np.float32)
    return array


@compiled
def _cut(width: int) -> tuple[int, int]:
    """Values of a chunk (whole tiles) and of a tile (whole rows)."""
    rows = max(1, TILE_VALUES // width)
    chunk_rows = max(CHUNK_ROWS, CHUNK_VALUES // width) // rows * rows
    return chunk_rows * width, rows * width


@compiled
def n_chunks(n_rows: int, width: int) -> int:
    """Chunks of features of this shape; the last may be shorter."""
    return -(-n_rows * width // _cut(width)[0])


@compiled
def _tiled(values: Float32, tile: int) -> Float32:
    """One value per channel, repeated along a tile."""
    out = np.empty(tile, np.float32)
    width = len(values)
    for start in range(0, tile, width):
        for channel in range(width):
            out[start + channel] = values[channel]
    return out


@compiled
def _fold(tile: Float32, out: Float64) -> None:
    """Sum the rows that lie side by side in a tile; the tile is zero again."""
    width = len(out)
    for channel in range(width):
        out[channel] = 0.0
    for start in range(0, len(tile), width):
        for channel in range(width):
            out[channel] += np.float64(tile[start + channel])
            tile[start + channel] = np.float32(0.0)


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
    size, tile = _cut(width)
    total, centre = np.zeros(tile, np.float32), np.empty(width, np.float32)
    for number in range(first, last):
        chunk = x[number * size : min((number + 1) * size, len(x))]
        mean, squares = parts[number, 0], parts[number, 1]
        _add_values(chunk, total)
        _fold(total, mean)
        for channel in range(width):
            mean[channel] /= len(chunk) // width
            centre[channel] = mean[channel]
        _add_squares(chunk, _tiled(centre, tile), total)
        _fold(total, squares)


@compiled
def _merge_moments(parts: Float64, n_rows: int) -> Float64:
    """(2, width): mean and sum of squares over all chunks (Chan, Golub and LeVeque 1979)."""
    width = parts.shape[2]
    chunk_rows = _cut(width)[0] // width
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
    weight, bias = _floats(run.weight, width), _floats(run.bias, width)
    mean, variance = _floats(run.running_mean, width), _floats(run.running_variance, width)
    statistics = _floats(run.statistics, N_STATISTICS * width).reshape(N_STATISTICS, width)
    if run.learns and run.n_batches:
        _array_at(_pointer(run.n_batches), (1,), np.int64)[0] += 1
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
    x = _floats(run.x, n_values)
    if phase == WHOLE:
        first, last = 0, n_chunks(run.n_rows, width)
        parts = np.empty((last, 2, width), np.float64)
    if run.learns and phase in (WHOLE, SUM):
        _sum_moments(x, width, first, last, parts)
    if phase in (WHOLE, SETTLE):
        _settle(run, parts)
    if phase in (WHOLE, WRITE):
        size, tile = _cut(width)
        begin, end = first * size, min(last * size, n_values)
        statistics = _floats(run.statistics, N_STATISTICS * width).reshape(N_STATISTICS, width)
        beside, out = _floats(run.beside, n_values), _floats(run.out, n_values)
        scale, shift = _tiled(statistics[SCALE], tile), _tiled(statistics[SHIFT], tile)
        _write(x[begin:end], beside[begin:end], run.floor, scale, shift, out[begin:end])


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
    size, tile = _cut(parts.shape[2])
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
        _fold(total, parts[number, 0])
        _fold(product, parts[number, 1])


@compiled
def _balance(run: Backward, parts: Float64) -> None:
    """What makes the gradient blind to shift and scale of the batch; those of weight and bias."""
    width, n_rows = run.width, run.n_rows
    statistics = _floats(run.statistics, N_STATISTICS * width).reshape(N_STATISTICS, width)
    grad_weight, grad_bias = _floats(run.grad_weight, width), _floats(run.grad_bias, width)
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
    x, gate = _floats(run.x, n_values), _floats(run.gate, n_values)
    grad = _floats(run.grad_out, n_values)
    statistics = _floats(run.statistics, N_STATISTICS * width).reshape(N_STATISTICS, width)
    size, tile = _cut(width)
    if phase == WHOLE:
        first, last = 0, n_chunks(run.n_rows, width)
        parts = np.empty((last, 2, width), np.float64)
    if phase in (WHOLE, SUM):
        mean = _tiled(statistics[MEAN], tile)
        _sum_gradients(x, gate, run.floor, grad, mean, first, last, parts)
    if phase in (WHOLE, SETTLE):
        _balance(run, parts)
    if phase in (WHOLE, WRITE):
        begin, end = first * size, min(last * size, n_values)
        tiles = np.empty((N_STATISTICS, tile), np.float32)
        for row in range(N_STATISTICS):
            tiles[row] = _tiled(statistics[row], tile)
        _write_gradients(
            x[begin:end],
            gate[begin:end],
            run.floor,
            grad[begin:end],
            tiles,
            _floats(run.grad_x, n_values)[begin:end],
            _floats(run.grad_beside, n_values)[begin:end],
        )
