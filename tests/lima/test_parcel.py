"""Batches in one block of shared memory, and through loading processes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from lima_bench.common.errors import UserError
from lima_bench.lima.loading import batches_from
from lima_bench.lima.parcel import unwrap, wrap


@dataclass(frozen=True)
class Leafy:
    x: torch.Tensor
    rest: Any


def tensors() -> list[torch.Tensor]:
    return [
        torch.arange(7, dtype=torch.uint8),
        torch.arange(5.0, dtype=torch.float64),
        torch.tensor(3, dtype=torch.int32),
        torch.zeros(0, 4),
        torch.arange(12).view(3, 4).T,
        torch.tensor([True, False, True]),
        torch.randn(3, 5, generator=torch.Generator().manual_seed(0)).half(),
    ]


def test_what_is_wrapped_comes_out_again():
    tree = Leafy(torch.ones(2, 2), {"a": tensors(), "b": (np.arange(3), "text", None)})
    back = unwrap(wrap(tree))
    assert torch.equal(back.x, tree.x)
    for ours, theirs in zip(back.rest["a"], tree.rest["a"], strict=True):
        assert ours.dtype == theirs.dtype
        assert torch.equal(ours, theirs)
    assert np.array_equal(back.rest["b"][0], np.arange(3))
    assert back.rest["b"][1:] == ("text", None)


def test_tensors_lie_side_by_side_in_shared_memory():
    parcel = wrap(tensors())
    assert parcel.block.is_shared()
    back = unwrap(parcel)
    assert len({tensor.untyped_storage().data_ptr() for tensor in back}) == 1
    starts = [tensor.data_ptr() - parcel.block.data_ptr() for tensor in back if tensor.numel()]
    assert all(start % 64 == 0 for start in starts)
    assert len(set(starts)) == len(starts)


def test_a_tensor_met_twice_is_sent_once():
    one = torch.arange(1000)
    parcel = wrap([one, (one, one)])
    assert len(parcel.places) == 1
    first, (second, _) = unwrap(parcel)
    assert first is second


def test_a_tree_without_tensors():
    assert unwrap(wrap({"a": 1})) == {"a": 1}


class Numbers(Dataset[Leafy]):
    def __getitem__(self, number: int) -> Leafy:
        if number == 3:
            raise UserError("number 3", "It is bad luck.", "Skip it.")
        return Leafy(torch.full((3,), number), [torch.arange(number + 1)])


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_come_in_order_and_errors_keep_their_parts(workers):
    batches = batches_from(Numbers(), range(4), workers)
    for number in range(3):
        batch = next(batches)
        assert batch.x.tolist() == [number] * 3
        assert batch.rest[0].tolist() == list(range(number + 1))
        blocks = {part.untyped_storage().data_ptr() for part in (batch.x, batch.rest[0])}
        assert (len(blocks) == 1 and batch.x.is_shared()) == (workers > 0)
    with pytest.raises(UserError, match="bad luck"):
        next(batches)
