"""From CenterPoint's maps to boxes: back to the truth, and what is dropped on the way."""

from __future__ import annotations

import math

import pytest
import torch

from lima_bench.downstream.detection.boxes import Truth
from lima_bench.downstream.detection.centerpoint.code import BRANCHES
from lima_bench.downstream.detection.centerpoint.head import CenterPointHead
from lima_bench.downstream.detection.centerpoint.targets import build_targets
from lima_bench.downstream.detection.head import MapGrid
from lima_bench.downstream.detection.settings import NmsSettings
from tests.downstream.detection.centerpoint.center_maps import (
    FACTS,
    GRID,
    LABELS,
    maps_of,
    recipe_of,
    truth_of,
)

LARGE = MapGrid(lower=(-51.2, -51.2), cell_m=(0.8, 0.8), shape=(128, 128))
EVERYTHING = NmsSettings(kind="rotated", iou=1.0, after=500)


def _head(grid=GRID, **head) -> CenterPointHead:
    settings = {"shared": 4, "branch": 4, "nms": EVERYTHING, **head}
    return CenterPointHead(4, recipe_of(**settings), FACTS, grid)


def _maps(*frames: Truth, grid=GRID):
    return maps_of(build_targets(frames, LABELS, grid, recipe_of().head))


def _cell(maps, group: int, channel: int, row: int, column: int, score: float, **code) -> None:
    """Let one cell say a box; without more, a cube of a metre in the middle of the cell."""
    filled = {"offset": (0.5, 0.5), "rotation": (0.0, 1.0), **code}
    maps[group]["heatmap"][0, channel, row, column] = math.log(score / (1 - score))
    for name, values in filled.items():
        maps[group][name][0, :, row, column] = torch.tensor(values)


def _spread(n: int, seed: int) -> Truth:
    """Boxes on a loose lattice, so that no two share a cell."""
    generator = torch.Generator().manual_seed(seed)
    at = torch.randperm(24 * 24, generator=generator)[:n]
    boxes = torch.rand(n, 9, generator=generator) * 2 - 1
    boxes[:, 0] = (at % 24 - 12) * 4 + boxes[:, 0] * 1.9
    boxes[:, 1] = (at // 24 - 12) * 4 + boxes[:, 1] * 1.9
    boxes[:, 3:6] = (boxes[:, 3:6] * 2).exp()
    boxes[:, 6] *= math.pi
    boxes[:, 7:] *= 12
    return Truth(boxes, torch.randint(0, len(FACTS.names), (n,), generator=generator))


def _in_rows(boxes, label) -> torch.Tensor:
    table = torch.cat((boxes, label[:, None]), 1)
    return table[(table[:, 0] * 1000 + table[:, 1]).argsort()]


def test_what_was_encoded_comes_back() -> None:
    frames = _spread(150, 0), truth_of(), _spread(30, 1)
    found = _head(LARGE).decode(_maps(*frames, grid=LARGE))
    for one, truth in zip(found, frames, strict=True):
        assert len(one.boxes) == len(truth.boxes) and one.boxes.dtype == torch.float32
        back, expected = _in_rows(one.boxes, one.label), _in_rows(truth.boxes, truth.label)
        # float32 keeps the logarithm of 7 m to 1e-7, and so 7 m to 1e-6; places to half of 4e-6.
        assert torch.allclose(back, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("yaw", [-3.1, -math.pi / 2, 0.0, math.pi / 2, 3.1])
def test_height_is_that_of_the_middle_and_yaw_keeps_its_direction(yaw: float) -> None:
    frame = truth_of(("bus", {"z": 1.25, "height": 3.4, "yaw": yaw, "vx": -3.0}))
    (found,) = _head().decode(_maps(frame))
    assert torch.allclose(found.boxes, frame.boxes, atol=1e-5)
    assert found.label.tolist() == frame.label.tolist()
    assert found.score.tolist() == pytest.approx([1 / (1 + math.exp(-8))])


def test_nothing_is_found_where_nothing_is_said() -> None:
    found = _head().decode(_maps(truth_of(), truth_of()))
    assert [one.boxes.shape for one in found] == [(0, 9), (0, 9)]
    assert all(len(one.score) == len(one.label) == 0 for one in found)
    assert found[0].label.dtype == torch.int64


def test_a_score_must_be_above_the_bound_and_the_best_come_first() -> None:
    maps = _maps(truth_of())
    for column, score in enumerate((0.05, 0.3, 0.7, 0.11)):
        _cell(maps, column % 2, 0, 3, 4 * column, score)
    (found,) = _head().decode(maps)
    assert found.score.tolist() == pytest.approx([0.7, 0.3, 0.11])
    assert [FACTS.names[one] for one in found.label] == ["car", "truck", "truck"]
    # The middle of the cell in row 3 and column 8.
    assert found.boxes[0, :2].tolist() == pytest.approx([-12.8 + 8.5 * 0.8, -9.6 + 3.5 * 0.8])
    assert len(_head(score=0.0, best=30).decode(maps)[0].score) == 6 * 30


def test_the_best_of_a_group_are_the_best_of_its_best_by_class() -> None:
    torch.manual_seed(0)
    maps = _maps(truth_of())
    maps[1]["heatmap"] = torch.randn(1, 2, *GRID.shape)
    (found,) = _head(best=40, nms=NmsSettings(iou=1.0, after=40)).decode(maps)
    score = maps[1]["heatmap"].sigmoid()[0]
    by_class = [one.flatten().topk(40).values for one in score]
    expected = torch.cat(by_class).topk(40).values
    assert torch.equal(found.score, expected)
    assert 0 < int((found.label == LABELS[1][0]).sum()) < 40


def test_equal_scores_come_in_the_order_of_groups_classes_and_cells() -> None:
    maps = _maps(truth_of())
    cells = [(2, 1, 0, 0), (2, 0, 9, 9), (2, 0, 9, 3), (0, 0, 20, 20), (5, 1, 1, 1), (2, 0, 8, 30)]
    for group, channel, row, column in cells:
        _cell(maps, group, channel, row, column, 0.5)
    (found,) = _head().decode(maps)
    rows = ((found.boxes[:, 1] + 9.6) / 0.8).floor().int().tolist()
    assert rows == [20, 8, 9, 9, 0, 1]
    assert [FACTS.names[one] for one in found.label] == (
        ["car", "bus", "bus", "bus", "trailer", "traffic_cone"]
    )


@pytest.mark.parametrize(
    "code",
    [
        {"height": (10.1,)},
        {"offset": (200.0, 0.5)},
        {"size": (90.0, 0.0, 0.0)},
        {"size": (0.0, -200.0, 0.0)},
        {"velocity": (math.inf, 0.0)},
        {"rotation": (math.nan, 0.0)},
    ],
    ids=str,
)
def test_what_is_far_away_or_no_box_is_dropped(code) -> None:
    maps = _maps(truth_of())
    _cell(maps, 0, 0, 5, 5, 0.9, **code)
    _cell(maps, 0, 0, 9, 9, 0.8)
    (found,) = _head().decode(maps)
    assert found.score.tolist() == pytest.approx([0.8])


def test_each_group_has_its_own_circle_and_classes_in_it_are_alike() -> None:
    maps = _maps(truth_of())
    for group in range(6):
        _cell(maps, group, 0, 4, 4, 0.9)
        _cell(maps, group, len(LABELS[group]) - 1, 4, 6, 0.8)  # 1.6 m, 2.56 square metres apart
    circle = NmsSettings(kind="circle", squared_m=(4.0, 12.0, 2.5, 1.0, 2.6, 0.175))
    (found,) = _head(nms=circle).decode(maps)
    second = [FACTS.names[one] for one in found.label[found.score < 0.85]]
    assert second == ["trailer", "barrier", "traffic_cone"]
    assert int((found.score > 0.85).sum()) == 6


def test_nms_sees_the_best_before_and_keeps_the_best_after() -> None:
    maps = _maps(truth_of())
    for number in range(10):
        _cell(maps, 0, 0, 2 * number, 2 * number, 0.5 + 0.04 * number)
    few = NmsSettings(kind="circle", squared_m=(0.1,) * 6, before=5, after=3)
    (found,) = _head(nms=few).decode(maps)
    assert found.score.tolist() == pytest.approx([0.86, 0.82, 0.78])
    wide = NmsSettings(kind="circle", squared_m=(500.0,) * 6, before=5, after=3)
    assert len(_head(nms=wide).decode(maps)[0].score) == 1


def test_half_precision_decodes_as_its_numbers_in_float32() -> None:
    maps = _maps(_spread(20, 4), grid=LARGE)
    half = tuple({name: one.half() for name, one in group.items()} for group in maps)
    wide = tuple({name: one.float() for name, one in group.items()} for group in half)
    (found,), (expected,) = _head(LARGE).decode(half), _head(LARGE).decode(wide)
    assert len(found.boxes) == 20 and found.boxes.dtype == torch.float32
    assert torch.equal(found.boxes, expected.boxes)
    assert torch.equal(found.score, expected.score)


def test_decoding_needs_no_gradient_and_changes_no_map() -> None:
    maps = _maps(_spread(20, 4), grid=LARGE)
    copies = tuple({n: m.clone().requires_grad_() for n, m in group.items()} for group in maps)
    (found,) = _head(LARGE).decode(copies)
    assert len(found.score) == 20
    assert not found.boxes.requires_grad and not found.score.requires_grad
    names = (*BRANCHES, "heatmap")
    assert all(torch.equal(a[n], b[n]) for a, b in zip(maps, copies, strict=True) for n in names)
