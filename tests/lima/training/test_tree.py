"""Moving and weighing nested structures."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lima_bench.lima.tree import map_tensors, to_device, tree_bytes


@dataclass(frozen=True)
class Leafy:
    x: torch.Tensor
    rest: Any


def _tree() -> Leafy:
    return Leafy(torch.ones(2), {"a": (torch.ones(3), "text"), "b": [None, np.zeros(4)]})


def test_every_tensor_is_changed_and_nothing_else() -> None:
    tree = _tree()
    doubled = map_tensors(lambda tensor: tensor * 2, tree)
    assert doubled.x.tolist() == [2, 2]
    assert doubled.rest["a"][0].tolist() == [2, 2, 2] and doubled.rest["a"][1] == "text"
    assert doubled.rest["b"][1] is tree.rest["b"][1]
    assert tree.x.tolist() == [1, 1]


def test_to_device_moves_all() -> None:
    moved = to_device(_tree(), "meta")
    assert moved.x.device.type == moved.rest["a"][0].device.type == "meta"


class _Watched(torch.Tensor):
    """Remembers how it was asked to move."""

    def to(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        self.waits = not kwargs.get("non_blocking", False)
        return super().to(*args, **kwargs)


def test_numbers_that_come_back_to_the_cpu_are_there() -> None:
    """A copy to a GPU may go on while the program does; one from there must have ended."""
    for device, waits in (("cpu", True), (torch.device("cpu"), True), ("meta", False)):
        watched = torch.ones(2).as_subclass(_Watched)
        to_device(watched, device)
        assert watched.waits == waits


def test_bytes_count_tensors_and_arrays() -> None:
    assert tree_bytes(_tree()) == 2 * 4 + 3 * 4 + 4 * 8
