"""The lean AdamW takes torch's steps, bit for bit, whatever happens in between."""

import copy
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import AdamW

from lima_bench.lima.adamw import LeanAdamW

SHAPES = [(27, 16, 16), (16,), (3, 5), (1,), (97,)]


def both() -> tuple[list[Any], list[list[nn.Parameter]]]:
    generator = torch.Generator().manual_seed(0)
    values = [torch.randn(shape, generator=generator) for shape in SHAPES]
    optimisers, parameters = [], []
    for kind in (AdamW, LeanAdamW):
        own = [nn.Parameter(value.clone()) for value in values]
        groups = [{"params": own[:2], "lr": 1e-2}, {"params": own[2:], "lr": 3e-3}]
        optimisers.append(kind(groups, lr=1.0, weight_decay=0.1, eps=1e-6, fused=True))
        parameters.append(own)
    return optimisers, parameters


def take_steps(
    optimisers: list[Any], parameters: list[Any], steps: range, missing: int = -1
) -> None:
    for step in steps:
        for optimiser, own in zip(optimisers, parameters, strict=True):
            generator = torch.Generator().manual_seed(step)
            for number, parameter in enumerate(own):
                grad = torch.randn(parameter.shape, generator=generator)
                parameter.grad = None if number == missing else grad
            for group in optimiser.param_groups:
                group["lr"] *= 0.9
            optimiser.step()
            optimiser.zero_grad()


def assert_equal(optimisers: list[Any], parameters: list[Any]) -> None:
    for ours, theirs in zip(*parameters, strict=True):
        assert torch.equal(ours, theirs)
    states = [optimiser.state_dict() for optimiser in optimisers]
    assert states[0]["param_groups"] == states[1]["param_groups"]
    for number, state in states[0]["state"].items():
        assert all(torch.equal(value, states[1]["state"][number][k]) for k, value in state.items())


def test_steps_are_torchs() -> None:
    pair = both()
    take_steps(*pair, range(5))
    assert pair[0][1]._tied is not None
    assert_equal(*pair)


@pytest.mark.parametrize("missing", [0, 3])
def test_a_missing_gradient_leaves_its_parameter_alone(missing: int) -> None:
    pair = both()
    take_steps(*pair, range(3), missing)
    take_steps(*pair, range(3, 6))
    take_steps(*pair, range(6, 8), missing)
    take_steps(*pair, range(8, 10))
    assert_equal(*pair)


def test_a_loaded_state_counts_and_not_the_remembered_one() -> None:
    pair = both()
    take_steps(*pair, range(3))
    kept = [copy.deepcopy(optimiser.state_dict()) for optimiser in pair[0]]
    take_steps(*pair, range(3, 6))
    for optimiser, state in zip(pair[0], kept, strict=True):
        optimiser.load_state_dict(state)
    take_steps(*pair, range(6, 9))
    assert_equal(*pair)
    assert pair[0][1].state_dict()["state"][0]["step"] == 6


def test_a_group_that_joins_later_is_updated() -> None:
    pair = both()
    take_steps(*pair, range(2))
    for optimiser, own in zip(*pair, strict=True):
        own.append(nn.Parameter(torch.ones(4)))
        optimiser.add_param_group({"params": own[-1:], "lr": 0.1})
    take_steps(*pair, range(2, 5))
    assert_equal(*pair)
    assert (pair[1][1][-1] != 1).all()
