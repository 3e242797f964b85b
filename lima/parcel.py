"""A tree of tensors as one block of shared memory: what a loading process hands over.

Offers `wrap` and `unwrap`. Left to itself, torch shares every tensor by a file and a connection of
its own: a batch with its kernel maps has some eighty, which cost the receiver more time than
building the maps.
"""

from __future__ import annotations

import io
import math
import pickle
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

_ALIGNMENT = 64
"""Bytes of a line of the cache: tensors begin where vector instructions like them to."""


@dataclass(frozen=True)
class _Place:
    """Where a tensor lies in the block."""

    start: int
    dtype: torch.dtype
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Parcel:
    """A tree whose tensors lie side by side in one block.

    Attributes:
        outline: The tree without its tensors, pickled.
        places: Of the tensors that the outline names by number.
        block: Their bytes, in shared memory.
    """

    outline: bytes
    places: tuple[_Place, ...]
    block: Tensor


def wrap(tree: Any) -> Parcel:
    """`tree`, to be sent to another process of this machine; its tensors are on the CPU."""
    stream = io.BytesIO()
    pickler = _Pickler(stream)
    pickler.dump(tree)
    tensors = pickler.tensors
    sizes = (-(-tensor.nbytes // _ALIGNMENT) * _ALIGNMENT for tensor in tensors)
    *starts, total = accumulate(sizes, initial=0)
    places = tuple(
        _Place(start, tensor.dtype, tuple(tensor.shape))
        for start, tensor in zip(starts, tensors, strict=True)
    )
    shared = torch.UntypedStorage._new_shared(total)  # type: ignore[no-untyped-call]
    block = torch.empty(0, dtype=torch.uint8).set_(shared)
    for place, tensor in zip(places, tensors, strict=True):
        _view(block, place).copy_(tensor)
    return Parcel(stream.getvalue(), places, block)


def unwrap(parcel: Parcel) -> Any:
    """The tree again; its tensors keep the whole block alive."""
    return _Unpickler(parcel).load()


def _view(block: Tensor, place: _Place) -> Tensor:
    n_bytes = math.prod(place.shape) * place.dtype.itemsize
    return block[place.start : place.start + n_bytes].view(place.dtype).view(place.shape)


class _Pickler(pickle.Pickler):
    """Puts a number in the place of every tensor."""

    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream, protocol=pickle.HIGHEST_PROTOCOL)
        self.tensors: list[Tensor] = []
        self._numbers: dict[int, int] = {}

    def persistent_id(self, part: Any) -> int | None:
        """Its number, if it is a tensor; one that is met twice has one number."""
        if not isinstance(part, Tensor):
            return None
        number = self._numbers.setdefault(id(part), len(self.tensors))
        if number == len(self.tensors):
            self.tensors.append(part)
        return number


class _Unpickler(pickle.Unpickler):
    """Puts every tensor back in its place."""

    def __init__(self, parcel: Parcel) -> None:
        super().__init__(io.BytesIO(parcel.outline))
        self._tensors = [_view(parcel.block, place) for place in parcel.places]

    def persistent_load(self, number: int) -> Tensor:
        """The tensor of that number."""
        return self._tensors[number]
