"""How many directions features really use: finished network -> features -> `rankme`.

Offers `rankme` (Garrido and others, ICML 2023), which needs no labels, `spread_features`, which
gathers what it looks at, and `POINTS`, how much that is.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from lima_bench.lima.api import Batch, Student

POINTS = 25_600
"""With fewer rows the number is not to be trusted, its authors found."""

_FROM_BATCHES = 8
_TINY = 1e-7


def rankme(features: Float[Tensor, "rows width"]) -> float:
    """``exp(-sum p log p)`` with ``p = s / sum(s) + 1e-7`` over the singular values s.

    Between 1, where all rows are multiples of one, and the width, where every direction is as
    strong; 0 where nothing but zeros is there.
    """
    values = torch.linalg.svdvals(features.double())
    total = values.sum()
    if not total > 0:
        return 0.0
    share = values / total + _TINY
    return float(torch.exp(-(share * share.log()).sum()))


@torch.no_grad()
def spread_features(
    student: Student, batches: Iterable[Batch], n_points: int = POINTS
) -> Float[Tensor, "points width"]:
    """Features of points of several batches, evenly spread over the clouds of each.

    Args:
        student: In evaluation mode.
        batches: Taken until there are enough points, or until they end.
        n_points: How many are wanted.
    """
    found = [torch.zeros(0, student.width)]
    wanted = -(-n_points // _FROM_BATCHES)
    for batch in batches:
        n_rows = len(batch.source)
        rows = torch.arange(min(wanted, n_rows), device=batch.source.device)
        cells = student.cells(batch.voxels)
        picked = rows * n_rows // max(len(rows), 1)
        found.append(cells.at(cells.features, picked).float().cpu())
        if sum(map(len, found)) >= n_points:
            break
    return torch.cat(found)
