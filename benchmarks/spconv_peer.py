"""spconv on a CPU, as far as it can be trusted there: the peer that ours is measured against.

Offers `why_not`, `SpconvNet`, and for single steps `sparse_tensor`, `convolution`,
`pair_lists` and `voxeliser`. Two measures make the peer a correct one: its backward asks for a CUDA
stream, which a CPU lacks, so the question is answered with 0; and it must run with one thread
(``OMP_NUM_THREADS=1`` before the process starts: it brings an OpenMP runtime of its own), because
with two its sums race.
"""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from lima_bench.lima.backbones.minkunet import MinkUNet
from lima_bench.lima.voxels import Voxels

STRIDE_LIMIT = 16
"""The grid's sides are multiples of the coarsest stride, so that halving never drops a cell."""


def why_not() -> str:
    """Why spconv cannot serve as a peer here; empty where it can."""
    if importlib.util.find_spec("spconv") is None:
        return "spconv is not installed"
    if os.environ.get("OMP_NUM_THREADS") != "1":
        return "spconv's sums are wrong on more than one CPU thread: set OMP_NUM_THREADS=1"
    return ""


@cache
def spconv() -> ModuleType:
    """``spconv.pytorch`` with a backward that works without CUDA."""
    # Its import sets off a notice of torch's about its own internals.
    logging.getLogger("torch.fx._symbolic_trace").setLevel(logging.ERROR)
    import spconv.pytorch
    import spconv.pytorch.ops

    spconv.pytorch.ops.get_current_stream = lambda: 0
    module: ModuleType = spconv.pytorch
    return module


def sparse_tensor(
    coords: Int[Tensor, "voxels 4"], features: Float[Tensor, "voxels channels"], n_clouds: int = 1
) -> Any:
    """Cells and their features as spconv takes them; nothing of them is shared with other calls."""
    shape = (coords[:, 1:].amax(dim=0) // STRIDE_LIMIT + 1) * STRIDE_LIMIT
    return spconv().SparseConvTensor(features, coords.int(), shape.tolist(), n_clouds)


def convolution(kind: str, weight: Float[Tensor, "K c_in c_out"], key: str) -> nn.Module:
    """A layer of spconv with our weights.

    Args:
        kind: ``neighbours``, ``down`` or ``up``.
        weight: In our order: the first spatial axis runs fastest.
        key: Under which its pair lists are kept; ``up`` names the ``down`` that it inverts.
    """
    _, c_in, c_out = weight.shape
    make = spconv()
    native = make.ConvAlgo.Native
    if kind == "neighbours":
        layer = make.SubMConv3d(c_in, c_out, 3, bias=False, indice_key=key, algo=native)
    elif kind == "down":
        layer = make.SparseConv3d(c_in, c_out, 2, 2, bias=False, indice_key=key, algo=native)
    else:
        layer = make.SparseInverseConv3d(c_in, c_out, 2, bias=False, indice_key=key, algo=native)
    side = 3 if kind == "neighbours" else 2
    ours = weight.detach().view(side, side, side, c_in, c_out).permute(4, 2, 1, 0, 3)
    assert layer.weight.shape == ours.shape
    layer.weight = nn.Parameter(ours.contiguous())
    built: nn.Module = layer
    return built


def pair_lists(voxels: Voxels, n_levels: int) -> int:
    """Build the pairs of every level as spconv does, kernels of 3 and of 2; the cells in all."""
    make, tensor = spconv(), sparse_tensor(voxels.coords, voxels.features, voxels.n_clouds)
    indices, shape = tensor.indices, list(tensor.spatial_shape)
    n_cells = len(indices)
    ones, zeros = [1] * 3, [0] * 3
    for level in range(n_levels):
        common = (voxels.n_clouds, shape, make.ConvAlgo.Native)
        make.ops.get_indice_pairs(indices, *common, [3] * 3, ones, ones, ones, zeros, subm=True)
        if level + 1 < n_levels:
            indices, _, _ = make.ops.get_indice_pairs(
                indices, *common, [2] * 3, [2] * 3, zeros, ones, zeros
            )
            shape = [side // 2 for side in shape]
            n_cells += len(indices)
    return n_cells


def voxeliser(features: npt.NDArray[np.float32], size_m: float) -> Callable[[], object]:
    """A call that puts points (coordinates first) into cells and says which point is in which.

    Its table has an entry for every cell of the box, so the box is drawn around the points.
    """
    from spconv.pytorch.utils import PointToVoxel

    spconv()
    low, high = features[:, :3].min(axis=0), features[:, :3].max(axis=0) + size_m
    maker = PointToVoxel(
        vsize_xyz=[size_m] * 3,
        coors_range_xyz=[*low.tolist(), *high.tolist()],
        num_point_features=features.shape[1],
        max_num_voxels=len(features),
        max_num_points_per_voxel=1,
    )
    points = torch.from_numpy(features)
    return lambda: maker.generate_voxel_with_id(points, empty_mean=False)


class SpconvNet(nn.Module):
    """A `MinkUNet` of basic blocks in spconv's modules, with the same weights.

    Convolutions are spconv's; BatchNorm, ReLU and kernels of 1 are torch's, as in every network
    that is written with it. Pair lists are built once a call and shared by the layers of a level.
    """

    def __init__(self, ours: MinkUNet) -> None:
        super().__init__()
        assert ours.plan.block == "basic" and ours.plan.n_outputs == 1
        self.stem = nn.ModuleList(_Normed(part, "neighbours", "level0") for part in ours.stem)
        self.down, self.encoder = nn.ModuleList(), nn.ModuleList()
        self.up, self.decoder = nn.ModuleList(), nn.ModuleList()
        coarsest = len(ours.encoder)
        for at in range(coarsest):
            self.down.append(_Normed(ours.down[at], "down", f"down{at}"))
            self.encoder.append(_blocks(ours.encoder[at], f"level{at + 1}"))
        for at in range(coarsest):
            finer = coarsest - 1 - at
            self.up.append(_Normed(ours.up[at], "up", f"down{finer}"))
            self.decoder.append(_blocks(ours.decoder[at], f"level{finer}"))

    def forward(self, voxels: Voxels) -> Float[Tensor, "voxels width"]:
        """A feature for each voxel, in the order of `voxels.coords`."""
        x = sparse_tensor(voxels.coords, voxels.features, voxels.n_clouds)
        for part in self.stem:
            x = part(x)
        skips = [x]
        for down, blocks in zip(self.down, self.encoder, strict=True):
            x = blocks(down(x))
            skips.append(x)
        skips.pop()
        for up, blocks in zip(self.up, self.decoder, strict=True):
            x = up(x)
            x = blocks(x.replace_feature(torch.cat((x.features, skips.pop().features), dim=1)))
        features: Tensor = x.features
        return features


class _Normed(nn.Module):
    """Convolution, BatchNorm and ReLU."""

    def __init__(self, ours: Any, kind: str, key: str) -> None:
        super().__init__()
        self.convolution = convolution(kind, ours.convolution.weight, key)
        self.norm = _batch_norm(ours.norm)

    def forward(self, x: Any) -> Any:
        y = self.convolution(x)
        return y.replace_feature(self.norm(y.features).relu_())


class _Block(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, ours: Any, key: str) -> None:
        super().__init__()
        self.first = _Normed(ours.first, "neighbours", key)
        self.second = convolution("neighbours", ours.second.weight, key)
        self.norm = _batch_norm(ours.norm)
        self.shortcut: nn.Module = nn.Identity()
        if not isinstance(ours.shortcut, nn.Identity):
            c_out, c_in = ours.shortcut.linear.weight.shape
            linear = nn.Linear(c_in, c_out, bias=False)
            linear.load_state_dict(ours.shortcut.linear.state_dict())
            self.shortcut = nn.Sequential(linear, _batch_norm(ours.shortcut.norm))

    def forward(self, x: Any) -> Any:
        y = self.second(self.first(x))
        features = self.norm(y.features).add_(self.shortcut(x.features)).relu_()
        return y.replace_feature(features)


def _blocks(ours: Any, key: str) -> nn.Sequential:
    return nn.Sequential(*(_Block(block, key) for block in ours))


def _batch_norm(ours: Any) -> nn.BatchNorm1d:
    norm = nn.BatchNorm1d(ours.num_features, eps=ours.eps, momentum=ours.momentum)
    norm.load_state_dict(ours.state_dict())
    return norm
