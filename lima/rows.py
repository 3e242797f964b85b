"""Which rows of the student's input are copies of which points: Batch -> method.

Offers `row_of_point` (scan views only, for losses over pairs), `row_in_second_look`, `meet` (any
view, for losses over per-point targets) and `rows_of_anchors`.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from lima_bench.lima.batch import Batch


def row_of_point(batch: Batch) -> Int[Tensor, " points"]:
    """For every point, its row in the view of its own scan; -1 if the student does not see it."""
    return _row_of_point(batch, batch.view < batch.n_scan_views)


def row_in_second_look(batch: Batch) -> Int[Tensor, " points"]:
    """For every point, its row in the views after the scans' own; -1 if no such view shows it.

    Of several that show it, one; second looks show each point once.
    """
    return _row_of_point(batch, batch.view >= batch.n_scan_views)


def _row_of_point(batch: Batch, chosen: Bool[Tensor, " rows"]) -> Int[Tensor, " points"]:
    rows = torch.nonzero(chosen).squeeze(1)
    table = torch.full((len(batch.xyz),), -1, dtype=torch.int64, device=batch.source.device)
    table[batch.source[rows]] = rows
    return table


def rows_of_anchors(batch: Batch) -> Bool[Tensor, " rows"]:
    """Which rows show the frames of the step; the others show their company.

    Only of batches in which every view is one scan, as its number says.
    """
    own = [scan.anchor == number for number, scan in enumerate(batch.scans)]
    return torch.tensor(own, device=batch.view.device)[batch.view]


def paired_rows(batch: Batch) -> tuple[Int[Tensor, " kept"], Int[Tensor, " kept"]]:
    """The pairs whose point the student sees, and the row of each."""
    rows = row_of_point(batch)[batch.pairs.point]
    kept = torch.nonzero(rows >= 0).squeeze(1)
    return kept, rows[kept]


def meet(
    source: Int[Tensor, " rows"], point: Int[Tensor, " targets"], n_points: int
) -> tuple[Int[Tensor, " meetings"], Int[Tensor, " meetings"]]:
    """Every (row, target) that share a point, rows in order.

    A row meets no, one or several targets: several when a point keeps one target per camera.

    Args:
        source: The point that each row is a copy of.
        point: The point that each target belongs to.
        n_points: How many points there are.
    """
    count = torch.bincount(point, minlength=n_points)
    if n_points == 0 or int(count.max()) <= 1:
        return _meet_once(source, point, n_points)
    order = torch.argsort(point, stable=True)
    first = count.cumsum(0) - count
    met = count[source]
    rows = torch.repeat_interleave(torch.arange(len(source), device=source.device), met)
    before = met.cumsum(0) - met
    nth = torch.arange(len(rows), device=source.device) - before[rows]
    return rows, order[first[source[rows]] + nth]


def _meet_once(
    source: Int[Tensor, " rows"], point: Int[Tensor, " targets"], n_points: int
) -> tuple[Int[Tensor, " meetings"], Int[Tensor, " meetings"]]:
    """`meet` where no point has two targets: nothing needs sorting."""
    target = torch.full((n_points,), -1, dtype=torch.int64, device=point.device)
    target[point] = torch.arange(len(point), device=point.device)
    met = target.index_select(0, source)
    rows = torch.nonzero(met >= 0).squeeze(1)
    return rows, met.index_select(0, rows)
