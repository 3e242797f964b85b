"""Which input row meets which output row under which weight: one structure for every engine.

Offers `KernelMap`, made of one `Links` in each direction, and `PairList`, the order in which
engines on the CPU walk them.

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

BLOCK_ROWS = 512
"""Output rows of a block: few enough for their features to stay in the cache of a core."""


@dataclass(frozen=True, eq=False)
class PairList:
    """The pairs of a table, sorted by block of output rows, then weight, then output row.

    Attributes:
        starts: Where the pairs of block ``b`` and weight ``k`` begin, at ``b * K + k``; one more
            entry says where the last ones end. int32.
        rows_in: Input row of each pair, int32.
        rows_out: Output row of each pair, int32.
    """

    starts: Int[Tensor, " runs_plus_one"]
    rows_in: Int[Tensor, " pairs"]
    rows_out: Int[Tensor, " pairs"]

    @classmethod
    def of(cls, table: Int[Tensor, "out K"]) -> PairList:
        """The pairs of `table`, in blocks of `BLOCK_ROWS` output rows."""
        n_out, n_weights = table.shape
        n_blocks = -(-n_out // BLOCK_ROWS)
        padded = table.new_full((n_blocks * BLOCK_ROWS, n_weights), -1)
        padded[:n_out] = table
        runs = padded.view(n_blocks, BLOCK_ROWS, n_weights).transpose(1, 2).contiguous()
        block, _, row = (runs >= 0).nonzero(as_tuple=True)
        ends = (runs >= 0).sum(dim=2).flatten().cumsum(0)
        starts = torch.cat((ends.new_zeros(1), ends)).int()
        return cls(starts, runs[runs >= 0], (block * BLOCK_ROWS + row).int())

    @cached_property
    def arrays(self) -> tuple[Rows, Rows, Rows]:
        """The three as numpy sees them, on the CPU: every layer of a level asks."""
        return self.starts.numpy(), self.rows_in.numpy(), self.rows_out.numpy()

    def table(self, n_out: int, n_weights: int) -> Int[Tensor, "out K"]:
        """The table of these pairs."""
        lengths = self.starts.diff()
        runs = torch.arange(len(lengths), device=lengths.device)
        weights = runs.repeat_interleave(lengths) % n_weights
        table = self.rows_in.new_full((n_out, n_weights), -1)
        table[self.rows_out.long(), weights] = self.rows_in
        return table


@dataclass(frozen=True, eq=False)
class Links:
    """For every output row, the input row that it meets under each weight, as table or as list.

    One of them is given, the other made from it when an engine first asks. A table is several
    times the size of its list, and most of it says that there is nothing.

    Attributes:
        given: The table, or the list of its pairs.
        n_out: Number of output rows.
        n_weights: Number of weights.
    """

    given: Int[Tensor, "out K"] | PairList
    n_out: int
    n_weights: int

    @classmethod
    def of(cls, table: Int[Tensor, "out K"]) -> Links:
        """The links of a table."""
        return cls(table, *table.shape)

    @cached_property
    def table(self) -> Int[Tensor, "out K"]:
        """Input rows, -1 where there is none; int32."""
        if isinstance(self.given, PairList):
            return self.given.table(self.n_out, self.n_weights)
        return self.given

    @cached_property
    def single(self) -> Int[Tensor, " out"]:
        """Where every output row meets one input row under some weight: that row; int32."""
        if isinstance(self.given, PairList):
            rows = self.given.rows_in.new_empty(self.n_out)
            return rows.index_copy_(0, self.given.rows_out.long(), self.given.rows_in)
        return self.given.amax(dim=1)

    @cached_property
    def pairs(self) -> PairList:
        """The table as a list of pairs."""
        return self.given if isinstance(self.given, PairList) else PairList.of(self.given)


@dataclass(frozen=True, eq=False)
class KernelMap:
    """The pairs under every weight; immutable, shared by all layers on the same levels.

    Attributes:
        forward: From input rows to output rows.
        backward: From output rows to input rows, under the same weights. None where it would be
            `forward` with its weights in reverse order, as in submanifold convolution.
    """

    forward: Links
    backward: Links | None = None

    @property
    def symmetric(self) -> bool:
        """Whether the transposed map is this one with its weights in reverse order."""
        return self.backward is None

    @property
    def n_out(self) -> int:
        """Number of output rows."""
        return self.forward.n_out

    @property
    def n_in(self) -> int:
        """Number of input rows."""
        return self.n_out if self.backward is None else self.backward.n_out

    @property
    def table(self) -> Int[Tensor, "out K"]:
        """For each output row and weight the input row, or -1; int32."""
        return self.forward.table

    def must_fit(self, features: Tensor, weight: Tensor) -> None:
        """Refuse operands of other sizes: compiled loops would read past their ends.

        Raises:
            ValueError: They do not fit each other, or this map.
        """
        rows = self.n_in, weight.shape[1] if weight.ndim == 3 else -1
        if tuple(features.shape) != rows or weight.shape[0] != self.forward.n_weights:
            raise ValueError(
                f"features {tuple(features.shape)} and weight {tuple(weight.shape)} do not fit a "
                f"kernel map of {self.n_in} input rows and {self.forward.n_weights} weights"
            )

    @cached_property
    def transposed(self) -> KernelMap:
        """The map that carries output rows back to input rows, weight by weight."""
        if self.backward is not None:
            return KernelMap(self.backward, self.forward)
        return KernelMap(Links.of(self.table.flip(1)), self.forward)
