"""Batches in order of steps, the same for any number of loading processes.

Offers `batches_from`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from lima_bench.common.errors import UserError
from lima_bench.lima.parcel import Parcel, unwrap, wrap


class _Guarded(Dataset[Any]):
    """What a loading process hands over: a parcel, or an error, whose parts torch would lose."""

    def __init__(self, batches: Dataset[Any]) -> None:
        self.batches = batches

    def __getitem__(self, step: int) -> Any:
        try:
            batch = self.batches[step]
        except UserError as error:
            return error
        return batch if get_worker_info() is None else wrap(batch)


def batches_from(batches: Dataset[Any], numbers: range, workers: int) -> Iterator[Any]:
    """``batches[number]`` for each of `numbers`, in order, whatever the number of workers.

    The loader's own generator keeps it from drawing from, and so moving, torch's global one.

    Args:
        batches: What to read.
        numbers: Which items.
        workers: Loading processes; 0 loads in this one.

    Raises:
        UserError: Reading an item raised it, in whichever process.
    """
    loader = DataLoader(
        _Guarded(batches),
        batch_size=None,
        sampler=numbers,
        num_workers=workers,
        collate_fn=_as_it_is,
        generator=torch.Generator(),
    )
    for batch in loader:
        if isinstance(batch, UserError):
            raise batch
        yield unwrap(batch) if isinstance(batch, Parcel) else batch


def _as_it_is(batch: Any) -> Any:
    return batch
