"""Which input row meets which output row under which weight: one structure for every engine.

Offers `KernelMap`, with the two views that engines read, each made when first asked for:
`KernelMap.table`, the neighbours of every output row, and `KernelMap.blocks`, lists of pairs.

Order of a kernel's weights (MinkowskiEngine's): the first spatial axis runs fastest,
``k = i0 + K * i1 + K * K * i2``. A kernel of 3 reaches from -1 to 1, a kernel of 2 from 0 to 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Int
from torch import Tensor

Rows = npt.NDArray[np.int32]

BLOCK_ROWS = 8192
"""Output rows of a block: few enough for the features of its pairs to stay in the cache."""


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
    """The pairs under every weight; immutable, shared by all layers on the same levels.

    Attributes:
        rows_in: Input rows under each weight.
        rows_out: The output rows that they meet, ascending under each weight.
        n_in: Number of input rows.
        n_out: Number of output rows.
        device: Where the views are wanted.
        symmetric: Whether the transposed map is this one with its weights in reverse order, as in
            submanifold convolution.
    """

    rows_in: tuple[Rows, ...]
    rows_out: tuple[Rows, ...]
    n_in: int
    n_out: int
    device: torch.device
    symmetric: bool = False

    @cached_property
    def transposed(self) -> KernelMap:
        """The map that carries output rows back to input rows, weight by weight."""
        return KernelMap(
            self.rows_out, self.rows_in, self.n_out, self.n_in, self.device, self.symmetric
        )

    @cached_property
    def table(self) -> Int[Tensor, "out K"]:
        """For each output row and weight the input row, or -1; int32."""
        table = np.full((self.n_out, len(self.rows_in)), -1, dtype=np.int32)
        for weight, (rows_in, rows_out) in enumerate(zip(self.rows_in, self.rows_out, strict=True)):
            table[rows_out, weight] = rows_in
        return torch.from_numpy(table).to(self.device)

    @cached_property
    def blocks(self) -> tuple[PairBlock, ...]:
        """The pairs, cut into blocks of `BLOCK_ROWS` output rows."""
        edges = np.arange(0, self.n_out + BLOCK_ROWS, BLOCK_ROWS)
        cuts = np.array([np.searchsorted(rows, edges) for rows in self.rows_out])
        return tuple(
            self._block(int(edges[i]), cuts[:, i], cuts[:, i + 1]) for i in range(len(edges) - 1)
        )

    def _block(
        self, start: int, opens: npt.NDArray[np.int64], closes: npt.NDArray[np.int64]
    ) -> PairBlock:
        """The block from output row `start`; its pairs lie between two cuts of each weight's."""
        stop = min(start + BLOCK_ROWS, self.n_out)
        cuts = list(zip(opens, closes, strict=True))
        rows_in, rows_out = (
            np.concatenate([rows[i:j] for rows, (i, j) in zip(lists, cuts, strict=True)])
            for lists in (self.rows_in, self.rows_out)
        )
        local = rows_out - np.int32(start)
        starts = np.zeros(stop - start + 1, dtype=np.int32)
        np.cumsum(np.bincount(local, minlength=stop - start), out=starts[1:])
        # Two bytes hold a row of a block, so that the stable sort is two counting passes.
        by_output = local.astype(np.uint16).argsort(kind="stable").astype(np.int32)
        tensors = (
            torch.from_numpy(rows).to(self.device)
            for rows in (rows_in, rows_out, by_output, starts)
        )
        first, second, third, fourth = tensors
        counts = tuple((closes - opens).tolist())
        return PairBlock(start, stop, first, second, counts, third, fourth)
