"""Assignment: against a plain loop over anchors and objects, and what it makes of odd objects."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from lima_bench.downstream.detection.boxes import Truth
from lima_bench.downstream.detection.second.anchors import AnchorGrid
from lima_bench.downstream.detection.second.settings import AnchorSettings
from tests.downstream.detection.second.second_case import (
    ANCHORS,
    GROUPS,
    LABEL,
    NAMES,
    anchors_of,
    assigned,
    box,
    random_truth,
    truth,
)


def _rectangle(box: list[float], yaw: float) -> tuple[float, float, float, float]:
    x, y, _, length, width = box[:5]
    bent = abs(math.remainder(yaw, math.pi)) > math.pi / 4
    along, across = (width, length) if bent else (length, width)
    return x - along / 2, y - across / 2, x + along / 2, y + across / 2


def _iou(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    wide = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    high = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    area = [(r[2] - r[0]) * (r[3] - r[1]) for r in (a, b)]
    return wide * high / (sum(area) - wide * high)


def _by_loop(frames: list[Truth], anchors: AnchorGrid) -> tuple[dict[int, int], set[int]]:
    """Anchor to object, and the ignored anchors, one anchor after the other."""
    learnt, ignored, begin = {}, set(), 0
    order = [name for group in GROUPS for name in group]
    for number, one in enumerate(frames):
        boxes = one.boxes.double().tolist()
        for place, name in enumerate(order):
            rows = [i for i, label in enumerate(one.label.tolist()) if NAMES[label] == name]
            first = (number * len(order) + place) * anchors.n_anchors // len(order)
            mine = range(first, first + anchors.n_anchors // len(order))
            standing = anchors.boxes(torch.tensor(mine)).tolist()
            overlap = [
                [_iou(_rectangle(a, a[6]), _rectangle(boxes[i], boxes[i][6])) for i in rows]
                for a in standing
            ]
            if not rows:
                continue
            top = [max(line[k] for line in overlap) for k in range(len(rows))]
            for anchor, line in zip(mine, overlap, strict=True):
                best = max(line)
                ties = any(v > 0 and v >= t * (1 - 1e-4) for v, t in zip(line, top, strict=True))
                if ties or best >= ANCHORS[name].positive:
                    learnt[anchor] = begin + rows[line.index(best)]
                elif best >= ANCHORS[name].negative:
                    ignored.add(anchor)
        begin += len(boxes)
    return learnt, ignored


@pytest.mark.parametrize("kind", ["spread", "centred"])
@pytest.mark.parametrize("seed", range(3))
def test_assigns_as_a_loop_over_all_anchors_does(seed: int, kind: str) -> None:
    anchors = anchors_of(anchor_grid=kind)
    frames = [random_truth(2 * seed, 25), truth(), random_truth(2 * seed + 1, 5)]
    found = assigned(frames, anchors)
    learnt, ignored = _by_loop(frames, anchors)
    assert len(learnt) > 20 and ignored
    assert dict(zip(found.positive.tolist(), found.object.tolist(), strict=True)) == learnt
    assert set(found.ignored.tolist()) == ignored
    for numbers in (found.positive, found.ignored):
        assert (numbers.diff() > 0).all()


def test_every_anchor_that_ties_for_an_object_learns_it() -> None:
    anchors = anchors_of(anchor_grid="centred")
    between = truth(("cone", box("cone", -5.6 + 0.4, -2.75 + 0.25)))  # among four cells
    found = assigned([between], anchors)
    _, slot, row, column = anchors.places(found.positive)
    places = set(zip(slot.tolist(), row.tolist(), column.tolist(), strict=True))
    # A square cone lies in both rotations alike; the overlap is far below the positive threshold.
    assert places == {(s, r, c) for s in (4, 5) for r in (0, 1) for c in (0, 1)}


def test_a_forced_anchor_learns_the_object_that_it_overlaps_most() -> None:
    anchors = anchors_of(anchor_grid="centred")
    near, far = box("cone", -5.6, -2.75), box("cone", -5.6 + 0.1, -2.75, scale=0.5)
    found = assigned([truth(("cone", far), ("cone", near))], anchors)
    # The smaller one has no better anchor than that of the bigger one, which keeps it.
    assert found.object.tolist() == [1, 1]


def test_the_first_of_equal_objects_is_learnt() -> None:
    twins = truth(("car", box("car", 0, 0)), ("car", box("car", 0, 0)))
    assert assigned([twins], anchors_of()).object.unique().tolist() == [0]


def test_thresholds_themselves_are_positive_and_ignored() -> None:
    one = AnchorSettings(size=(1, 1, 1), bottom_m=0, positive=0.6, negative=1 / 3)
    anchors = anchors_of(anchors=ANCHORS | {"cone": one})
    # Exact in binary: the overlaps are 1, 0.75 / 1.25, 0.5 / 1.5 and 0.25 / 1.75.
    anchors = replace(anchors, y=torch.arange(4).double() / 4, x=torch.zeros(1).double())
    found = assigned([truth(("cone", [0.0, 0, 0, 1, 1, 1, 0, 0, 0]))], anchors)
    for numbers, rows in ((found.positive, [0, 1]), (found.ignored, [2])):
        _, slot, row, _ = anchors.places(numbers)
        assert row.tolist() == rows + rows and slot.unique().tolist() == [4, 5]


def test_an_object_out_of_reach_is_learnt_by_none() -> None:
    anchors = anchors_of()
    far = truth(
        ("car", box("car", 1e6, 0)), ("car", box("car", 0, -300)), ("walker", box("walker", 9, 9))
    )
    found = assigned([far], anchors)
    assert not len(found.positive) and not len(found.ignored)


def test_an_object_off_the_map_within_reach_is_learnt_at_the_border() -> None:
    anchors = anchors_of()
    found = assigned([truth(("car", box("car", 7.0, 0.0)))], anchors)
    _, _, _, column = anchors.places(found.positive)
    assert len(column) and (column == 14).all()


@pytest.mark.parametrize("side", [3, 4, 5])
def test_an_object_without_volume_is_learnt_by_none(side: int) -> None:
    flat = box("car", 0, 0)
    flat[side] = 0.0
    found = assigned([truth(("car", flat))], anchors_of())
    assert not len(found.positive) and not len(found.ignored)


def test_a_class_of_no_group_is_background() -> None:
    found = assigned([truth(("stranger", box("car", 0, 0)))], anchors_of())
    assert not len(found.positive) and not len(found.ignored)


def test_frames_without_objects() -> None:
    found = assigned([truth(), truth()], anchors_of())
    assert [len(x) for x in (found.positive, found.object, found.ignored)] == [0, 0, 0]


def test_only_anchors_of_the_same_class_learn_an_object() -> None:
    anchors = anchors_of()
    found = assigned([truth(("walker", box("walker", 0.1, 0.1)))], anchors)
    _, slot, _, _ = anchors.places(found.positive)
    first = int(anchors.first_slot[LABEL["walker"]])
    assert len(slot) and set(slot.tolist()) <= {first, first + 1}


def test_an_object_larger_than_the_map() -> None:
    huge = truth(("car", [0.0, 0.0, 0.0, 1e5, 1e5, 2.0, 0.3, 0.0, 0.0]))
    found = assigned([huge], anchors_of())
    assert len(found.positive)  # each anchor that lies whole within it ties
