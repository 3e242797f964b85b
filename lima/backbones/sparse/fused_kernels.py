"""The loops of sparse convolution on a CPU: gather, multiply and scatter in one pass.

Offers `convolve_blocks`, `weight_gradients`, `transposed`, their sizes, and `why_not`. No gathered
copy of the features is ever made. Every sum is made by one thread in a fixed order, so results do
not depend on the number of threads, nor (`tiles`) on the kind of processor.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lima_bench.datasets.compiled import compiler
from lima_bench.lima.backbones.sparse import kernel_map, tiles
from lima_bench.lima.backbones.sparse.kernel_map import BLOCK_ROWS
from lima_bench.lima.backbones.sparse.tiles import (
    LANES,
    OUTER_ROWS,
    TILE_COLUMNS,
    TILE_ROWS,
    call_in,
    gather_narrow,
    gather_wide,
    outer_narrow,
    outer_wide,
    turn_square,
)

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int32]

SLAB = 48
"""Input channels of one task of `weight_gradients`: so many that gradients are read rarely."""

RESTART = 256
"""Pairs after which the sums of a weight's gradient start anew: ten times less rounding."""

AHEAD = 64
"""Pairs between the one in work and the one whose features are called into the cache."""

CACHE_LINE = 16
"""Floats of a cache line."""


def why_not() -> str | None:
    """Why these loops cannot run here, as a sentence; None where they can."""
    if LANES:
        return None
    return "This processor has none of AVX-512, AVX2 with FMA, and NEON."


_compiled = compiler([tiles.__file__, kernel_map.__file__])


@_compiled
def _call_rows_in(x: Floats, width: int, start: int, size: int, rows: Rows, a: int, b: int) -> None:
    """Call `size` features from `start` on of ``rows[a:b]`` into the cache."""
    for pair in range(a, b):
        base = int(rows[pair]) * width + start
        for offset in range(0, size, CACHE_LINE):
            call_in(x, base + offset)


@_compiled
def convolve_blocks(
    first: int,
    last: int,
    starts: Rows,
    rows_in: Rows,
    rows_out: Rows,
    x: Floats,
    weight: Floats,
    c_in: int,
    c_out: int,
    out: Floats,
) -> None:
    """Fill the output rows of blocks first..last-1 of a pair list.

    Args:
        first: First block.
        last: One past the last.
        starts: Of `PairList`, as are `rows_in` and `rows_out`.
        rows_in: Likewise.
        rows_out: Likewise.
        x: Flat [in, c_in].
        weight: Flat [K, c_in, c_out].
        c_in: Input channels.
        c_out: Output channels, a multiple of `LANES`.
        out: Flat [out, c_out], overwritten.
    """
    n_weights = weight.size // (c_in * c_out)
    for block in range(first, last):
        top = min((block + 1) * BLOCK_ROWS * c_out, out.size)
        out[block * BLOCK_ROWS * c_out : top] = 0
        for k in range(n_weights):
            pair = int(starts[block * n_weights + k])
            stop = int(starts[block * n_weights + k + 1])
            tiles = (stop - pair + TILE_ROWS - 1) // TILE_ROWS
            for tile in range(tiles, 0, -1):
                n_rows = (stop - pair + tile - 1) // tile
                near = min(pair + AHEAD, rows_in.size)
                _call_rows_in(x, c_in, 0, c_in, rows_in, near, min(near + n_rows, rows_in.size))
                column = 0
                while column < c_out:
                    at = k * c_in * c_out + column
                    arguments = (x, 0, c_in, rows_in, pair, weight, at, c_out, c_in)
                    into = (out, column, c_out, rows_out, pair)
                    if column + TILE_COLUMNS <= c_out:
                        gather_wide(n_rows, arguments + into)
                        column += TILE_COLUMNS
                    else:
                        gather_narrow(n_rows, arguments + into)
                        column += LANES
                pair += n_rows


@_compiled
def weight_gradients(
    first: int,
    last: int,
    starts: Rows,
    rows_in: Rows,
    rows_out: Rows,
    x: Floats,
    grad: Floats,
    c_in: int,
    c_out: int,
    d_weight: Floats,
) -> None:
    """Fill the gradients of tasks first..last-1; a task is `SLAB` input channels of one weight.

    Args:
        first: First task.
        last: One past the last.
        starts: Of `PairList`, as are `rows_in` and `rows_out`.
        rows_in: Likewise.
        rows_out: Likewise.
        x: Flat [in, c_in].
        grad: Flat [out, c_out], of the output.
        c_in: Input channels.
        c_out: Output channels, a multiple of `LANES`.
        d_weight: Flat [K, c_in, c_out], overwritten.
    """
    n_weights = d_weight.size // (c_in * c_out)
    n_slabs = (c_in + SLAB - 1) // SLAB
    n_blocks = (starts.size - 1) // n_weights
    for task in range(first, last):
        k, low = task // n_slabs, task % n_slabs * SLAB
        height = min(SLAB, c_in - low)
        base = (k * c_in + low) * c_out
        d_weight[base : base + height * c_out] = 0
        for block in range(n_blocks):
            pair = int(starts[block * n_weights + k])
            stop = int(starts[block * n_weights + k + 1])
            if block + 1 < n_blocks:
                # The same weight's pairs of the next block, as far as one piece of work goes.
                a = int(starts[(block + 1) * n_weights + k])
                b = min(int(starts[(block + 1) * n_weights + k + 1]), a + RESTART)
                _call_rows_in(x, c_in, low, height, rows_in, a, b)
                _call_rows_in(grad, c_out, 0, c_out, rows_out, a, b)
            while pair < stop:
                n_pairs = min(stop - pair, RESTART)
                column = 0
                while column < c_out:
                    wide = column + TILE_COLUMNS <= c_out
                    most = TILE_ROWS if wide else OUTER_ROWS
                    row, tiles = 0, (height + most - 1) // most
                    for tile in range(tiles, 0, -1):
                        n_rows = (height - row + tile - 1) // tile
                        arguments = (x, low + row, c_in, rows_in, pair, grad, column, c_out)
                        into = (rows_out, pair, n_pairs, d_weight, base + row * c_out + column)
                        if wide:
                            outer_wide(n_rows, arguments + into + (c_out,))
                        else:
                            outer_narrow(n_rows, arguments + into + (c_out,))
                        row += n_rows
                    column += TILE_COLUMNS if wide else LANES
                pair += n_pairs


@_compiled
def transposed(
    first: int, last: int, weight: Floats, c_in: int, c_out: int, reverse: bool, out: Floats
) -> None:
    """Transpose weights first..last-1, in reverse order if so wanted.

    Args:
        first: First weight.
        last: One past the last.
        weight: Flat [K, c_in, c_out].
        c_in: Input channels.
        c_out: Output channels.
        reverse: Whether weight ``k`` goes to ``K - 1 - k``.
        out: Flat [K, c_out, width], where width, at least c_in, follows from its size; what lies
            beyond c_in is left alone.
    """
    n_weights = weight.size // (c_in * c_out)
    width = out.size // (n_weights * c_out)
    for k in range(first, last):
        target = (n_weights - 1 - k if reverse else k) * c_out * width
        source = k * c_in * c_out
        for row in range(0, c_in, LANES):
            for column in range(0, c_out, LANES):
                at, to = source + row * c_out + column, target + column * width + row
                if row + LANES <= c_in and column + LANES <= c_out:
                    turn_square(1, (weight, at, c_out, out, to, width))
                    continue
                for r in range(min(LANES, c_in - row)):
                    for c in range(min(LANES, c_out - column)):
                        out[to + c * width + r] = weight[at + r * c_out + c]
