"""LiMA's random access: the window comes along with a frame, and says what a memory would have."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lima_bench.lima.company import company_of
from lima_bench.lima.lookback import lookback_of
from lima_bench.lima.methods.cards.lima import CARD, LimaSettings
from lima_bench.lima.methods.cards.scalr import CARD as SCALR
from lima_bench.lima.methods.lima import Lima
from lima_bench.lima.methods.scalr import Scalr
from lima_bench.lima.order import order_of
from lima_bench.lima.synthetic import N_CAMERAS, GridTeacher, TinyStudent, accompanied, random_drive
from lima_bench.lima.synthetic_batch import collate
from lima_bench.lima.views import plan_views

WINDOWS = [
    {},
    {"align": "voxel", "voxel_m": 2.0},
    {"align": "reproject"},
    {"occlusion": "zbuffer", "cva": "off"},
    {"pool": "max"},
    {"pool": "decay", "frames": 4, "stride": 2},
    {"pool": "sim_gate"},
    {"pool": "softmax_sim", "window": "centred"},
    {"partner": "same"},
    {"partner": "same", "stride": 2, "window": "centred", "align": "reproject"},
]


def _method(access="random", **settings):
    torch.manual_seed(0)
    made = LimaSettings(access=access, **settings)
    return Lima(made, GridTeacher(), TinyStudent()).double()


def _offsets(**settings):
    return company_of(Lima, LimaSettings(access="random", **settings)).offsets


def _drives(frames=9, points=60):
    return [random_drive(name, frames=frames, points=points) for name in ("a", "b")]


def _batch(method, drives, *steps):
    scans = [drive[step] for drive, step in zip(drives, steps, strict=True)]
    placed = accompanied(scans, drives, company_of(Lima, method.settings))
    inputs = [one.input for one in placed]
    plan = plan_views(Lima, method.settings, inputs, np.random.default_rng(0))
    return collate(placed, plan, dtype=torch.float64)


def _by_frame(method, batch):
    """(recording, position, taught as a partner, point of the scan) to its targets, in order."""
    made, found = method.targets(batch), {}
    for point, feature in zip(made.point.tolist(), made.features, strict=True):
        number = next(n for n, scan in enumerate(batch.scans) if scan.start <= point < scan.stop)
        scan = batch.scans[number]
        key = (scan.sequence, scan.index, number >= batch.n_anchors, point - scan.start)
        found.setdefault(key, []).append(feature)
    return found


@pytest.mark.parametrize("settings", WINDOWS, ids=str)
def test_a_frame_has_the_targets_that_it_would_have_had_in_a_stream(settings):
    """At the beginning of a recording, in the middle and at its end: bit for bit."""
    walking, drawing, drives = _method("streams", **settings), _method(**settings), _drives()
    for step in range(len(drives[0])):
        expected = _by_frame(walking, _batch(walking, drives, step, step))
        found = _by_frame(drawing, _batch(drawing, drives, step, step))
        assert found.keys() == expected.keys()
        for key, features in expected.items():
            assert torch.equal(torch.stack(found[key]), torch.stack(features)), key


def test_it_does_not_matter_what_was_drawn_before():
    fresh, used, drives = _method(), _method(), _drives()
    for steps in ((8, 0), (2, 3), (5, 5)):
        used(_batch(used, drives, *steps))
    batch = _batch(fresh, drives, 4, 7)
    assert torch.equal(fresh(batch).total, used(batch).total)
    assert fresh.state_dict().keys() == used.state_dict().keys()
    assert used.bank.get_extra_state() == []


@pytest.mark.parametrize(("step", "mean"), [(0, 1.0), (1, (1 + 5) / 2), (2, (1 + 5 + 9) / 3)])
def test_a_missing_frame_does_not_count(step, mean):
    """One value per frame: 1, 5 and 9; what stands in for a frame before the first adds nothing."""
    still = _drives()[0][0]
    drive = [
        replace(still, index=index, grids=np.full_like(still.grids, value))
        for index, value in enumerate((1, 5, 9))
    ]
    method = _method(coverage="current")
    made = method.targets(_batch(method, [drive], step))
    torch.testing.assert_close(made.features, torch.full_like(made.features, mean))


@pytest.mark.parametrize("partner", ["different", "same"])
def test_what_stands_in_for_a_missing_frame_brings_no_images(partner):
    method, drives = _method(partner=partner), _drives()
    brought = {step: _batch(method, drives, step, 8).images.n_images for step in (0, 2, 5)}
    # Of the first recording its own frame and those before it, of the second all six; a partner
    # that is missing is taught in the scan's own stead.
    alone = 2 if partner == "same" else 1
    assert brought == {
        step: N_CAMERAS * (before + 6) for step, before in ((0, alone), (2, 3), (5, 6))
    }


def test_the_student_never_sees_the_window():
    method = _method()
    batch = _batch(method, _drives(), 5, 6)
    assert len(batch.scans) == 12 and batch.n_anchors == 2
    stop = batch.scans[1].stop
    assert batch.source.max() < stop
    assert set(batch.view.tolist()) == {0, 1, 12}
    assert method.targets(batch).point.max() < stop


def test_a_partner_that_is_in_the_window_comes_once():
    assert _offsets(partner="same", frames=4) == (-1, -3, -2)
    assert _offsets(partner="same", frames=3, stride=2) == (-1, -4, -2)
    assert _offsets(partner="same", frames=3, mix="none") == (-2, -1)


def test_company_is_what_the_window_needs():
    assert _offsets() == (-5, -4, -3, -2, -1)
    assert _offsets(frames=1) == ()
    assert _offsets(frames=3, stride=2) == (-4, -2)
    assert _offsets(window="centred", frames=4) == (-2, -1, 1)


def test_order_depends_on_access_and_the_card_speaks_for_the_rest():
    assert order_of(Lima, LimaSettings(), CARD.order) == CARD.order == "streams"
    assert order_of(Lima, LimaSettings(access="random"), CARD.order) == "shuffled"
    assert order_of(Scalr, SCALR.settings(), SCALR.order) == SCALR.order == "shuffled"


def test_the_loader_searches_in_the_company():
    wanted = lookback_of(Lima, LimaSettings(access="random", frames=3))
    assert (wanted.length, wanted.offsets) == (0, (-2, -1))
    wanted = lookback_of(Lima, LimaSettings(window="centred", frames=4))
    assert (wanted.length, wanted.offsets) == (2, (1,))
    for settings in ({"frames": 1}, {"align": "voxel"}, {"occlusion": "zbuffer"}):
        assert lookback_of(Lima, LimaSettings(access="random", **settings)) is None
