"""Compares a file's tensors with one of our networks: what is there, absent, of another shape.

Offers `Fit` and `best_fit`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from lima_bench.lima.adopt.kernels import KernelOrder, Shape
from lima_bench.lima.adopt.layouts import Layout, Network

COUNTER = "num_batches_tracked"
"""Counts steps, which nothing reads while a momentum is given; older files lack it."""


@dataclass(frozen=True)
class Fit:
    """How well a file fits a network.

    Attributes:
        backbone: The network's id.
        order: How the file keeps kernels.
        in_channels: Of its stem.
        names: Our tensor to theirs, for every one that is there in the right shape.
        absent: Our tensors that the file may lack.
        problems: Whatever else differs, one clause each.
    """

    backbone: str
    order: KernelOrder
    in_channels: int
    names: Mapping[str, str]
    absent: tuple[str, ...]
    problems: tuple[str, ...]


def their_name(name: str, n_axes: int, layout: Layout, order: KernelOrder, n_stages: int) -> str:
    """What a layout calls a tensor of ours; weights of a convolution have two axes or more."""
    layer, leaf = layout.naming(name, n_stages), name.rpartition(".")[2]
    return f"{layer}.{order.leaf}" if n_axes > 1 else f"{layer}.{order.norm}{leaf}"


def best_fit(tensors: Mapping[str, Tensor], layout: Layout) -> Fit:
    """The network of `layout` that differs least from a file.

    Args:
        tensors: Of the network alone, its prefix gone.
        layout: How they are named.
    """
    fits = [
        _fit(tensors, layout, order, backbone)
        for backbone in layout.networks
        for order in layout.orders
    ]
    return min(fits, key=lambda fit: len(fit.problems))


def _fit(tensors: Mapping[str, Tensor], layout: Layout, order: KernelOrder, backbone: str) -> Fit:
    network = layout.networks[backbone]
    stem = tensors[their_name(network.stem[0], 2, layout, order, network.n_stages)]
    in_channels = stem.shape[order.input_axis] if stem.ndim > order.input_axis else 1
    names, absent, problems, asked = {}, [], [], set()
    for name, ours in _shapes(network, in_channels).items():
        theirs = their_name(name, len(ours), layout, order, network.n_stages)
        asked.add(theirs)
        wanted = order.shape(ours) if len(ours) > 1 else ours
        found = tensors.get(theirs)
        if found is not None and tuple(found.shape) == wanted:
            names[name] = theirs
        elif found is not None:
            problems.append(f"{theirs}: {tuple(found.shape)} in the file, {wanted} wanted")
        elif name.endswith(COUNTER):
            absent.append(name)
        else:
            problems.append(f"{theirs}: absent, {wanted} wanted")
    problems += _surplus(tensors, asked)
    return Fit(backbone, order, in_channels, names, tuple(absent), tuple(problems))


def _surplus(tensors: Mapping[str, Tensor], asked: set[str]) -> Iterator[str]:
    """Layers that stand among the network's, and that it does not have."""
    parts = {name.partition(".")[0] for name in asked}
    for name, tensor in tensors.items():
        if name not in asked and name.partition(".")[0] in parts:
            yield f"{name}: {tuple(tensor.shape)} in the file, no such layer"


@cache
def _shapes(network: Network, in_channels: int) -> Mapping[str, Shape]:
    """Tensor to shape of one of our networks; no memory is taken for it."""
    with torch.device("meta"):
        state = network.build(in_channels).state_dict()
    return {name: tuple(tensor.shape) for name, tensor in state.items()}
