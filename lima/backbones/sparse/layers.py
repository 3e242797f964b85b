"""Layers on sparse grids: `SparseTensor` and four convolutions.

Weights are stored for no engine in particular: ``[K, c_in, c_out]``, in the order of
`lima_bench.lima.backbones.sparse.kernel_map`, without bias. They start as in MinkowskiEngine:
uniform within plus or minus ``1 / sqrt(c_in * K)``, with ``c_out`` instead of ``c_in`` when the
convolution goes up (methods-spatial 2, "Random").
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lima_bench.lima.backbones.sparse.engine import engine_on
from lima_bench.lima.backbones.sparse.maps import Level
from lima_bench.lima.backbones.sparse.window import Window


@dataclass(frozen=True, eq=False)
class SparseTensor:
    """Features of the cells of one level.

    Attributes:
        features: One row per cell.
        level: The cells.
    """

    features: Float[Tensor, "voxels channels"]
    level: Level

    def replace(self, features: Float[Tensor, "voxels channels"]) -> SparseTensor:
        """Other features on the same cells."""
        return SparseTensor(features, self.level)


class _Convolution(nn.Module):
    """A kernel of weights; subclasses say which kernel map it runs over."""

    def __init__(self, c_in: int, c_out: int, n_weights: int, fan: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_weights, c_in, c_out))
        bound = 1.0 / math.sqrt(fan * n_weights)
        nn.init.uniform_(self.weight, -bound, bound)

    def extra_repr(self) -> str:
        n_weights, c_in, c_out = self.weight.shape
        return f"{c_in}, {c_out}, n_weights={n_weights}"


class SubmanifoldConv(_Convolution):
    """Kernel of 3 on the same cells: outputs only where there are inputs."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__(c_in, c_out, n_weights=27, fan=c_in)

    def forward(self, x: SparseTensor) -> SparseTensor:
        """Same cells, new features."""
        features = engine_on(x.features.device).convolve(
            x.features, self.weight, x.level.neighbours
        )
        return x.replace(features)


class DownConv(_Convolution):
    """Kernel of 2, stride 2: from each level to the coarser one."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__(c_in, c_out, n_weights=8, fan=c_in)

    def forward(self, x: SparseTensor) -> SparseTensor:
        """Features of the cells of twice the edge."""
        features = engine_on(x.features.device).convolve(x.features, self.weight, x.level.down)
        return SparseTensor(features, x.level.coarser)


class StridedConv(_Convolution):
    """Any kernel and stride: to every cell of the level below that its window reaches.

    Args:
        c_in: Channels of the input.
        c_out: Channels of the output.
        window: That of the level which it runs on (`Level.strided`).
    """

    def __init__(self, c_in: int, c_out: int, window: Window) -> None:
        super().__init__(c_in, c_out, n_weights=window.n_weights, fan=c_in)

    def forward(self, x: SparseTensor) -> SparseTensor:
        """Features of the cells of the level below."""
        features = engine_on(x.features.device).convolve(x.features, self.weight, x.level.down)
        return SparseTensor(features, x.level.coarser)


class UpConv(_Convolution):
    """The inverse of `DownConv`: back to the cells that the coarser level was made from."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__(c_in, c_out, n_weights=8, fan=c_out)

    def forward(self, x: SparseTensor, level: Level) -> SparseTensor:
        """Features of the cells of `level`, whose `coarser` is the level of `x`."""
        features = engine_on(x.features.device).convolve(x.features, self.weight, level.up)
        return SparseTensor(features, level)
