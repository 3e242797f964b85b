"""CenterPoint's head as a whole: sizes as counted, first weights, the same bits, and learning."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lima_bench.common.errors import UserError
from lima_bench.downstream.detection.bev import BevNetwork
from lima_bench.downstream.detection.centerpoint.code import BRANCHES
from lima_bench.downstream.detection.centerpoint.head import CenterPointHead
from lima_bench.downstream.detection.head import MapGrid
from lima_bench.downstream.detection.settings import SIX_GROUPS, BevSettings
from lima_bench.lima.backbones.catalogue import build_backbone
from tests.downstream.detection.centerpoint.center_maps import (
    FACTS,
    GRID,
    random_truth,
    recipe_of,
    truth_of,
)
from tests.lima.elsewhere import Elsewhere, elsewhere, moved

PAPER = MapGrid(lower=(-51.2, -51.2), cell_m=(0.8, 0.8), shape=(128, 128))


def _head(seed=0, groups=SIX_GROUPS, **head) -> CenterPointHead:
    torch.manual_seed(seed)
    recipe = recipe_of(groups=groups, **{"shared": 8, "branch": 6, **head})
    return CenterPointHead(5, recipe, FACTS, GRID)


def _count(module: nn.Module) -> int:
    return sum(one.numel() for one in module.parameters())


def test_published_sizes() -> None:
    bev = BevNetwork(256, BevSettings())
    head = CenterPointHead(bev.width, recipe_of(), FACTS, PAPER)
    assert _count(head.shared) == 295_040
    assert [_count(one) for one in head.groups] == (
        [228_299, 228_876, 228_876, 228_299, 228_876, 228_876]
    )
    assert _count(head) == 1_667_142
    encoder = build_backbone("voxelnet_residual", 5, bn_momentum=0.1)
    assert sum(map(_count, (encoder, bev, head))) == 8_938_262


def test_maps_of_every_group() -> None:
    maps = _head().eval()(torch.randn(2, 5, *GRID.shape))
    assert len(maps) == len(SIX_GROUPS)
    for one, names in zip(maps, SIX_GROUPS, strict=True):
        widths = {name: tuple(found.shape) for name, found in one.items()}
        expected = {**BRANCHES, "heatmap": len(names)}
        assert widths == {name: (2, n, *GRID.shape) for name, n in expected.items()}


def test_features_of_another_map_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(24, 32\)"):
        _head()(torch.randn(1, 5, 32, 24))


@torch.no_grad()
def test_heat_maps_begin_at_a_tenth_with_torchs_own_weights() -> None:
    head = CenterPointHead(64, recipe_of(), FACTS, PAPER)
    for group in head.groups:
        inner, last = group["heatmap"][0][0], group["heatmap"][1]
        assert bool((last.bias == -2.19).all())
        for one in (inner, last):  # uniform within 1 / sqrt(fan in)
            assert 0.95 < float(one.weight.abs().max()) * 24 <= 1
    scores = _head().eval()(torch.zeros(1, 5, *GRID.shape))[0]["heatmap"].sigmoid()
    assert float(scores.mean()) == pytest.approx(0.1, abs=0.02)


@torch.no_grad()
def test_regression_begins_as_kaiming_and_the_shared_layer_as_torch() -> None:
    head = CenterPointHead(64, recipe_of(), FACTS, PAPER)
    for name in BRANCHES:
        inner, last = head.groups[1][name][0][0], head.groups[1][name][1]
        assert float(inner.weight.std()) == pytest.approx((2 / 576) ** 0.5, rel=0.03)
        assert float(last.weight.std()) == pytest.approx((2 / 576) ** 0.5, rel=0.15)
        assert not last.bias.any()
    assert float(head.shared[0].weight.abs().max()) <= 1 / 24


@torch.no_grad()
def test_without_a_first_bias_torchs_own_stays() -> None:
    for group in _head(heatmap_bias=None).groups:
        bias = group["heatmap"][1].bias
        assert 0 < float(bias.abs().max()) <= (6 * 9) ** -0.5


def test_the_same_seed_gives_the_same_bits() -> None:
    frames = (random_truth(40, 0), random_truth(20, 1))
    found = []
    for _ in range(2):
        head = _head(seed=7, best=40)
        optimiser = torch.optim.AdamW(head.parameters(), lr=0.01)
        for step in range(3):
            torch.manual_seed(step)
            loss = head.loss(head(torch.randn(2, 5, *GRID.shape)), frames).total
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        boxes = head.eval().decode(head(torch.ones(1, 5, *GRID.shape)))[0]
        found.append([loss, *head.state_dict().values(), boxes.boxes, boxes.score, boxes.label])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    assert not torch.equal(_head(1).shared[0].weight, _head(0).shared[0].weight)


def test_every_weight_learns() -> None:
    head = _head()
    head.loss(head(torch.randn(1, 5, *GRID.shape)), (random_truth(60, 0),)).total.backward()
    for name, one in head.named_parameters():
        # What L1 says to a bias are signs, and as many may point up as down.
        assert one.grad is not None and (bool(one.grad.any()) or name.endswith("bias")), name


def test_a_few_boxes_are_learnt_by_heart() -> None:
    names = ("car", "bus", "barrier", "bicycle", "traffic_cone")
    places = ((-8.2, -5.3), (3.1, 6.4), (7.7, -2.2), (-3.4, 2.9), (9.4, 3.6))
    turned = {"yaw": 2.5, "z": 0.4, "vx": 4.0, "vy": 0.5}
    frame = truth_of(
        *(
            (name, {"x": x, "y": y, **(turned if number % 2 else {})})
            for number, (name, (x, y)) in enumerate(zip(names, places, strict=True))
        )
    )
    head = _head()
    features = nn.Parameter(torch.randn(1, 5, *GRID.shape))
    optimiser = torch.optim.AdamW([features, *head.parameters()], lr=0.03, weight_decay=0)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.03, total_steps=80)
    for _ in range(80):
        optimiser.zero_grad()
        head.loss(head(features), (frame,)).total.backward()
        optimiser.step()
        rates.step()
    (found,) = head.decode(head(features))
    sure = found.score > 0.5
    assert int(sure.sum()) == len(names)
    order = [found.label[sure].tolist().index(one) for one in frame.label.tolist()]
    assert torch.allclose(found.boxes[sure][order], frame.boxes, atol=0.3)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ((("car", "tram"),), 'There is no class "tram"'),
        ((("car",), ("truck", "car")), 'The class "car" is named 2 times'),
        ((("car",), ()), "A group of classes is empty"),
        ((), "A group of classes is empty"),
    ],
)
def test_groups_that_are_none_are_refused(groups, message) -> None:
    with pytest.raises(UserError, match=message) as error:
        _head(groups=groups)
    assert "recipe: groups" in str(error.value)


def test_the_head_works_where_its_weights_lie(monkeypatch) -> None:
    frames, features = (random_truth(20, 0),), torch.randn(1, 5, *GRID.shape)
    head = _head()
    loss = head.loss(head(features), frames).total
    loss.backward()
    away = moved(_head())
    with elsewhere(monkeypatch):
        found = away.loss(away(moved(features)), moved(frames)).total
        found.backward()
    assert float(found.detach()) == pytest.approx(float(loss.detach()), rel=1e-5)
    for one, other in zip(away.parameters(), head.parameters(), strict=True):
        assert isinstance(one.grad, Elsewhere)
        apart = torch.linalg.vector_norm(one.grad.here - other.grad)
        assert apart <= 1e-2 * torch.linalg.vector_norm(other.grad) + 1e-4
