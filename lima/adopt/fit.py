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
from lima_bench.lima.adopt.layouts import Layout
from lima_bench.lima.adopt.sites import site_of
from lima_bench.lima.backbones.minkunet import MinkUNet, Plan

COUNTER = "num_batches_tracked"
"""Counts steps, which nothing reads while a momentum is given; older files lack it."""


@dataclass(frozen=True)
class Fit:
    """How well a file fits a network.

    Attributes:
        backbone: The network's id.
        plan: The network.
        order: How the file keeps kernels.
        in_channels: Of its stem.
        names: Our tensor to theirs, for every one that is there in the right shape.
        absent: Our tensors that the file may lack.
        problems: Whatever else differs, one clause each.
        n_known: How many of the file's tensors the network asks for, of whatever shape.
    """

    backbone: str
    plan: Plan
    order: KernelOrder
    in_channels: int
    names: Mapping[str, str]
    absent: tuple[str, ...]
    problems: tuple[str, ...]
    n_known: int


def their_name(name: str, layout: Layout, order: KernelOrder, n_stages: int) -> str:
    """What a layout calls a tensor of ours."""
    site = site_of(name)
    layer = layout.naming(site, n_stages)
    if site.role == "conv":
        return f"{layer}.{order.leaf}"
    return f"{layer}.{order.norm}{site.leaf}"


def best_fit(tensors: Mapping[str, Tensor], layout: Layout) -> Fit:
    """The network of `layout` that differs least from a file.

    Args:
        tensors: Of the network alone, its prefix gone.
        layout: How they are named.
    """
    fits = [
        _fit(tensors, layout, order, backbone, plan)
        for backbone, plan in layout.plans.items()
        for order in layout.orders
    ]
    return min(fits, key=lambda fit: len(fit.problems))


def _fit(
    tensors: Mapping[str, Tensor], layout: Layout, order: KernelOrder, backbone: str, plan: Plan
) -> Fit:
    n_stages = len(plan.encoder)
    stem = tensors[their_name("stem.0.convolution.weight", layout, order, n_stages)]
    in_channels = stem.shape[order.input_axis] if stem.ndim > order.input_axis else 1
    names, absent, problems, n_known = {}, [], [], 0
    for name, ours in _shapes(plan, in_channels).items():
        theirs = their_name(name, layout, order, n_stages)
        is_kernel = site_of(name).role == "conv"
        wanted = order.shape(ours) if is_kernel else ours
        found = tensors.get(theirs)
        n_known += found is not None
        if found is not None and tuple(found.shape) == wanted:
            names[name] = theirs
        elif found is not None:
            problems.append(f"{theirs}: {tuple(found.shape)} in the file, {wanted} wanted")
        elif name.endswith(COUNTER):
            absent.append(name)
        else:
            problems.append(f"{theirs}: absent, {wanted} wanted")
    asked = {their_name(n, layout, order, n_stages) for n in _shapes(plan, in_channels)}
    problems += _surplus(tensors, asked)
    return Fit(backbone, plan, order, in_channels, names, tuple(absent), tuple(problems), n_known)


def _surplus(tensors: Mapping[str, Tensor], asked: set[str]) -> Iterator[str]:
    """Layers that stand among the network's, and that it does not have."""
    parts = {name.partition(".")[0] for name in asked}
    for name, tensor in tensors.items():
        if name not in asked and name.partition(".")[0] in parts:
            yield f"{name}: {tuple(tensor.shape)} in the file, no such layer"


@cache
def _shapes(plan: Plan, in_channels: int) -> Mapping[str, Shape]:
    """Tensor to shape of one of our networks; no memory is taken for it."""
    with torch.device("meta"):
        state = MinkUNet(plan, in_channels, bn_momentum=0.1).state_dict()
    return {name: tuple(tensor.shape) for name, tensor in state.items()}
