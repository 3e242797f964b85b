"""How other libraries store a kernel's weights, and the way to our order.

Offers `KernelOrder`, `OURS`, `MINKOWSKI`, `TORCHSPARSE`, `SPCONV_XYZ`, `SPCONV_ZYX` and 1.x forms
of these. Ours is MinkowskiEngine's: ``[K, c_in, c_out]``, first spatial axis fastest
(methods-spatial 10.4, 10.5). Sources: MinkowskiEngine ``kernel_region.hpp``; torchsparse
``nn/utils/kernel.py``; OpenPCDet ``detector3d_template.py``, which turns spconv 1.x weights into
those of 2.x.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Shape = tuple[int, ...]

_EDGES = {27: (3, 3, 3), 8: (2, 2, 2), 3: (3, 1, 1)}
"""Number of weights to the edges, third axis first: a kernel of three weights stands upright."""


@dataclass(frozen=True)
class KernelOrder:
    """One library's way of keeping weights.

    Our tensors are ``[K, c_in, c_out]``, or ``[c_out, c_in]`` for a kernel of 1.

    Attributes:
        title: The library.
        leaf: Name of a convolution's tensor.
        norm: What stands between the name of a normalisation and those of its tensors.
        input_axis: Which axis of a kernel's weights counts input channels.
        shape: The shape in which it keeps a tensor of ours.
        ours: One of its tensors, of that shape, in our order.
    """

    title: str
    leaf: str
    norm: str
    input_axis: int
    shape: Callable[[Shape], Shape]
    ours: Callable[[Tensor], Tensor]

    def theirs(self, weight: Tensor) -> Tensor:
        """A tensor of ours as the library keeps it: the inverse of `ours`, whatever that does."""
        places = torch.arange(weight.numel()).view(self.shape(tuple(weight.shape)))
        there = torch.empty_like(weight).flatten()
        there[self.ours(places).flatten()] = weight.flatten()
        return there.view(places.shape)


def _same(ours: Shape) -> Shape:
    return ours


def _as_it_is(weight: Tensor) -> Tensor:
    return weight


def _shape_rows(ours: Shape) -> Shape:
    return ours if len(ours) == 3 else ours[::-1]


def _from_minkowski(weight: Tensor) -> Tensor:
    return weight.T if weight.ndim == 2 else weight


def _from_torchsparse(weight: Tensor) -> Tensor:
    """Odd kernels in MinkowskiEngine's order; even ones with the last axis fastest."""
    if weight.ndim == 2:
        return weight.T
    if weight.shape[0] % 2:
        return weight
    cube = weight.view(*_EDGES[weight.shape[0]], *weight.shape[1:])
    return cube.permute(2, 1, 0, 3, 4).reshape(weight.shape)


def _shape_spconv2(ours: Shape) -> Shape:
    edges, c_in, c_out = _sizes(ours)
    return (c_out, *edges, c_in)


def _shape_spconv1(ours: Shape) -> Shape:
    edges, c_in, c_out = _sizes(ours)
    return (*edges, c_in, c_out)


def _sizes(ours: Shape) -> tuple[Shape, int, int]:
    """Edges, c_in and c_out."""
    if len(ours) == 2:
        return (1, 1, 1), ours[1], ours[0]
    return _EDGES[ours[0]], ours[1], ours[2]


def _from_spconv1_zyx(weight: Tensor) -> Tensor:
    c_in, c_out = weight.shape[3:]
    rows = weight.reshape(-1, c_in, c_out)
    return rows[0].T if len(rows) == 1 else rows


def _from_spconv1_xyz(weight: Tensor) -> Tensor:
    return _from_spconv1_zyx(weight.permute(2, 1, 0, 3, 4))


def _from_spconv2_zyx(weight: Tensor) -> Tensor:
    return _from_spconv1_zyx(weight.permute(1, 2, 3, 4, 0))


def _from_spconv2_xyz(weight: Tensor) -> Tensor:
    return _from_spconv1_xyz(weight.permute(1, 2, 3, 4, 0))


OURS = KernelOrder("lima-bench", "weight", "", 1, _same, _as_it_is)
MINKOWSKI = KernelOrder("MinkowskiEngine", "kernel", "bn.", 1, _shape_rows, _from_minkowski)
TORCHSPARSE = KernelOrder("torchsparse", "kernel", "", 1, _shape_rows, _from_torchsparse)
SPCONV_XYZ = KernelOrder("spconv 2.x", "weight", "", 4, _shape_spconv2, _from_spconv2_xyz)
"""Indices of the tensor are (batch, first axis, second, third)."""
SPCONV_ZYX = KernelOrder("spconv 2.x", "weight", "", 4, _shape_spconv2, _from_spconv2_zyx)
"""Indices of the tensor are (batch, third axis, second, first)."""
SPCONV1_XYZ = KernelOrder("spconv 1.x", "weight", "", 3, _shape_spconv1, _from_spconv1_xyz)
SPCONV1_ZYX = KernelOrder("spconv 1.x", "weight", "", 3, _shape_spconv1, _from_spconv1_zyx)
