"""Anchors: how many, where, in which order, and which way they count as lying."""

from __future__ import annotations

import math

import pytest
import torch

from lima_bench.common.errors import UserError
from lima_bench.datasets.card import Card
from lima_bench.datasets.nuscenes import reader
from lima_bench.downstream.detection.head import MapGrid
from lima_bench.downstream.detection.second.anchors import anchor_grid, upright
from lima_bench.downstream.detection.second.settings import SecondSettings
from lima_bench.downstream.detection.settings import SIX_GROUPS
from tests.downstream.detection.second.second_case import (
    ANCHORS,
    FACTS,
    GRID,
    GROUPS,
    anchors_of,
    recipe,
)


def test_published_anchors_of_a_frame() -> None:
    facts = Card.beside(reader.__file__).detection
    assert facts is not None
    grid = MapGrid((-51.2, -51.2), (0.8, 0.8), (128, 128))
    anchors = anchor_grid(SecondSettings(), SIX_GROUPS, facts, grid)
    assert anchors.n_anchors == 327_680 == 128 * 128 * 20
    for line in (anchors.x, anchors.y):
        assert line[0].item() == -51.2 and line[-1].item() == pytest.approx(51.2)
        assert line.diff().numpy() == pytest.approx(102.4 / 127)
    truck = int(anchors.first_slot[facts.names.index("truck")])
    assert truck == 2
    assert anchors.slots[truck].tolist() == pytest.approx([-0.6 + 2.84 / 2, 6.93, 2.51, 2.84, 0.0])
    assert anchors.slots[truck + 1, 4].item() == pytest.approx(1.57)
    assert (anchors.positive[truck].item(), anchors.negative[truck].item()) == (0.55, 0.40)


def test_centred_anchors_stand_in_the_middle_of_cells() -> None:
    anchors = anchors_of(anchor_grid="centred")
    assert anchors.x[[0, -1]].tolist() == pytest.approx([-5.6, 5.6])
    assert anchors.y[[0, -1]].tolist() == pytest.approx([-2.75, 2.75])
    assert anchors.y.diff().numpy() == pytest.approx(0.5)


def test_anchors_are_numbered_by_frame_slot_row_and_column() -> None:
    anchors = anchors_of()
    assert anchors.shape == (6, 12, 15)
    numbers = torch.arange(2 * anchors.n_anchors)
    frame, slot, row, column = anchors.places(numbers)
    again = torch.stack((frame, slot, row, column), 1).tolist()
    assert again == [
        list(p) for p in torch.cartesian_prod(*map(torch.arange, (2, 6, 12, 15))).tolist()
    ]
    number = ((1 * 6 + 3) * 12 + 2) * 15 + 4  # frame 1, the walker turned, third row, fifth column
    found = anchors.boxes(torch.tensor([number]))[0].tolist()
    x, y = anchors.x[4].item(), anchors.y[2].item()
    assert found == pytest.approx([x, y, 0.0, 0.9, 0.7, 1.8, 1.57])


def test_slots_follow_the_groups_and_know_the_classes() -> None:
    anchors = anchors_of()
    assert anchors.first_slot.tolist() == [2, 0, 4, -1]
    lengths = [ANCHORS[name].size[0] for group in GROUPS for name in group for _ in range(2)]
    assert anchors.slots[:, 1].tolist() == pytest.approx(lengths)


@pytest.mark.parametrize(
    ("yaw", "turned"),
    [(0.0, False), (0.78, False), (0.79, True), (1.57, True), (-1.57, True), (2.35, True),
     (2.36, False), (math.pi, False), (-math.pi, False), (-0.79, True), (-0.78, False),
     (3.9, False), (3.95, True), (20 * math.pi + 0.7, False), (1.57 - 20 * math.pi, True)],
)  # fmt: skip
def test_length_and_width_change_places_beyond_an_eighth_turn(yaw: float, turned: bool) -> None:
    one = torch.ones(1, dtype=torch.float64)
    assert upright(4 * one, 2 * one, yaw * one).tolist() == [[2.0, 4.0] if turned else [4.0, 2.0]]


def test_a_class_that_the_data_set_lacks_is_named_with_the_nearest() -> None:
    with pytest.raises(UserError, match='Did you mean "walker"'):
        anchor_grid(recipe().head, (("waker",),), FACTS, GRID)


def test_a_class_in_two_groups_is_an_error() -> None:
    with pytest.raises(UserError, match='"car" is named 2 times'):
        anchor_grid(recipe().head, (("car",), ("cone", "car")), FACTS, GRID)


def test_nothing_can_be_spread_over_one_cell() -> None:
    narrow = MapGrid((0.0, 0.0), (0.8, 0.8), (4, 1))
    with pytest.raises(UserError, match="one cell wide"):
        anchor_grid(recipe().head, GROUPS, FACTS, narrow)
    assert anchor_grid(recipe(anchor_grid="centred").head, GROUPS, FACTS, narrow).x.tolist() == [
        0.4
    ]
