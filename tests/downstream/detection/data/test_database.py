"""Objects that are pasted: cut out whole, of the label share alone, never one over another."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from shapely.geometry import Polygon

from lima_bench.common.errors import UserError
from lima_bench.downstream.detection.boxes import Objects
from lima_bench.downstream.detection.data.batches import TrainBatches
from lima_bench.downstream.detection.data.database import ObjectDatabase, inside, joined
from lima_bench.downstream.detection.data.frames import LoadedFrames
from lima_bench.downstream.detection.data.sweeps import SweptPoints, drawn
from lima_bench.downstream.detection.settings import ObjectSampling
from lima_bench.lima.order import Share, Shuffled

NOTHING = Objects(np.zeros((0, 9), np.float32), np.zeros(0, np.int64))
PASTING = ObjectSampling(counts={"car": 6, "person": 2, "cone": 0}, min_points=5)


@pytest.fixture
def loaded(make_boxed, grid_student, recipe):
    return LoadedFrames(make_boxed(5), grid_student, recipe)


@pytest.fixture
def database(loaded):
    return ObjectDatabase.of(loaded, PASTING)


def _outline(box: np.ndarray) -> Polygon:
    cos, sin = np.cos(box[6]), np.sin(box[6])
    along, across = np.array([cos, sin]) * box[3] / 2, np.array([-sin, cos]) * box[4] / 2
    return Polygon(
        [box[:2] + a * along + b * across for a, b in ((1, 1), (1, -1), (-1, -1), (-1, 1))]
    )


def _ground(seed: int = 0) -> SweptPoints:
    rng = np.random.default_rng(seed)
    points = rng.uniform((-16, -16, -1), (16, 16, 1), (20_000, 3)).astype(np.float32)
    # Ages below zero mark what the frame itself shows.
    return SweptPoints(points, *(np.full(len(points), -1, dtype=np.float32) for _ in range(2)))


def test_points_are_in_a_box_when_all_faces_have_them_behind(loaded) -> None:
    boxes = loaded.at(loaded.source.frames[1]).objects.boxes
    points = _ground().points
    for box, rows in zip(boxes.astype(np.float64), inside(points, boxes), strict=True):
        cos, sin = np.cos(box[6]), np.sin(box[6])
        normals = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])
        behind = (np.abs((points - box[:3]) @ normals.T) <= box[3:6] / 2).all(axis=1)
        np.testing.assert_array_equal(rows, np.flatnonzero(behind))
        assert len(rows)


def test_objects_with_points_enough_are_cut_out_with_their_sweeps(loaded, database) -> None:
    """The child has no LiDAR point, and a box of five frames holds five scans' points."""
    np.testing.assert_array_equal(database.objects.label, [0, 0, 1] * 5)
    start = 0
    for frame in loaded.source.frames:
        one = loaded.at(frame)
        points = drawn(one.scans, loaded.recipe, np.random.default_rng(0))
        for rows in inside(points.points, one.objects.boxes[:3]):
            own = slice(*database.starts[start : start + 2])
            for column, whole in zip(database.points, points, strict=True):
                np.testing.assert_array_equal(column[own], whole[rows])
            assert len(rows) >= 12
            start += 1
    assert database.starts[-1] == len(database.points.points)
    last = database.points.lag_s[database.starts[-2] :]
    assert len(np.unique(last)) == 5
    sizes = np.diff(database.starts)
    enough = int(np.median(sizes))
    few = ObjectDatabase.of(loaded, PASTING.model_copy(update={"min_points": enough}))
    np.testing.assert_array_equal(np.diff(few.starts), sizes[sizes >= enough])
    assert enough in sizes and 0 < len(few.objects.label) < len(sizes)


def test_loading_processes_change_no_bit(database, make_boxed, grid_student, recipe) -> None:
    """Other processes read the frames: the one that asked loads none."""
    source = make_boxed(5)
    apart = ObjectDatabase.of(LoadedFrames(source, grid_student, recipe), PASTING, workers=2)
    assert not source.load.__self__.loads
    for ours, theirs in zip(
        (*vars(database.objects).values(), *database.points, database.starts),
        (*vars(apart.objects).values(), *apart.points, apart.starts),
        strict=True,
    ):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


def test_what_a_loading_process_cannot_read_is_told(make_boxed, grid_student, recipe) -> None:
    source = make_boxed(3)
    bare = replace(source, load=lambda frame: replace(source.load(frame), boxes=None))
    with pytest.raises(UserError, match="nobody annotated any"):
        ObjectDatabase.of(LoadedFrames(bare, grid_student, recipe), PASTING, workers=1)


def test_only_the_label_share_is_looked_at(make_boxed, grid_student, recipe) -> None:
    source = make_boxed(5)
    share = source.__class__(source.card, source.frames[1:3], source.load, sweeps=source.sweeps)
    ObjectDatabase.of(LoadedFrames(share, grid_student, recipe), PASTING)
    assert source.load.__self__.loads == {"a/1": 1, "a/2": 1}


@pytest.mark.parametrize("seed", range(6))
def test_a_frame_is_filled_and_nothing_overlaps(database, loaded, seed) -> None:
    objects = loaded.at(loaded.source.frames[0]).objects
    points = _ground(seed)
    more, filled = database.paste(points, objects, np.random.default_rng(seed))
    n = len(objects.label)
    np.testing.assert_array_equal(filled.boxes[:n], objects.boxes)
    new = filled.label[n:]
    # The frame has two cars and two people: at most four cars come, and nobody else.
    assert 0 < len(new) <= 4 and set(new) == {0}
    outlines = [_outline(box.astype(np.float64)) for box in filled.boxes]
    for place in range(n, len(outlines)):
        for other in outlines[:place]:
            assert outlines[place].intersection(other).area < 1e-9
    rows = np.unique(np.concatenate(inside(points.points, filled.boxes[n:])))
    assert len(rows)
    stays = np.delete(np.arange(len(points.points)), rows)
    own = more.lag_s < 0
    np.testing.assert_array_equal(more.points[own], points.points[stays])
    held = np.sum([len(r) for r in inside(more.points, filled.boxes[n:])])
    assert (~own).sum() == held == len(np.concatenate(inside(more.points[~own], filled.boxes[n:])))


def test_counts_hold_and_colliding_candidates_are_left_out(database) -> None:
    filled = [
        database.paste(_ground(), NOTHING, np.random.default_rng(seed))[1] for seed in range(20)
    ]
    cars = [int((one.label == 0).sum()) for one in filled]
    people = [int((one.label == 1).sum()) for one in filled]
    assert max(people) == 2 and max(cars) <= 6 and min(cars) >= 1
    assert len(set(cars)) > 1  # neighbouring keyframes show a car in almost the same place


def test_chance_is_the_generators_alone(database) -> None:
    def boxes(seed: int) -> np.ndarray:
        return database.paste(_ground(), NOTHING, np.random.default_rng(seed))[1].boxes

    np.testing.assert_array_equal(boxes(3), boxes(3))
    assert any(not np.array_equal(boxes(3), boxes(seed)) for seed in range(4, 8))


def test_a_full_frame_stays_as_it_is(database) -> None:
    full = joined([database.objects] * 2)
    points = _ground()
    same, objects = database.paste(points, full, np.random.default_rng(0))
    assert same is points and objects is full


def test_batches_paste_by_themselves(make_boxed, grid_student, recipe, changed) -> None:
    """Made of all frames that `loaded` knows, not of those that the list shows."""
    source = make_boxed(5)
    pasting = changed(recipe, sampling=PASTING)
    loaded = LoadedFrames(source, grid_student, pasting)
    first = source.__class__(source.card, source.frames[:1], source.load, sweeps=source.sweeps)
    order = Shuffled(1, Share(1), 0)
    given = TrainBatches(first, grid_student, pasting, order, seed=0, loaded=loaded)
    assert given.database is not None and len(given.database.objects.label) == 15
    assert TrainBatches(first, grid_student, recipe, order, seed=0).database is None
    counts = {len(given[step].truth[0].label) for step in range(8)}
    assert max(counts) > 4
    again = TrainBatches(
        first, grid_student, pasting, order, seed=0, loaded=loaded, database=given.database
    )
    for step in (5, 2):
        assert again[step].voxels.features.equal(given[step].voxels.features)


def test_a_class_that_is_none_is_told(loaded) -> None:
    with pytest.raises(UserError, match='Did you mean "cone"') as caught:
        ObjectDatabase.of(loaded, ObjectSampling(counts={"cona": 2}))
    assert "sampling.counts" in caught.value.where
