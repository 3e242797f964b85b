"""CenterPoint's losses: value and gradient by formulas in float64, and batches with nothing."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from lima_bench.downstream.detection.centerpoint.code import BRANCHES, weights_of
from lima_bench.downstream.detection.centerpoint.focal import centre_focal_loss
from lima_bench.downstream.detection.centerpoint.head import CenterPointHead, box_loss
from lima_bench.downstream.detection.centerpoint.targets import build_targets
from tests.downstream.detection.centerpoint.center_maps import (
    FACTS,
    GRID,
    LABELS,
    maps_of,
    random_truth,
    recipe_of,
    truth_of,
)
from tests.lima.elsewhere import elsewhere, moved

WEIGHTS = weights_of(recipe_of().head)


def _head(**head) -> CenterPointHead:
    return CenterPointHead(4, recipe_of(**{"shared": 4, "branch": 4, **head}), FACTS, GRID)


def _random_maps(frames: int, kind=torch.float32, seed=0) -> tuple[dict[str, Tensor], ...]:
    generator = torch.Generator().manual_seed(seed)
    widths = [{**BRANCHES, "heatmap": len(group)} for group in LABELS]
    return tuple(
        {
            name: torch.randn(frames, n, *GRID.shape, generator=generator).to(kind).requires_grad_()
            for name, n in group.items()
        }
        for group in widths
    )


def _leaves(maps) -> list[Tensor]:
    return [one for group in maps for one in group.values()]


def _focal_by_cell(logits: Tensor, target: Tensor) -> Tensor:
    """CornerNet's equation 1, with clipped probabilities."""
    p = torch.sigmoid(logits).clamp(1e-4, 1 - 1e-4)
    centre = target == 1
    total = -((1 - p[centre]) ** 2 * p[centre].log()).sum()
    total = total - ((1 - target[~centre]) ** 4 * p[~centre] ** 2 * (1 - p[~centre]).log()).sum()
    return total / max(int(centre.sum()), 1)


@pytest.mark.parametrize("centres", [0, 1, 7])
def test_focal_loss_is_that_of_the_formula(centres: int) -> None:
    torch.manual_seed(centres)
    logits = (torch.randn(2, 3, 9, 11, dtype=torch.float64) * 4).requires_grad_()
    target = torch.rand(2, 3, 9, 11, dtype=torch.float64) * 0.99
    target.view(-1)[torch.randperm(target.numel())[:centres]] = 1
    expected = _focal_by_cell(logits, target)
    (wanted,) = torch.autograd.grad(expected, logits)
    for kind, close in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        given = logits.detach().to(kind).requires_grad_()
        loss = centre_focal_loss(given, target.float() if kind is torch.float32 else target)
        (found,) = torch.autograd.grad(loss, given)
        assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=close)
        assert torch.allclose(found.double(), wanted, rtol=10 * close, atol=close)


def test_focal_loss_in_numbers() -> None:
    zero = torch.zeros(1, 1, 1, 2)
    empty = centre_focal_loss(zero, zero)
    assert float(empty) == pytest.approx(2 * 0.25 * math.log(2))
    both = centre_focal_loss(zero, torch.tensor([[[[1.0, 0.5]]]]))
    assert float(both) == pytest.approx((1 + 0.5**4) * 0.25 * math.log(2))
    at_first = torch.full((1, 1, 100, 100), -2.19)
    p = 1 / (1 + math.exp(2.19))
    expected = -1e4 * p**2 * math.log(1 - p)
    assert float(centre_focal_loss(at_first, torch.zeros_like(at_first))) == pytest.approx(expected)


def test_focal_loss_is_clipped_and_learns_nothing_there() -> None:
    far = torch.tensor([[[[-1e4, 1e4, -20.0, 20.0]]]], requires_grad=True)
    loss = centre_focal_loss(far, torch.tensor([[[[1.0, 0.0, 0.0, 1.0]]]]))
    wrong, right = -math.log(1e-4) * (1 - 1e-4) ** 2, 1e-8 * -math.log(1 - 1e-4)
    assert float(loss.detach()) == pytest.approx((2 * wrong + 2 * right) / 2, rel=1e-5)
    loss.backward()
    assert not far.grad.any()


@pytest.mark.parametrize("light", ["velocity", "rotation"])
def test_box_loss_is_that_of_the_formula(light: str) -> None:
    weights = weights_of(recipe_of(light=light).head)
    frames = (random_truth(30, 0), truth_of(), random_truth(9, 1))
    settings = recipe_of().head
    for maps, targets in zip(
        _random_maps(3, torch.float64), build_targets(frames, LABELS, GRID, settings), strict=True
    ):
        loss = box_loss(maps, targets, weights)
        found = torch.autograd.grad(loss, [maps[name] for name in BRANCHES])
        expected = torch.zeros((), dtype=torch.float64)
        wanted = torch.zeros(3, 10, *GRID.shape, dtype=torch.float64)
        said = torch.cat([maps[name] for name in BRANCHES], 1).detach()
        share = [1] * 8 + [0.2] * 2 if light == "velocity" else [1] * 6 + [0.2] * 2 + [1] * 2
        for f, r, c, code in zip(
            targets.frame, targets.row, targets.column, targets.code, strict=True
        ):
            for number, value in enumerate(code.tolist()):
                if not math.isnan(value):
                    off = said[f, number, r, c] - value
                    expected += share[number] * off.abs() / (len(targets.code) + 1e-4)
                    step = share[number] * off.sign() / (len(targets.code) + 1e-4)
                    wanted[f, number, r, c] += step
        assert float(loss.detach()) == pytest.approx(float(expected), rel=1e-12)
        assert torch.allclose(torch.cat(found, 1), wanted, atol=1e-12)


def test_an_unknown_velocity_neither_costs_nor_teaches() -> None:
    known, unknown = truth_of(("car", {})), truth_of(("car", {"vx": math.nan, "vy": math.nan}))
    head, maps = _head(), _random_maps(1)
    values = []
    for frame in (known, unknown):
        loss = head.loss(maps, (frame,)).total
        values.append(float(loss.detach()))
        gradient = torch.autograd.grad(loss, maps[0]["velocity"])[0]
        assert gradient.isfinite().all() and bool(gradient.any()) == (frame is known)
    assert values[1] < values[0]
    with torch.no_grad():
        apart = (maps[0]["velocity"][0, :, 12, 16] - torch.tensor([2.0, -1.0])).abs().sum()
    assert values[0] - values[1] == pytest.approx(0.25 * 0.2 * float(apart), abs=1e-3)


def test_terms_are_summed_over_groups_and_weighed_once() -> None:
    frames = (random_truth(30, 0), random_truth(10, 1))
    head, maps = _head(box_weight=0.5), _random_maps(2)
    found = dict(head.loss(maps, frames))
    targets = build_targets(frames, LABELS, GRID, head.settings)
    pairs = list(zip(maps, targets, strict=True))
    heat = sum(float(centre_focal_loss(one["heatmap"], t.heatmap).detach()) for one, t in pairs)
    box = sum(float(box_loss(one, t, WEIGHTS).detach()) for one, t in pairs)
    assert float(found["heatmap"].detach()) == pytest.approx(heat, rel=1e-6)
    assert float(found["box"].detach()) == pytest.approx(0.5 * box, rel=1e-6)


def test_perfect_maps_cost_almost_nothing() -> None:
    frames, head = (random_truth(30, 5),), _head()
    targets = build_targets(frames, LABELS, GRID, head.settings)
    losses = dict(head.loss(maps_of(targets), frames))
    # Two objects of one cell would ask it for two codes.
    cells = [torch.stack((t.row, t.column)).unique(dim=1).shape[1] == len(t.row) for t in targets]
    assert all(cells)
    assert 0 <= float(losses["box"]) < 1e-6 and 0 <= float(losses["heatmap"]) < 0.01


@pytest.mark.parametrize("frames", [(truth_of(),), (truth_of(), truth_of())], ids=len)
def test_a_batch_without_any_object_teaches_the_heat_maps_alone(frames) -> None:
    maps = _random_maps(len(frames))
    loss = _head().loss(maps, frames)
    loss.total.backward()
    assert float(dict(loss)["box"].detach()) == 0 and float(dict(loss)["heatmap"].detach()) > 0
    for group in maps:
        assert bool(group["heatmap"].grad.any())
        assert not any(bool(group[name].grad.any()) for name in BRANCHES)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_is_widened_before_anything_is_summed(kind) -> None:
    frames, head = (random_truth(60, 0),), _head()
    maps = _random_maps(1, kind)
    with torch.no_grad():
        for one in _leaves(maps):
            one.mul_(20)  # sums of these overflow eleven bits and sixteen
    wide = tuple({n: m.detach().float().requires_grad_() for n, m in g.items()} for g in maps)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = head.loss(maps, frames).total
    expected = head.loss(wide, frames).total
    assert loss.dtype == torch.float32
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-6)
    for one, other in zip(
        torch.autograd.grad(loss, _leaves(maps)),
        torch.autograd.grad(expected, _leaves(wide)),
        strict=True,
    ):
        assert torch.equal(one, other.to(kind))


def test_truths_of_other_frames_are_no_broadcast() -> None:
    with pytest.raises(ValueError, match="1 truths of 2 frames"):
        _head().loss(_random_maps(2), (truth_of(),))


def test_losses_are_computed_where_the_maps_lie(monkeypatch) -> None:
    frames, head, maps = (random_truth(20, 3), truth_of()), _head(), _random_maps(2)
    expected = head.loss(maps, frames).total
    with elsewhere(monkeypatch), torch.no_grad():
        away = tuple({n: moved(m.detach()) for n, m in group.items()} for group in maps)
        found = moved(head).loss(away, moved(frames)).total
    assert float(found) == pytest.approx(float(expected.detach()), rel=1e-6)
