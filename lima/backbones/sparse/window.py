"""Which inputs a strided convolution looks at: `Window`. Light: no torch."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

Triple = tuple[int, int, int]


@dataclass(frozen=True)
class Window:
    """Kernel, stride and padding along each axis.

    Output cell ``o`` meets input cell ``o * stride - padding + k`` under weight index ``k``, along
    every axis; outputs are all cells of the smaller grid that reach at least one input, as in
    spconv's SparseConv3d.

    Attributes:
        kernel: Cells along each axis.
        stride: Cells from one output to the next.
        padding: Cells before the first; less than half of `kernel`, so that a grid never grows.
    """

    kernel: Triple = (3, 3, 3)
    stride: Triple = (2, 2, 2)
    padding: Triple = (1, 1, 1)

    def __post_init__(self) -> None:
        """Refuse what would make a grid grow."""
        if any(not 0 <= 2 * p < k for p, k in zip(self.padding, self.kernel, strict=True)):
            raise ValueError(f"padding {self.padding} of a kernel {self.kernel}")

    @property
    def n_weights(self) -> int:
        """Weights of the kernel."""
        return prod(self.kernel)

    def outputs(self, extent: Triple) -> Triple:
        """Cells along each axis of the grid of outputs, given those of the grid of inputs.

        Raises:
            ValueError: The grid is smaller than the kernel.
        """
        first, second, third = (
            (side + 2 * p - k) // s + 1
            for side, k, s, p in zip(extent, self.kernel, self.stride, self.padding, strict=True)
        )
        if min(first, second, third) < 1:
            raise ValueError(f"a grid of {extent} cells is smaller than a kernel {self.kernel}")
        return first, second, third
