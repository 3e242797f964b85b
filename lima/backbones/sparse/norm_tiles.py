"""What the loops of batch normalisation share: addresses, chunks and tiles.

Offers `floats`, `counter`, `cut`, `n_chunks`, `tiled`, `fold`, the phases and the statistics. Rows
are cut into chunks of a size that depends on their width alone; each chunk is summed on its own and
the chunks in their order, so nothing depends on who computes which. Within a chunk several rows lie
side by side in a *tile*, so that narrow features fill the vectors too. No loop may be reordered or
fused by the compiler: every machine computes the same bits.

Everything comes as addresses, since wrapping a dozen tensors as arrays would take as long as a
layer of a small network. All is float32 and C-contiguous: (rows, width) or (width,).
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from lima_bench.datasets.sample import Float32, Float64, Int64
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


def _emit_pointer(_: Any, address: Any) -> Any:
    def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.voidptr(address), emit


_pointer: Any = intrinsic(_emit_pointer)
_array_at: Any = numba.carray  # type: ignore[attr-defined]


@compiled
def floats(address: int, size: int) -> Float32:
    """So many floats from an address on; none where it is 0."""
    array: Float32 = _array_at(_pointer(address), (size if address else 0,), np.float32)
    return array


@compiled
def counter(address: int) -> Int64:
    """The one whole number at an address."""
    array: Int64 = _array_at(_pointer(address), (1,), np.int64)
    return array


@compiled
def cut(width: int) -> tuple[int, int]:
    """Values of a chunk (whole tiles) and of a tile (whole rows)."""
    rows = max(1, TILE_VALUES // width)
    chunk_rows = max(CHUNK_ROWS, CHUNK_VALUES // width) // rows * rows
    return chunk_rows * width, rows * width


@compiled
def n_chunks(n_rows: int, width: int) -> int:
    """Chunks of features of this shape; the last may be shorter."""
    return -(-n_rows * width // cut(width)[0])


@compiled
def tiled(values: Float32, tile: int) -> Float32:
    """One value per channel, repeated along a tile."""
    out = np.empty(tile, np.float32)
    width = len(values)
    for start in range(0, tile, width):
        for channel in range(width):
            out[start + channel] = values[channel]
    return out


@compiled
def fold(tile: Float32, out: Float64) -> None:
    """Sum the rows that lie side by side in a tile; the tile is zero again."""
    width = len(out)
    for channel in range(width):
        out[channel] = 0.0
    for start in range(0, len(tile), width):
        for channel in range(width):
            out[channel] += np.float64(tile[start + channel])
            tile[start + channel] = np.float32(0.0)
