"""SECOND's losses against formulas of a few lines in double precision, gradients included."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from lima_bench.downstream.detection.boxes import Truth
from lima_bench.downstream.detection.second.code import CODE
from lima_bench.downstream.detection.second.head import SecondHead
from lima_bench.downstream.detection.second.losses import code_distance, sigmoid_focal
from tests.downstream.detection.second.second_case import (
    GRID,
    GROUPS,
    assigned,
    box,
    head_of,
    random_maps,
    random_truth,
    truth,
)


def _focal(logit: Tensor, answer: bool) -> Tensor:
    p = 1 / (1 + (-logit).exp())
    return -0.25 * (1 - p) ** 2 * p.log() if answer else -0.75 * p**2 * (1 - p).log()


def test_focal_loss_of_each_answer_and_its_gradient() -> None:
    logits = torch.linspace(-6, 6, 13, dtype=torch.float64).requires_grad_()
    for answer in (True, False):
        target = torch.full_like(logits, answer, dtype=torch.bool)
        ours, theirs = sigmoid_focal(logits, target, 0.25, 2.0), _focal(logits, answer)
        torch.testing.assert_close(ours, theirs)
        slopes = (torch.autograd.grad(loss.sum(), logits)[0] for loss in (ours, theirs))
        torch.testing.assert_close(*slopes)


def test_focal_loss_of_a_coin_and_of_the_sure() -> None:
    logits, target = torch.tensor([0.0, 0.0, 200.0, -200.0]), torch.tensor([True, False] * 2)
    found = sigmoid_focal(logits, target, 0.25, 2.0)
    half = math.log(2) / 4
    assert found.tolist() == pytest.approx([0.25 * half, 0.75 * half, 0.0, 0.0])
    wrong = sigmoid_focal(-logits, target, 0.25, 2.0)
    assert wrong[2:].tolist() == pytest.approx([0.25 * 200, 0.75 * 200])


def test_distance_weighs_velocity_and_asks_nothing_where_it_is_unknown() -> None:
    predicted = torch.zeros(2, 10, dtype=torch.float64).requires_grad_()
    target = torch.arange(1.0, 11.0).repeat(2, 1).double()
    target[1, 9] = math.nan
    found = code_distance(predicted, target, 0.2)
    assert found.tolist() == pytest.approx([36 + 0.2 * 19, 36 + 0.2 * 9])
    slope = torch.autograd.grad(found.sum(), predicted)[0]
    assert slope[0].tolist() == pytest.approx([-1] * 8 + [-0.2] * 2)
    assert slope[1].tolist() == pytest.approx([-1] * 8 + [-0.2, 0])


def _plain(head: SecondHead, maps: tuple[dict[str, Tensor], ...], frames: list[Truth]) -> Tensor:
    """Both terms, anchor by anchor and number by number."""
    anchors = head._anchors_on(torch.device("cpu"))
    lesson = assigned(frames, anchors)
    learnt = dict(zip(lesson.positive.tolist(), lesson.object.tolist(), strict=True))
    ignored = set(lesson.ignored.tolist())
    objects = torch.cat([one.boxes for one in frames]).double()
    owner = [(group, name) for group, names in enumerate(GROUPS) for name in names]
    every = torch.arange(len(frames) * anchors.n_anchors)
    standing, places = anchors.boxes(every), torch.stack(anchors.places(every), 1).tolist()
    learners = [
        sum(n // anchors.n_anchors == frame for n in learnt) for frame in range(len(frames))
    ]
    channels = [one["classes"].flatten(2).unbind(2) for one in maps]
    classification, regression = [], []
    for number, (frame, slot, row, column) in enumerate(places):
        share = 1 / (max(1, learners[frame]) * len(frames))
        group, name = owner[slot // 2]
        inside = slot - 2 * owner.index((group, GROUPS[group][0]))
        n_classes = len(GROUPS[group])
        if number in ignored:
            continue
        weight = share * (1.0 if number in learnt else 2.0)
        logits = channels[group][row * GRID.shape[1] + column][frame]
        for k, other in enumerate(GROUPS[group]):
            answer = number in learnt and other == name
            classification.append(weight * _focal(logits[inside * n_classes + k], answer))
        if number in learnt:
            said = {
                k: maps[group][k][frame, inside * n : (inside + 1) * n, row, column]
                for k, n in CODE.items()
            }
            regression.append(share * _far(said, objects[learnt[number]], standing[number]))
    return torch.stack([torch.stack(classification).sum(), 0.25 * torch.stack(regression).sum()])


def _far(said: dict[str, Tensor], b: Tensor, a: Tensor) -> Tensor:
    diagonal = (a[3] ** 2 + a[4] ** 2).sqrt()
    wanted = {
        "offset": [(b[0] - a[0]) / diagonal, (b[1] - a[1]) / diagonal],
        "height": [(b[2] - a[2]) / a[5]],
        "size": [(b[3] / a[3]).log(), (b[4] / a[4]).log(), (b[5] / a[5]).log()],
        "angle": [b[6].cos() - a[6].cos(), b[6].sin() - a[6].sin()],
        "velocity": [b[7], b[8]],
    }
    far = said["offset"].sum() * 0
    for name, numbers in wanted.items():
        for one, other in zip(said[name], numbers, strict=True):
            if not other.isnan():
                far = far + (0.2 if name == "velocity" else 1.0) * (one - other).abs()
    return far


def test_both_terms_and_their_gradients_are_those_of_a_plain_sum() -> None:
    head = head_of()
    frames = [random_truth(0), random_truth(1, 3)]
    frames[0].boxes[::3, 7] = math.nan
    maps = random_maps(head, len(frames))
    leaves = [values for one in maps for values in one.values()]
    found = head.loss(maps, frames)
    assert [name for name, _ in found] == ["classification", "box"]
    ours, theirs = torch.stack([value for _, value in found]), _plain(head, maps, frames)
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=0)
    for term in range(2):
        pairs = (
            torch.autograd.grad(t[term], leaves, retain_graph=True, materialize_grads=True)
            for t in (ours, theirs)
        )
        for mine, other in zip(*pairs, strict=True):
            torch.testing.assert_close(mine, other, rtol=1e-9, atol=1e-12)


def test_frames_without_objects_teach_background_alone() -> None:
    head = head_of()
    maps = random_maps(head, 2)
    found = head.loss(maps, [truth(), truth()])
    everything = [_focal(one["classes"], False).sum() for one in maps]
    torch.testing.assert_close(found.terms["classification"], 2 * sum(everything) / 2)
    assert found.terms["box"].item() == 0
    found.total.backward()
    for one in maps:
        assert one["classes"].grad.all()
        assert all(one[name].grad is not None and not one[name].grad.any() for name in CODE)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_maps_are_judged_in_float32(dtype: torch.dtype) -> None:
    head, frames = head_of(), [random_truth(0)]
    maps = random_maps(head, 1)
    half = tuple({name: values.detach().to(dtype) for name, values in one.items()} for one in maps)
    whole = tuple({name: values.float() for name, values in one.items()} for one in half)
    with torch.autocast("cpu", dtype):
        found = head.loss(half, frames)
    for (_, ours), (_, theirs) in zip(found, head.loss(whole, frames), strict=True):
        assert ours.dtype == torch.float32
        assert ours.item() == theirs.item()


def test_an_unknown_velocity_changes_nothing_but_its_own_term() -> None:
    head = head_of()
    maps = random_maps(head, 1)
    known, unknown = box("car", 0, 0), box("car", 0, 0)
    unknown[7:] = [math.nan, math.nan]
    losses = [head.loss(maps, [truth(("car", b))]) for b in (known, unknown)]
    assert losses[0].terms["classification"].item() == losses[1].terms["classification"].item()
    assert losses[1].terms["box"].item() < losses[0].terms["box"].item()
    losses[1].total.backward()
    assert all(v.grad.isfinite().all() for one in maps for v in one.values())
    assert not any(one["velocity"].grad.any() for one in maps)


def test_weights_of_the_recipe_count() -> None:
    frames = [random_truth(0)]
    maps = random_maps(head_of(), 1)
    before = head_of().loss(maps, frames)
    after = head_of(box_weight=0.5, background_weight=0.0).loss(maps, frames)
    assert after.terms["box"].item() == pytest.approx(2 * before.terms["box"].item())
    assert after.terms["classification"].item() < before.terms["classification"].item()
