"""Branches side by side give what each gives by itself."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from lima_bench.downstream.detection.branches import branch_maps


class OtherNorm(nn.BatchNorm2d):
    """Stands for what takes BatchNorm's place on several devices."""


def branch(inside: int, out: int, norm: type[nn.BatchNorm2d], *, nested: bool) -> nn.Module:
    first = nn.Conv2d(6, inside, 3, padding=1, bias=False)
    layers = [first, norm(inside, eps=1e-3, momentum=0.2), nn.ReLU(inplace=True)]
    last = nn.Conv2d(inside, out, 3, padding=1)
    return nn.Sequential(nn.Sequential(*layers), last) if nested else nn.Sequential(*layers, last)


def groups_of(norm: type[nn.BatchNorm2d], *, nested: bool) -> nn.ModuleList:
    torch.manual_seed(0)
    sizes = ({"heatmap": 2, "height": 1}, {"heatmap": 1, "dim": 3})
    return nn.ModuleList(
        nn.ModuleDict({name: branch(4, out, norm, nested=nested) for name, out in size.items()})
        for size in sizes
    ).double()


def dicts(groups: nn.ModuleList) -> list[dict[str, nn.Module]]:
    return [dict(group) for group in groups if isinstance(group, nn.ModuleDict)]


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("norm", [nn.BatchNorm2d, OtherNorm])
@pytest.mark.parametrize("training", [False, True])
def test_side_by_side_is_one_by_one(
    norm: type[nn.BatchNorm2d], training: bool, nested: bool
) -> None:
    together = groups_of(norm, nested=nested).train(training)
    alone = copy.deepcopy(together)
    for _ in range(2):  # a second step, on the statistics that the first one left
        features = torch.randn(2, 6, 5, 7, dtype=torch.float64)
        maps = branch_maps(dicts(together), features)
        wanted = [{name: one(features) for name, one in group.items()} for group in dicts(alone)]
        assert [list(group) for group in maps] == [list(group) for group in wanted]
        for group, expected in zip(maps, wanted, strict=True):
            torch.testing.assert_close(group, expected)
        for said in (maps, wanted):
            loss: Tensor = sum(one.square().sum() for group in said for one in group.values())
            loss.backward()
    for (name, one), other in zip(together.named_parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, msg=name)
    torch.testing.assert_close(dict(together.named_buffers()), dict(alone.named_buffers()))


def test_layout_stays_a_module_for_each_branch() -> None:
    names = groups_of(nn.BatchNorm2d, nested=False).state_dict()
    assert "1.dim.0.weight" in names
    assert "1.dim.1.running_mean" in names
