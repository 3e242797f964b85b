"""How the points of a batch read what a student knows per cell: Student -> method.

Offers `Cells`, a student's answer, `OneCell`, the reading of networks that answer per voxel, and
`Bilinear`, that of networks that answer by a map. A network that answers otherwise brings a
`Readout` of its own.
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
class Bilinear:
    """Every row reads the four cells around it, each by its share; cells that are absent are 0.

    Attributes:
        cells: For each row, four cells; -1 where there is none.
        shares: For each row, the four shares, which sum to 1.
    """

    cells: Int[Tensor, "rows 4"]
    shares: Float[Tensor, "rows 4"]

    @classmethod
    def of(
        cls,
        table: Int[Tensor, "clouds width height"],
        cloud: Int[Tensor, " rows"],
        places: Float[Tensor, "rows 2"],
    ) -> Bilinear:
        """Rows at `places` of a map, in cells, whole numbers on cells; beyond its border, on it.

        Args:
            table: The cell at each place of each cloud's map, -1 for none.
            cloud: The cloud of each row.
            places: Along the first and second axis of a map.
        """
        _, width, height = table.shape
        left, right = _between(places[:, 0], width)
        low, high = _between(places[:, 1], height)
        beside, above = (left + 1).clamp(max=width - 1), (low + 1).clamp(max=height - 1)
        corners = ((left, low), (left, above), (beside, low), (beside, above))
        shares = ((1 - right) * (1 - high), (1 - right) * high, right * (1 - high), right * high)
        cells = torch.stack([table[cloud, x, y] for x, y in corners], dim=1)
        return cls(cells, torch.stack(shares, dim=1))

    def read(
        self, values: Float[Tensor, "cells width"], rows: Int[Tensor, " wanted"]
    ) -> Float[Tensor, "wanted width"]:
        """What lies at their places, interpolated."""
        padded = torch.cat((values, values.new_zeros(1, values.shape[1])))
        cells, shares = self.cells[rows], self.shares[rows].to(values.dtype)
        cells = torch.where(cells < 0, len(values), cells)
        found = values.new_zeros(len(rows), values.shape[1])
        for corner in range(4):
            taken = take_rows(padded, cells[:, corner].contiguous())
            found = found + taken * shares[:, corner, None]
        return found

    def one_cell(self, rows: Int[Tensor, " wanted"]) -> None:
        """No row reads just one."""


def _between(place: Tensor, n_cells: int) -> tuple[Tensor, Tensor]:
    """The cell before each place along one axis, and the share of the cell after it."""
    place = place.clamp(0, n_cells - 1)
    cell = place.floor().clamp(max=max(n_cells - 2, 0))
    return cell.long(), place - cell


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
