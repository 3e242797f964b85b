"""How the points of a batch read what a student knows per cell: Student -> method.

Offers `Cells`, a student's answer, and `OneCell`, the reading of networks that answer per voxel.
A network that answers otherwise, such as with a bird's-eye map, brings a `Readout` of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lima_bench.lima.take import take_rows


class Readout(Protocol):
    """Says which cells each row of the student's input reads."""

    def read(
        self, values: Float[Tensor, "cells width"], rows: Int[Tensor, " wanted"]
    ) -> Float[Tensor, "wanted width"]:
        """What these rows read of any values kept per cell."""

    def one_cell(self, rows: Int[Tensor, " wanted"]) -> Int[Tensor, " wanted"] | None:
        """The cell of each row, where every row reads exactly one; else None."""


@dataclass(frozen=True)
class OneCell:
    """Every row reads the voxel that it fell in.

    Attributes:
        inverse: For each row, its cell.
    """

    inverse: Int[Tensor, " rows"]

    def read(
        self, values: Float[Tensor, "cells width"], rows: Int[Tensor, " wanted"]
    ) -> Float[Tensor, "wanted width"]:
        """The values of their voxels."""
        return take_rows(values, self.inverse[rows])

    def one_cell(self, rows: Int[Tensor, " wanted"]) -> Int[Tensor, " wanted"]:
        """Their voxels."""
        return self.inverse[rows]


@dataclass(frozen=True)
class Cells:
    """What a student says of a batch.

    Attributes:
        features: One feature per cell.
        readout: How rows read values kept per cell.
    """

    features: Float[Tensor, "cells width"]
    readout: Readout

    def at(
        self, values: Float[Tensor, "cells width"], rows: Int[Tensor, " wanted"]
    ) -> Float[Tensor, "wanted width"]:
        """What `rows` read of `values`: of the features, or of anything made of them per cell."""
        return self.readout.read(values, rows)

    def addressed(
        self, rows: Int[Tensor, " wanted"]
    ) -> tuple[Float[Tensor, "table width"], Int[Tensor, " wanted"]]:
        """A table of features and the place of each row in it.

        For those who go over many rows in parts: where a row reads one cell nothing is copied.
        """
        cell = self.readout.one_cell(rows)
        if cell is not None:
            return self.features, cell
        return self.at(self.features, rows), torch.arange(len(rows), device=rows.device)
