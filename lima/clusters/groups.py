"""The 3D clusters of a batch as groups of rows: Batch -> groups, for methods that pool by them.

Offers `Groups`. A group is one cluster of one anchor, counted over the anchor and its company.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from lima_bench.lima.batch import Batch


@dataclass(frozen=True)
class Groups:
    """Which cluster every row of the student's input lies in.

    Attributes:
        of_row: For each row its group; -1 for none.
        n_groups: Room for so many; some may have no row.
    """

    of_row: Int[Tensor, " rows"]
    n_groups: int

    @classmethod
    def of(cls, batch: Batch) -> Groups:
        """The groups of `batch`."""
        labels = [scan.clusters for scan in batch.scans if scan.clusters is not None]
        if len(labels) < len(batch.scans):
            raise ValueError("scans without clusters: the method's card must ask for them")
        ids = torch.cat(labels).long()
        room = int(ids.max()) + 1 if len(ids) else 0
        sizes = torch.tensor([len(part) for part in labels], device=ids.device)
        anchors = torch.tensor([scan.anchor for scan in batch.scans], device=ids.device)
        anchor = torch.repeat_interleave(anchors, sizes, output_size=len(ids))
        of_point = torch.where(ids >= 0, anchor * room + ids, -1)
        return cls(of_point[batch.source], batch.n_anchors * room)

    def rows(self, chosen: Tensor) -> Int[Tensor, " rows"]:
        """The numbers of those `chosen` rows (a mask) that lie in a group."""
        return torch.nonzero(chosen & (self.of_row >= 0)).squeeze(1)
