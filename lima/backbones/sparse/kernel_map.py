"""Which input row meets which output row under which weight: one structure for every engine.

Offers `KernelMap` and what it derives for engines that walk lists of pairs: `PairBlock`.

Order of a kernel's weights (MinkowskiEngine's): the first spatial axis runs fastest,
``k = i0 + K * i1 + K * K * i2``. A kernel of 3 reaches from -1 to 1, a kernel of 2 from 0 to 1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import torch
from jaxtyping import Int
from torch import Tensor


@dataclass(frozen=True, eq=False)
class PairBlock:
    """All pairs of a range of output rows, sorted by weight, then output row.

    Attributes:
        start: First output row of the block.
        stop: One past the last.
        rows_in: Input row of each pair, int32.
        rows_out: Output row of each pair, int32.
        counts: Number of pairs under each weight.
        by_output: Positions of the pairs in this block, sorted by output row, int32.
        output_starts: For each row of the block, where it begins in `by_output`, and the end.
    """

    start: int
    stop: int
    rows_in: Int[Tensor, " pairs"]
    rows_out: Int[Tensor, " pairs"]
    counts: tuple[int, ...]
    by_output: Int[Tensor, " pairs"]
    output_starts: Int[Tensor, " rows_plus_one"]


@dataclass(frozen=True, eq=False)
class KernelMap:
    """The neighbours of every output row; immutable, shared by all layers on the same levels.

    Attributes:
        table: For each output row and weight the input row, or -1; int32.
        n_in: Number of input rows.
        symmetric: Whether the transposed map is this one with its weights in reverse order, as in
            submanifold convolution.
    """

    table: Int[Tensor, "out K"]
    n_in: int
    symmetric: bool = False
    _blocks: dict[int, tuple[PairBlock, ...]] = field(default_factory=dict, init=False, repr=False)

    @property
    def n_out(self) -> int:
        """Number of output rows."""
        return len(self.table)

    @cached_property
    def transposed(self) -> KernelMap:
        """The map that carries output rows back to input rows, weight by weight."""
        if self.symmetric:
            return KernelMap(self.table.flip(1), self.n_out, symmetric=True)
        rows, weights = (self.table >= 0).nonzero(as_tuple=True)
        table = self.table.new_full((self.n_in, self.table.shape[1]), -1)
        table[self.table[rows, weights].long(), weights] = rows.to(table.dtype)
        return KernelMap(table, self.n_out)

    def blocks(self, rows_per_block: int) -> tuple[PairBlock, ...]:
        """The pairs, cut into blocks of output rows; built on first use."""
        found = self._blocks.get(rows_per_block)
        if found is None:
            starts = range(0, self.n_out, rows_per_block)
            found = tuple(
                _pair_block(self.table[start : start + rows_per_block], start) for start in starts
            )
            self._blocks[rows_per_block] = found
        return found


def _pair_block(table: Int[Tensor, "rows K"], start: int) -> PairBlock:
    """List the pairs of `table`, whose first row is output row `start`."""
    n_rows, n_weights = table.shape
    flat = table.reshape(-1)
    cells = (flat >= 0).nonzero().squeeze(1)
    rows = cells // n_weights
    weights = cells - rows * n_weights
    # One byte per weight makes the stable sort a single counting pass.
    order = weights.to(torch.uint8).sort(stable=True).indices
    positions = torch.arange(len(order), dtype=torch.int32, device=order.device)
    return PairBlock(
        start=start,
        stop=start + n_rows,
        rows_in=flat.index_select(0, cells.index_select(0, order)),
        rows_out=(rows.index_select(0, order) + start).to(torch.int32),
        counts=tuple(torch.bincount(weights, minlength=n_weights).tolist()),
        by_output=torch.empty_like(positions).scatter_(0, order, positions),
        output_starts=_starts(rows, n_rows),
    )


def _starts(rows: Int[Tensor, " pairs"], n_rows: int) -> Int[Tensor, " rows_plus_one"]:
    """Where each row begins in the ascending list `rows`, and its length."""
    starts = torch.zeros(n_rows + 1, dtype=torch.int32, device=rows.device)
    torch.cumsum(torch.bincount(rows, minlength=n_rows), 0, dtype=torch.int32, out=starts[1:])
    return starts
