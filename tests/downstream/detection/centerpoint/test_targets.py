"""CenterPoint's targets: against one object after the other, and every odd frame."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lima_bench.common.errors import UserError
from lima_bench.downstream.detection.boxes import Truth
from lima_bench.downstream.detection.centerpoint.targets import build_targets
from tests.downstream.detection.centerpoint.center_maps import (
    FACTS,
    GRID,
    LABELS,
    random_truth,
    recipe_of,
)
from tests.downstream.detection.centerpoint.center_maps import truth_of as truth
from tests.lima.elsewhere import elsewhere, moved


def _built(*frames: Truth, labels=LABELS, **head):
    return build_targets(frames, labels, GRID, recipe_of(**head).head)


def _by_hand(frames, labels, *, clamp: bool, most: int):
    """What each group learns, object by object, as published code goes about it."""
    for members in labels:
        heat = np.zeros((len(frames), len(members), *GRID.shape))
        objects = []
        for number, frame in enumerate(frames):
            taken = 0
            for box, label in zip(frame.boxes.double().numpy(), frame.label.tolist(), strict=True):
                x, y = (box[:2] - np.array(GRID.lower)) / np.array(GRID.cell_m)
                if clamp:
                    x, y = (min(max(v, 0), n - 0.5) for v, n in zip((x, y), (32, 24), strict=True))
                column, row = int(x), int(y)
                inside = 0 <= column < 32 and 0 <= row < 24 and x > -1 and y > -1
                if label not in members or not inside or taken == most:
                    continue
                taken += 1
                where = heat[number, members.index(label)]
                for r in range(max(row - 2, 0), min(row + 3, 24)):
                    for c in range(max(column - 2, 0), min(column + 3, 32)):
                        bump = math.exp(-18 / 25 * ((r - row) ** 2 + (c - column) ** 2))
                        where[r, c] = max(where[r, c], bump)
                sizes, yaw = np.log(box[3:6]), box[6]
                code = [x - column, y - row, box[2], *sizes, np.sin(yaw), np.cos(yaw), *box[7:]]
                objects.append(([number, row, column], code))
        yield heat, objects


@pytest.mark.parametrize("off_map", ["skip", "clamp"])
@pytest.mark.parametrize("most", [500, 3])
def test_all_at_once_is_one_after_the_other(off_map: str, most: int) -> None:
    frames = (random_truth(60, 0), truth(), random_truth(41, 1, reach=1.6))
    found = _built(*frames, off_map=off_map, most_objects=most)
    expected = list(_by_hand(frames, LABELS, clamp=off_map == "clamp", most=most))
    for one, (heat, objects) in zip(found, expected, strict=True):
        assert np.abs(one.heatmap.numpy() - heat).max() < 1e-6
        places = torch.stack((one.frame, one.row, one.column), 1).tolist()
        assert places == [place for place, _ in objects] and places
        codes = np.array([code for _, code in objects])
        assert np.allclose(one.code.numpy(), codes, atol=1e-5, equal_nan=True)
    assert sum(len(one.code) for one in found) == sum(len(o) for _, o in expected)


def test_the_order_of_frames_and_classes_holds() -> None:
    car, cone = truth(("car", {})), truth(("traffic_cone", {"x": 3.0}))
    first, *_, last = _built(cone, car)
    assert first.frame.tolist() == [1] and last.frame.tolist() == [0]
    assert last.heatmap.shape == (2, 2, 24, 32)
    assert bool(last.heatmap[0, 1, 12, 19] == 1) and not last.heatmap[:, 0].any()


def test_a_code_in_numbers() -> None:
    (code,) = _built(truth(("car", {"x": 0.2, "y": -0.6, "yaw": math.pi / 2})))[0].code.tolist()
    logs = [math.log(one) for one in (4.6, 1.9, 1.7)]
    assert code == pytest.approx([0.25, 0.25, -1.0, *logs, 1.0, 0.0, 2.0, -1.0], abs=1e-5)


def test_frames_without_objects_ask_for_nothing() -> None:
    for frames in ((truth(),), (truth(), truth())):
        for one in _built(*frames):
            assert not one.heatmap.any() and one.code.shape == (0, 10)


def test_equal_centres_share_a_peak_and_keep_their_codes() -> None:
    one, *_ = _built(truth(("car", {}), ("car", {"length": 9.0})))
    assert int((one.heatmap == 1).sum()) == 1
    assert one.code[:, 3].exp().tolist() == pytest.approx([4.6, 9.0])
    assert one.row[0] == one.row[1] and one.column[0] == one.column[1]


@pytest.mark.parametrize("change", [{"length": 0.0}, {"width": -1.0}, {"height": 0.0}], ids=str)
@pytest.mark.parametrize("off_map", ["skip", "clamp"])
def test_a_box_without_a_volume_is_left_out(change, off_map) -> None:
    one, *_ = _built(truth(("car", change), ("car", {"y": 4.0})), off_map=off_map)
    assert one.code.isfinite().all() and len(one.code) == 1
    assert int((one.heatmap == 1).sum()) == 1


@pytest.mark.parametrize(
    "change", [{"x": math.nan}, {"yaw": math.inf}, {"height": math.nan}, {"vy": -math.inf}], ids=str
)
def test_a_number_that_is_none_is_refused(change) -> None:
    with pytest.raises(UserError, match="number that is none") as error:
        _built(truth(), truth(("car", {"vx": math.nan}), ("car", change)))
    assert "frame 1 of a batch" in str(error.value) and "Mend" in str(error.value)


def test_off_the_map() -> None:
    edge = truth(("car", {"x": 12.9}), ("car", {"x": -13.0}), ("car", {"x": 900.0, "y": -900.0}))
    skipped, *_ = _built(edge)
    assert skipped.column.tolist() == [
        0
    ]  # a quarter of a cell before the first: cut off, it is in it
    assert skipped.code[0, 0] == pytest.approx(-0.25, abs=1e-5)
    clamped, *_ = _built(edge, off_map="clamp")
    assert clamped.column.tolist() == [31, 0, 31] and clamped.row.tolist() == [12, 12, 0]
    assert clamped.code[:, :2].flatten().tolist() == pytest.approx([0.5, 0.125, 0, 0.125, 0.5, 0])


def test_most_objects_counts_what_can_be_learnt_of_each_group_and_frame() -> None:
    cars = [("car", {"x": float(x)}) for x in (99, -8, -4, 0, 4)]
    frame = truth(*cars, ("truck", {}), ("bus", {}))
    first, second, *_ = _built(frame, frame, most_objects=2)
    assert first.frame.tolist() == [0, 0, 1, 1] and first.column.tolist() == [6, 11, 6, 11]
    assert second.frame.tolist() == [0, 1]


def test_a_class_of_no_group_is_not_learnt() -> None:
    groups = (("truck",), ("car",))
    labels = tuple((FACTS.names.index(name),) for (name,) in groups)
    frame = truth(("bus", {}), ("car", {}), ("barrier", {}), ("pedestrian", {}))
    trucks, cars = _built(frame, labels=labels)
    assert not trucks.heatmap.any() and len(cars.code) == 1


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_targets_are_float32_whatever_the_truth_is(kind) -> None:
    exact = random_truth(30, 2)
    given = Truth(exact.boxes.to(kind), exact.label)
    expected = _built(Truth(given.boxes.float(), given.label))
    for one, other in zip(_built(given), expected, strict=True):
        assert one.heatmap.dtype == one.code.dtype == torch.float32
        assert torch.equal(one.heatmap, other.heatmap)
        assert torch.allclose(one.code, other.code, atol=1e-5, equal_nan=True)


def test_cells_may_be_oblong_and_radii_follow_settings() -> None:
    box = truth(("car", {"length": 16.0, "width": 16.0}))
    wide, *_ = _built(box, min_overlap=0.7)
    exact, *_ = _built(box, min_overlap=0.7, radius="exact")
    # 20 cells each way; CornerNet's third root is 2.8 a = 7.8 cells wide, the exact one 1.9.
    assert int((wide.heatmap > 0).sum()) > int((exact.heatmap > 0).sum()) == 25


def test_targets_are_built_where_the_truth_lies(monkeypatch) -> None:
    frames = (random_truth(20, 3), truth(), random_truth(5, 4))
    expected = _built(*frames)
    with elsewhere(monkeypatch):
        found = _built(*moved(frames))
    for one, other in zip(found, expected, strict=True):
        for name in ("heatmap", "frame", "row", "column", "code"):
            assert torch.equal(
                getattr(one, name).here.nan_to_num(), getattr(other, name).nan_to_num()
            )
