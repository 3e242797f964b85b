"""What a detector asks of its head; CenterPoint's and SECOND's are two.

Offers `Head`, `MapGrid` and `Maps`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from jaxtyping import Float
from torch import Tensor

from lima_bench.downstream.detection.boxes import Detections, Truth
from lima_bench.lima.loss import Loss

Maps = tuple[dict[str, Tensor], ...]
"""For each group of classes, maps (frames, channels, height, width) by name."""


@dataclass(frozen=True)
class MapGrid:
    """Where the bird's-eye map lies.

    Attributes:
        lower: x and y where its first cell begins, metres.
        cell_m: Edges of a cell along x and y.
        shape: Rows (y) and columns (x).
    """

    lower: tuple[float, float]
    cell_m: tuple[float, float]
    shape: tuple[int, int]


class Head(Protocol):
    """From the 2D network's output to boxes; a torch module."""

    def __call__(self, features: Float[Tensor, "frames channels height width"]) -> Maps:
        """Raw maps, group by group."""

    def loss(self, maps: Maps, truth: Sequence[Truth]) -> Loss:
        """Named terms, weights applied; finite, whether or not a frame has a box."""

    def decode(self, maps: Maps) -> list[Detections]:
        """Boxes of every frame, after NMS, best first."""
