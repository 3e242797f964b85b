"""Compile this part's inner loops ahead: ``python -m lima_bench.downstream.warm``.

As `lima_bench.lima.warm`, of which downstream runs take the loops as well.
"""

from __future__ import annotations

import torch

from lima_bench.downstream.detection.rotated import overlap_matrix, rotated_nms
from lima_bench.downstream.lovasz import lovasz_softmax


def main() -> None:
    """Take every compiled step once, on a handful of points."""
    lovasz_softmax(torch.full((4, 2), 0.5), torch.arange(4) % 2)
    boxes = torch.tensor([[0.0, 0.0, 4.0, 2.0, 0.0], [1.0, 0.0, 4.0, 2.0, 1.0]])
    overlap_matrix(boxes, boxes)
    rotated_nms(boxes, boxes[:, 0], 0.2, 2)


if __name__ == "__main__":
    main()
