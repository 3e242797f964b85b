"""The inner loops of batch normalisation on the CPU, compiled: sums over chunks, then one pass.

Offers, in the order of their use, `moments`, `learnt`, `normalise`, `normalise_onto`,
`gradient_sums`, `balanced` and `gradients`, and `chunk_rows`. A chunk is a fixed number of rows; each chunk is summed on
its own and the chunks in their order, so nothing depends on who computes which. Within a chunk,
several rows lie side by side in a *tile*, so that narrow features fill the registers too. No loop
may be reordered or fused by the compiler: every machine computes the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt

from lima_bench.datasets.sample import Float32, Float64

F = TypeVar("F", bound=Callable[..., Any])

CHUNK_VALUES = 8192
"""Values of a chunk of narrow features: they stay in the first cache for the second look."""

CHUNK_ROWS = 128
"""Rows of a chunk of wide features, which then stay in the second cache."""

TILE = 64
"""Values that a tile holds at least."""


def _compiled(function: F) -> F:
    options: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}
    return cast(F, numba.njit(**options)(function))


@_compiled
def _rows_of_tile(width: int) -> int:
    return max(1, TILE // width)


@_compiled
def chunk_rows(width: int) -> int:
    """Rows of a chunk of features of this width: whole tiles."""
    together = _rows_of_tile(width)
    return max(CHUNK_ROWS, CHUNK_VALUES // width) // together * together


@_compiled
def _tiled(values: npt.NDArray[Any], tile: int) -> Float32:
    """One value per channel, repeated along a tile."""
    out = np.empty(tile, np.float32)
    width = len(values)
    for start in range(0, tile, width):
        for channel in range(width):
            out[start + channel] = values[channel]
    return out


@_compiled
def _fold(tile: Float32, out: Float64) -> None:
    """Sum the rows that lie side by side in a tile; the tile is zero again."""
    out[:] = 0.0
    width = len(out)
    for start in range(0, len(tile), width):
        for channel in range(width):
            out[channel] += np.float64(tile[start + channel])
    tile[:] = np.float32(0.0)


@_compiled
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


@_compiled
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


@_compiled
def moments(x: Float32, out: Float64, start: int, stop: int) -> None:
    """Mean and sum of squared distances from it, of each of the chunks `start` to `stop`.

    Args:
        x: (rows, width).
        out: (chunks, 2, width), filled.
        start: First chunk.
        stop: One past the last.
    """
    n_rows, width = x.shape
    flat = x.reshape(-1)
    size = chunk_rows(width) * width
    total = np.zeros(_rows_of_tile(width) * width, np.float32)
    for number in range(start, stop):
        chunk = flat[number * size : min((number + 1) * size, n_rows * width)]
        _add_values(chunk, total)
        _fold(total, out[number, 0])
        out[number, 0] /= len(chunk) // width
        _add_squares(chunk, _tiled(out[number, 0], len(total)), total)
        _fold(total, out[number, 1])


@_compiled
def learnt(
    parts: Float64,
    n_rows: int,
    running: tuple[Float32, Float32],
    momentum: float,
    epsilon: float,
    out: Float32,
) -> None:
    """Statistics of all chunks together (Chan, Golub and LeVeque 1979); the running ones follow.

    Args:
        parts: What `moments` made.
        n_rows: Rows of all chunks, at least 2.
        running: (width,) each, mean and variance, moved towards this batch's (unbiased) ones.
        momentum: How far.
        epsilon: Added to the variance.
        out: (2, width), filled: mean, and one over the (biased) standard deviation.
    """
    width = out.shape[1]
    size = chunk_rows(width)
    mean, squares = np.zeros(width, np.float64), np.zeros(width, np.float64)
    for number in range(len(parts)):
        rows = min(size, n_rows - number * size)
        for channel in range(width):
            mean[channel] += parts[number, 0, channel] * (rows / n_rows)
    for number in range(len(parts)):
        rows = min(size, n_rows - number * size)
        for channel in range(width):
            off = parts[number, 0, channel] - mean[channel]
            squares[channel] += parts[number, 1, channel] + rows * off * off
    for channel in range(width):
        unbiased = squares[channel] / (n_rows - 1)
        running[0][channel] += momentum * (mean[channel] - running[0][channel])
        running[1][channel] += momentum * (unbiased - running[1][channel])
        out[0, channel] = mean[channel]
        out[1, channel] = 1.0 / np.sqrt(squares[channel] / n_rows + epsilon)


@_compiled
def normalise(
    x: Float32,
    scale: Float32,
    shift: Float32,
    floor: float,
    out: Float32,
    start: int,
    stop: int,
) -> None:
    """``out = max(x * scale + shift, floor)`` for the chunks `start` to `stop`; NaN stays NaN.

    Args:
        x: (rows, width).
        scale: (width,).
        shift: (width,).
        floor: 0 for ReLU, minus infinity for none.
        out: (rows, width), filled; may be `x`.
        start: First chunk.
        stop: One past the last.
    """
    n_rows, width = x.shape
    size, tile = chunk_rows(width) * width, _rows_of_tile(width) * width
    flat, out = x.reshape(-1), out.reshape(-1)
    scale, shift, least = _tiled(scale, tile), _tiled(shift, tile), np.float32(floor)
    # Read apart from what is written: were they one array, the loop would run value by value.
    values = np.empty(tile, np.float32)
    for begin in range(start * size, min(stop * size, n_rows * width), tile):
        given, result = flat[begin : begin + tile], out[begin : begin + tile]
        for j in range(len(given)):
            values[j] = given[j]
        for j in range(len(result)):
            value = values[j] * scale[j] + shift[j]
            result[j] = least if value <= least else value


@_compiled
def normalise_onto(
    x: Float32,
    scale: Float32,
    shift: Float32,
    floor: float,
    beside: Float32,
    out: Float32,
    start: int,
    stop: int,
) -> None:
    """``out = max(x * scale + shift + beside, floor)``: see `normalise`.

    Args:
        x: (rows, width).
        scale: (width,).
        shift: (width,).
        floor: 0 for ReLU, minus infinity for none.
        beside: (rows, width).
        out: (rows, width), filled; may be `x`.
        start: First chunk.
        stop: One past the last.
    """
    n_rows, width = x.shape
    size, tile = chunk_rows(width) * width, _rows_of_tile(width) * width
    flat, others, out = x.reshape(-1), beside.reshape(-1), out.reshape(-1)
    scale, shift, least = _tiled(scale, tile), _tiled(shift, tile), np.float32(floor)
    values = np.empty(tile, np.float32)
    for begin in range(start * size, min(stop * size, n_rows * width), tile):
        end = begin + tile
        given, more, result = flat[begin:end], others[begin:end], out[begin:end]
        for j in range(len(given)):
            values[j] = (given[j] * scale[j] + shift[j]) + more[j]
        for j in range(len(result)):
            result[j] = least if values[j] <= least else values[j]


@_compiled
def gradient_sums(
    x: Float32,
    mean: Float32,
    gate: Float32,
    floor: float,
    grad: Float32,
    out: Float64,
    start: int,
    stop: int,
) -> None:
    """Sums of gradients, and of gradients times ``x - mean``, of the chunks `start` to `stop`.

    Args:
        x: (rows, width), what was normalised.
        mean: (width,).
        gate: (rows, width); a gradient counts where it is above `floor`.
        floor: 0 where `gate` is the output of a ReLU, minus infinity where all count.
        grad: (rows, width), of the output.
        out: (chunks, 2, width), filled.
        start: First chunk.
        stop: One past the last.
    """
    n_rows, width = x.shape
    size, tile = chunk_rows(width) * width, _rows_of_tile(width) * width
    flat, gates, grads = x.reshape(-1), gate.reshape(-1), grad.reshape(-1)
    mean, least, zero = _tiled(mean, tile), np.float32(floor), np.float32(0.0)
    total, product = np.zeros(tile, np.float32), np.zeros(tile, np.float32)
    for number in range(start, stop):
        for begin in range(number * size, min((number + 1) * size, n_rows * width), tile):
            end = begin + tile
            values, open_, given = flat[begin:end], gates[begin:end], grads[begin:end]
            for j in range(len(values)):
                passed = zero if open_[j] <= least else given[j]
                total[j] += passed
                product[j] += passed * (values[j] - mean[j])
        _fold(total, out[number, 0])
        _fold(product, out[number, 1])


@_compiled
def balanced(
    parts: Float64, n_rows: int, statistics: Float32, weight: Float32, coefficients: Float32
) -> None:
    """Sums over all chunks, and what makes a gradient blind to shift and scale of the batch.

    Args:
        parts: What `gradient_sums` made.
        n_rows: Rows of all chunks.
        statistics: As `learnt` left them.
        weight: (width,).
        coefficients: (5, width), filled: the three that `gradients` takes, then the gradients of
            weight and bias.
    """
    width = len(weight)
    total, product = np.zeros(width, np.float64), np.zeros(width, np.float64)
    for number in range(len(parts)):
        for channel in range(width):
            total[channel] += parts[number, 0, channel]
            product[channel] += parts[number, 1, channel]
    for channel in range(width):
        inverse = np.float64(statistics[1, channel])
        coefficients[0, channel] = total[channel] / n_rows
        coefficients[1, channel] = product[channel] * inverse * inverse / n_rows
        coefficients[2, channel] = inverse * weight[channel]
        coefficients[3, channel] = product[channel] * inverse
        coefficients[4, channel] = total[channel]


@_compiled
def gradients(
    x: Float32,
    mean: Float32,
    gate: Float32,
    floor: float,
    grad: Float32,
    coefficients: Float32,
    grad_x: Float32,
    grad_beside: Float32,
    start: int,
    stop: int,
) -> None:
    """Gradients of `x` and of what was added, for the chunks `start` to `stop`.

    ``grad_x = (passed - c0 - (x - mean) * c1) * c2``, where ``passed`` is the gradient that came
    through the gate.

    Args:
        x: As in `gradient_sums`.
        mean: As there.
        gate: As there.
        floor: As there.
        grad: As there.
        coefficients: As `balanced` left them.
        grad_x: (rows, width), filled.
        grad_beside: (rows, width), filled with ``passed``; without rows if it is not wanted.
        start: First chunk.
        stop: One past the last.
    """
    n_rows, width = x.shape
    size, tile = chunk_rows(width) * width, _rows_of_tile(width) * width
    flat, gates, grads = x.reshape(-1), gate.reshape(-1), grad.reshape(-1)
    grad_x, kept, keep = grad_x.reshape(-1), grad_beside.reshape(-1), len(grad_beside) > 0
    mean, least, zero = _tiled(mean, tile), np.float32(floor), np.float32(0.0)
    first, second = _tiled(coefficients[0], tile), _tiled(coefficients[1], tile)
    third = _tiled(coefficients[2], tile)
    passed = np.empty(tile, np.float32)
    for begin in range(start * size, min(stop * size, n_rows * width), tile):
        end = begin + tile
        values, open_, given, result = (
            flat[begin:end],
            gates[begin:end],
            grads[begin:end],
            grad_x[begin:end],
        )
        for j in range(len(values)):
            passed[j] = zero if open_[j] <= least else given[j]
        for j in range(len(values)):
            centred = values[j] - mean[j]
            result[j] = (passed[j] - first[j] - centred * second[j]) * third[j]
        if keep:
            beside = kept[begin:end]
            for j in range(len(beside)):
                beside[j] = passed[j]
