"""Walk what flows through training: move every tensor of a nested structure, or weigh it.

Offers `map_tensors`, `to_device` and `tree_bytes`. A *tree* is a tensor or array, a dataclass,
tuple, list or dict of trees, or a leaf that is none of these and stays as it is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

import numpy as np
import torch
from torch import Tensor

T = TypeVar("T")


def map_tensors(change: Callable[[Tensor], Tensor], tree: T) -> T:
    """A copy of `tree` in which `change` was applied to every tensor."""
    if isinstance(tree, Tensor):
        return cast(T, change(tree))
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        fields = {f.name: map_tensors(change, getattr(tree, f.name)) for f in _init_fields(tree)}
        return cast(T, dataclasses.replace(tree, **fields))
    if isinstance(tree, list | tuple):
        return cast(T, type(tree)(map_tensors(change, part) for part in tree))
    if isinstance(tree, dict):
        return cast(T, {key: map_tensors(change, part) for key, part in tree.items()})
    return tree


def to_device(tree: T, device: torch.device | str) -> T:
    """A copy of `tree` with every tensor on `device`; tensors already there are shared."""
    # Towards a CPU torch copies into pinned memory and waits for nothing: whoever reads the numbers
    # next, without an operation on the GPU between, may read what is not there yet.
    ahead = torch.device(device).type != "cpu"
    return map_tensors(lambda tensor: tensor.to(device, non_blocking=ahead), tree)


def tree_bytes(tree: Any) -> int:
    """Bytes of every tensor and array in `tree`."""
    return sum(leaf.nbytes for leaf in _leaves(tree))


def _init_fields(tree: Any) -> Iterator[dataclasses.Field[Any]]:
    return (field for field in dataclasses.fields(tree) if field.init)


def _leaves(tree: Any) -> Iterator[Tensor | np.ndarray[Any, Any]]:
    if isinstance(tree, Tensor | np.ndarray):
        yield tree
    elif dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        for field in _init_fields(tree):
            yield from _leaves(getattr(tree, field.name))
    elif isinstance(tree, list | tuple):
        for part in tree:
            yield from _leaves(part)
    elif isinstance(tree, dict):
        for part in tree.values():
            yield from _leaves(part)
