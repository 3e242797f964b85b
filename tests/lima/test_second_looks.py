"""Which voxel of the first look meets which of the second."""

import numpy as np
import torch

from lima_bench.lima.second_looks import TwinVoxels, second_looks, voxels_of_views
from lima_bench.lima.synthetic import Placed, alone, random_drive
from lima_bench.lima.synthetic_batch import collate
from lima_bench.lima.views import View, ViewPlan


def _placed():
    """Two frames and the keyframe after each; 6 points a scan, so 3 voxels a view."""
    drives = [random_drive(name, frames=2, points=6) for name in "ab"]
    now, later = zip(*drives, strict=True)
    return [*alone(now), *(Placed(scan, number, 1) for number, scan in enumerate(later))]


def _batch(*orders):
    placed = _placed()
    plan = second_looks([one.input for one in placed])
    again = (View(((n, np.array(order)),)) for n, order in enumerate(orders))
    return collate(placed, ViewPlan((*plan.views[:4], *again), plan.cameras) if orders else plan)


def test_the_plan_shows_frames_twice_and_blinds_their_neighbours():
    plan = second_looks([one.input for one in _placed()])
    assert [view.parts[0][0] for view in plan.views] == [0, 1, 2, 3, 0, 1]
    assert [view.again for view in plan.views] == [None] * 4 + [0, 1]
    assert [view.whole for view in plan.views] == [False, False, True, True, False, False]
    assert plan.cameras == (None, None, (), ())
    assert _batch().pairs.image.max() < 6  # three cameras, two frames


def test_what_was_cut_out_of_a_view_of_parts_is_missing_in_each_part():
    points = [np.array(part, dtype=np.int64) for part in ([5, 6, 7], [], [1, 3])]
    view = View(tuple(zip((0, 1, 2), points, strict=True)), again=4)
    left = view.without(np.array([0, 2, 4]))
    assert [(scan, part.tolist()) for scan, part in left.parts] == [(0, [5, 7]), (1, []), (2, [3])]
    assert left.again == 4


def test_every_voxel_has_a_twin_where_both_looks_cut_alike():
    twins = TwinVoxels.of(_batch())
    assert twins.count == (3, 3)
    assert twins.row.tolist() == [0, 2, 4, 6, 8, 10]
    assert twins.twin.tolist() == [24, 26, 28, 30, 32, 34]
    assert twins.number[:12].tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert (twins.number[12:] == -1).all()


def test_voxels_that_collide_in_the_second_look_become_the_first_of_them():
    batch = _batch([0, 2, 1, 3, 4, 5], [5, 4, 3, 2, 1, 0])
    twins = TwinVoxels.of(batch)
    # Of the first scan, points 0 and 2 stand for voxels 0 and 1, and share a voxel when seen again.
    assert twins.count == (2, 3)
    assert twins.row.tolist() == [0, 4, 6, 8, 10]
    assert batch.source[twins.twin].tolist() == batch.source[twins.row].tolist()
    assert twins.number[:12].tolist() == [0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


def test_voxels_without_a_counterpart_take_no_part():
    batch = _batch()
    batch.voxels.inverse[24:26] = -1  # the second look at the first voxel's points
    batch.voxels.inverse[4] = -1  # a point of the third voxel, in the first look
    twins = TwinVoxels.of(batch)
    assert twins.count == (2, 3)
    assert twins.row.tolist() == [2, 4, 6, 8, 10]
    assert twins.number[:6].tolist() == [-1, -1, 0, 0, -1, 1]


def test_voxels_that_are_cut_out_of_the_second_look_take_no_part():
    twins = TwinVoxels.of(_batch([1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5]))
    assert twins.count == (2, 3)
    assert twins.row.tolist() == [2, 4, 6, 8, 10]
    assert twins.number[:6].tolist() == [-1, -1, 0, 0, 1, 1]


def test_an_empty_frame_has_none():
    batch = _batch()
    keep = batch.view != 0
    assert TwinVoxels.of(batch).count == (3, 3)
    placed = _placed()
    plan = second_looks([one.input for one in placed])
    nothing = View(((0, np.zeros(0, dtype=np.int64)),))
    views = (nothing, *plan.views[1:4], nothing, plan.views[5])
    twins = TwinVoxels.of(collate(placed, ViewPlan(views, plan.cameras)))
    assert twins.count == (0, 3)
    assert len(twins.number) == int(keep.sum()) - 6


def test_some_views_by_themselves_are_what_they_would_be_alone():
    placed = _placed()
    batch = collate(placed, second_looks([one.input for one in placed]))
    part = voxels_of_views(batch, 2, 4)
    assert part.count == (3, 3)
    assert part.row.tolist() == [12, 14, 16, 18, 20, 22]
    assert part.voxels.n_clouds == 2
    assert part.voxels.coords[:, 0].tolist() == [0, 0, 0, 1, 1, 1]
    assert part.voxels.first.tolist() == [0, 2, 4, 6, 8, 10]
    assert part.voxels.inverse.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert torch.equal(part.voxels.xyz, batch.voxels.xyz[12:24])
    assert torch.equal(part.voxels.features, batch.voxels.features[6:12])
