"""Projection heads from the student to the teacher's width: Cells -> head -> distances.

Offers `projection_head`, a linear layer or, where there are hidden layers, an `Mlp`, and
`head_distances`, which holds either against a teacher's features. Hidden layers see each cell that
is read once, however many points and cameras read it; the last layer's output is never there whole
(`lima_bench.lima.projection`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from lima_bench.lima.backbones.sparse.norm import BatchNorm
from lima_bench.lima.losses import DistanceKind
from lima_bench.lima.projection import projected_distances
from lima_bench.lima.readout import Cells
from lima_bench.lima.take import take_rows


class Mlp(nn.Module):
    """Linear layers with ReLU between them.

    Args:
        width: Of the student's features.
        hidden: Widths of the hidden layers, at least one.
        out: The teacher's width.
        norm: Whether batch normalisation stands before each ReLU.
    """

    def __init__(
        self, width: int, hidden: Sequence[int], out: int, *, norm: Literal["bn", "none"]
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in zip((width, *hidden), hidden, strict=False):
            layers += [nn.Linear(before, after), *([BatchNorm(after)] * (norm == "bn")), nn.ReLU()]
        self.hidden = nn.Sequential(*layers)
        self.last = nn.Linear(hidden[-1], out)

    def forward(self, features: Float[Tensor, "rows width"]) -> Float[Tensor, "rows out"]:
        """The projection of every row."""
        projected: Tensor = self.last(self.hidden(features))
        return projected


def projection_head(
    width: int, hidden: Sequence[int], out: int, *, norm: Literal["bn", "none"] = "none"
) -> nn.Linear | Mlp:
    """One linear layer, or an `Mlp` if there are hidden layers; arguments as there."""
    return Mlp(width, hidden, out, norm=norm) if hidden else nn.Linear(width, out)


def head_distances(
    head: nn.Linear | Mlp,
    cells: Cells,
    rows: Int[Tensor, " meetings"],
    targets: Float[Tensor, "targets wide"],
    met: Int[Tensor, " meetings"],
    kind: DistanceKind,
) -> Float[Tensor, " meetings"]:
    """Distance of each row's projected feature to its target; see `projected_distances`.

    Args:
        head: From the student's width to the teacher's.
        cells: What the student says.
        rows: Rows of the student's input.
        targets: Brought to unit length in place.
        met: The target of each row.
        kind: Of distance.
    """
    table, places = cells.addressed(rows)
    if isinstance(head, nn.Linear):
        return projected_distances(table, places, head, targets, met, kind)
    read, places = torch.unique(places, return_inverse=True)
    return projected_distances(
        head.hidden(take_rows(table, read)), places, head.last, targets, met, kind
    )
