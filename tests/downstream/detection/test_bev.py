"""The 2D network: sizes as counted, values as composed by hand, and the same bits again."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lima_bench.downstream.detection.bev import BevNetwork
from lima_bench.downstream.detection.settings import BevSettings
from tests.lima.elsewhere import elsewhere, moved

SMALL = BevSettings(widths=(6, 10), layers=(1, 2), neck=4)


def _small(seed=0, in_channels=5) -> BevNetwork:
    torch.manual_seed(seed)
    return BevNetwork(in_channels, SMALL)


def _count(module: nn.Module) -> int:
    return sum(one.numel() for one in module.parameters())


def test_published_sizes() -> None:
    network = BevNetwork(256, BevSettings())
    assert _count(network.blocks) == 4_280_832 and _count(network.neck) == 295_936
    assert network.width == 512


def test_batchnorm_is_as_published_everywhere() -> None:
    norms = [one for one in _small().modules() if isinstance(one, nn.BatchNorm2d)]
    assert len(norms) == 2 + 3 + 2
    assert {(one.eps, one.momentum) for one in norms} == {(1e-3, 0.01)}


def test_values_are_those_of_its_layers_one_by_one() -> None:
    network = _small().double().eval()
    for name, value in network.state_dict().items():
        if "running_mean" in name or name.endswith(".bias"):
            value.normal_()
        if "running_var" in name:
            value.uniform_(0.5, 2)
    weights = network.state_dict()

    def unit(x, place, convolve, **how):
        block, layer = place.rsplit(".", 1)
        y = convolve(x, weights[f"{place}.weight"], **how)
        norm = f"{block}.{int(layer) + 1}"
        names = ("running_mean", "running_var", "weight", "bias")
        mean, var, scale, shift = (weights[f"{norm}.{n}"][:, None, None] for n in names)
        return ((y - mean) / (var + 1e-3).sqrt() * scale + shift).clamp(min=0)

    x = torch.randn(2, 5, 6, 8, dtype=torch.float64)
    fine = unit(x, "blocks.0.0", F.conv2d, padding=1)
    fine = unit(fine, "blocks.0.3", F.conv2d, padding=1)
    coarse = unit(fine, "blocks.1.0", F.conv2d, padding=1, stride=2)
    for layer in (3, 6):
        coarse = unit(coarse, f"blocks.1.{layer}", F.conv2d, padding=1)
    sides = unit(fine, "neck.0.0", F.conv2d), unit(coarse, "neck.1.0", F.conv_transpose2d, stride=2)
    assert torch.allclose(network(x), torch.cat(sides, 1), atol=1e-12)


@pytest.mark.parametrize("shape", [(8, 6), (7, 9), (1, 4), (5, 5)])
def test_the_map_keeps_its_size_whether_even_or_odd(shape) -> None:
    network = _small().eval()
    bird_eye = torch.randn(2, 5, *shape)
    found = network(bird_eye)
    assert found.shape == (2, 8, *shape)
    even = torch.nn.functional.pad(bird_eye, (0, shape[1] % 2, 0, shape[0] % 2))
    near = (..., slice(0, max(shape[0] - 6, 0)), slice(0, max(shape[1] - 6, 0)))  # of the border
    torch.testing.assert_close(found[near], network(even)[near])


def test_every_weight_learns_and_the_same_seed_gives_the_same_bits() -> None:
    found = []
    for _ in range(2):
        network = _small()
        out = network(torch.randn(2, 5, 6, 8))
        out.square().sum().backward()
        found.append([out, *(one.grad for one in network.parameters())])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    assert all(bool(one.abs().sum() > 0) for one in found[0])
    assert not torch.equal(_small(1).blocks[0][0].weight, _small(0).blocks[0][0].weight)


@torch.no_grad()
def test_first_weights_keep_the_spread_of_gradients() -> None:
    torch.manual_seed(0)
    network = BevNetwork(64, BevSettings(widths=(32, 48), layers=(0, 0), neck=64))
    assert float(network.blocks[0][0].weight.std()) == pytest.approx((2 / 288) ** 0.5, rel=0.03)
    assert float(network.neck[1][0].weight.std()) == pytest.approx((2 / 192) ** 0.5, rel=0.03)


def test_everything_lies_where_the_map_lies(monkeypatch) -> None:
    network, x = _small().eval(), torch.randn(1, 5, 6, 8)
    expected = network(x)
    with elsewhere(monkeypatch), torch.no_grad():
        found = moved(network)(moved(x))
    assert torch.allclose(found.here, expected, atol=1e-6)
