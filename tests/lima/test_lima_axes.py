"""LiMA's other axes: the window, the head, targets per voxel, and whom a scan is mixed with."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from lima_bench.lima.api import METHODS
from lima_bench.lima.company import company_of
from lima_bench.lima.lookback import lookback_of
from lima_bench.lima.methods.cards.lima import LimaSettings
from lima_bench.lima.methods.lima import Lima
from lima_bench.lima.synthetic import GridTeacher, TinyStudent, accompanied, random_drive
from lima_bench.lima.synthetic_batch import collate
from lima_bench.lima.testing import conformance
from lima_bench.lima.views import plan_views

AXES = [
    {"align": "voxel"},
    {"align": "reproject"},
    {"align": "reproject", "cva": "max", "pool": "max"},
    {"align": "reproject", "cva": "mean_of_normalised", "occlusion": "zbuffer"},
    {"window": "centred"},
    {"access": "random"},
    {"access": "random", "align": "reproject", "mix_only": True},
    {"access": "random", "window": "centred", "stride": 2, "partner": "same"},
    {"window": "centred", "align": "reproject", "stride": 2, "partner": "same"},
    {"stride": 2},
    {"head": "mlp"},
    {"occlusion": "zbuffer"},
    {"mix_only": True},
    {"partner": "same"},
    {"partner": "same", "mix_only": True, "reduce": "per_scan"},
    {"targets": "voxel"},
    {"targets": "voxel", "cva": "off", "reduce": "per_scan"},
]


def _method(**settings):
    torch.manual_seed(0)
    return Lima(LimaSettings(**settings), GridTeacher(), TinyStudent()).double()


def _drives(frames=8, points=60):
    return [random_drive(name, frames=frames, points=points) for name in ("a", "b")]


def _batch(method, drives, step, seed=0):
    company = company_of(Lima, method.settings)
    placed = accompanied([drive[step] for drive in drives], drives, company)
    inputs = [one.input for one in placed]
    plan = plan_views(Lima, method.settings, inputs, np.random.default_rng(seed))
    return collate(placed, plan, dtype=torch.float64)


@pytest.mark.parametrize("settings", AXES, ids=str)
def test_every_axis_keeps_the_promises_of_a_method(settings):
    findings = conformance(METHODS.get("lima"), LimaSettings(**settings))
    assert [f"{f.check}: {f.detail}" for f in findings if not f.passed] == []


def _window(method, drives, step, monkeypatch):
    """Positions that lend to the first scan of a step, after the steps before it."""
    asked = []
    module = "lima_bench.lima.methods.lima.recalled"
    inner = __import__("lima_bench.lima.recall", fromlist=["recalled"]).recalled
    for number in range(step + 1):
        asked.clear()
        with monkeypatch.context() as patch:
            patch.setattr(
                module,
                lambda ours, index, *rest: (
                    asked.append((ours.scan, index)) or inner(ours, index, *rest)
                ),
            )
            method.targets(_batch(method, drives, number))
    return [index for scan, index in asked if scan.sequence == "a" and scan.anchor == 0]


@pytest.mark.parametrize(
    ("settings", "step", "expected"),
    [
        ({}, 7, [2, 3, 4, 5, 6]),
        ({"frames": 3, "stride": 2}, 7, [3, 5]),
        ({"frames": 4, "stride": 2}, 3, [1]),
        ({"window": "centred"}, 4, [1, 2, 3, 5, 6]),
        ({"window": "centred", "frames": 5}, 4, [2, 3, 5, 6]),
        ({"window": "centred", "frames": 5, "stride": 2}, 5, [1, 3, 7]),
        ({"window": "centred", "frames": 5}, 7, [5, 6]),
        ({"window": "centred", "frames": 3, "align": "voxel"}, 0, [1]),
        ({"window": "centred", "frames": 2, "align": "reproject"}, 3, [2]),
    ],
)
@pytest.mark.parametrize("access", ["streams", "random"])
def test_the_window_holds_the_frames_that_it_should(settings, step, expected, access, monkeypatch):
    method = _method(**settings, access=access, mix="none")
    assert _window(method, _drives(), step, monkeypatch) == expected


def test_frames_after_the_current_one_fade_as_those_before():
    """Now 1, one frame on 5, half as heavy: (1 + 5 / 2) / 1.5 where both reach."""
    method = _method(window="centred", frames=3, pool="decay", decay=0.5, coverage="current")
    still = _drives()[0][0]
    drive = [
        replace(still, index=index, grids=np.full_like(still.grids, value))
        for index, value in enumerate((1, 5, 9))
    ]
    company = company_of(Lima, method.settings)
    made = method.targets(collate(accompanied([drive[0]], [drive], company), dtype=torch.float64))
    torch.testing.assert_close(made.features, torch.full_like(made.features, 3.5 / 1.5))


def test_the_student_never_sees_company():
    method = _method(window="centred")
    batch = _batch(method, _drives(), 3)
    assert len(batch.scans) == 6 and batch.n_anchors == 2
    stop = batch.scans[1].stop
    assert batch.source.max() < stop
    assert set(batch.view.tolist()) == {0, 1, 6}
    assert method.targets(batch).point.max() < stop


def test_only_the_present_frames_are_remembered():
    method = _method(window="centred", partner="same")
    for step in range(4):
        method(_batch(method, _drives(), step))
    kept = [(entry["sequence"], entry["index"]) for entry in method.bank.get_extra_state()]
    assert kept == [("a", 1), ("a", 2), ("a", 3), ("b", 1), ("b", 2), ("b", 3)]


def test_partners_of_the_same_recording_are_mixed_with_their_own_targets():
    method = _method(partner="same", frames=3)
    drives = _drives()
    for step in range(3):
        method(_batch(method, drives, step))
    batch = _batch(method, drives, 3)
    mixed = batch.source[batch.view >= batch.n_scan_views]
    scan = torch.tensor(
        [(torch.tensor([s.start for s in batch.scans]) <= p).sum() - 1 for p in mixed]
    )
    assert len(set(scan.tolist())) == 2
    assert len({batch.scans[n].sequence for n in scan.tolist()}) == 1
    assert sorted({batch.scans[n].index for n in scan.tolist()}) == [2, 3]
    targets = method.targets(batch)
    partner = batch.scans[2]
    own = (targets.point >= partner.start) & (targets.point < partner.stop)
    assert own.any()
    # Its window is that of the scan that it came with, without itself: frame 1 and, now, frame 2.
    alone = _method(frames=2)
    alone.targets(_batch(alone, drives[:1], 1))
    expected = alone.targets(_batch(alone, drives[:1], 2))
    assert torch.equal(targets.point[own] - partner.start, expected.point)
    torch.testing.assert_close(targets.features[own], expected.features, rtol=1e-12, atol=0)


def test_every_second_scan_brings_a_mixture_of_one_recording():
    method = _method(partner="same")
    drawn = {
        tuple(number for number, _ in view.parts)
        for seed in range(20)
        for view in _plan(method, seed).views[4:]
    }
    assert drawn == {(0, 2), (1, 3)}
    assert len(_plan(method, 0).views) == 5


def _plan(method, seed):
    drives = _drives()
    placed = accompanied([drive[3] for drive in drives], drives, company_of(Lima, method.settings))
    inputs = [one.input for one in placed]
    return plan_views(Lima, method.settings, inputs, np.random.default_rng(seed))


def test_on_mixtures_alone_the_rest_is_neither_shown_nor_taught():
    method, both = _method(mix_only=True), _method()
    batch, whole = (_batch(one, _drives(), 2) for one in (method, both))
    assert set(batch.view.tolist()) == {2}
    loss, expected = method(batch), both(whole)
    assert loss.terms["distill"].item() == 0
    torch.testing.assert_close(loss.total, expected.terms["mix"])


def test_mixtures_alone_need_mixtures():
    with pytest.raises(ValidationError, match="mix_only needs mixtures"):
        LimaSettings(mix_only=True, mix="none")


def test_a_deep_head_has_one_hidden_layer():
    method = _method(head="mlp", mix="none", frames=1)
    batch = _batch(method, _drives(), 0)
    targets = method.targets(batch)
    values = method.student(batch.voxels)
    first, _ = method.head.hidden
    hidden = (values @ first.weight.T + first.bias).clamp(min=0)
    predicted = (hidden @ method.head.last.weight.T + method.head.last.bias)[targets.point]
    unit = [v / v.norm(dim=1, keepdim=True) for v in (predicted, targets.features)]
    expected = (unit[0] - unit[1]).norm(dim=1).mean()
    torch.testing.assert_close(method(batch).total, expected)
    assert first.out_features == 2048


def test_one_target_per_voxel_is_the_mean_of_its_points_targets():
    method = _method(targets="voxel", cva="off", mix_weight=0.5)
    for step in range(3):
        batch = _batch(method, _drives(), step)
        state = method.bank.get_extra_state()
        targets = method.targets(batch)
        method.bank.set_extra_state(state)
        per_point = {}
        for point, feature in zip(targets.point.tolist(), targets.features, strict=True):
            per_point.setdefault(point, []).append(feature)
        met, view = {}, {}
        for row, (point, voxel) in enumerate(
            zip(batch.source.tolist(), batch.voxels.inverse.tolist(), strict=True)
        ):
            met.setdefault(voxel, []).extend(per_point.get(point, []))
            view[voxel] = int(batch.view[row])
        predicted = method.head(method.student.cells(batch.voxels).features)
        terms = {True: [], False: []}
        for voxel, features in met.items():
            if features:
                s, q = predicted[voxel], torch.stack(features).mean(0)
                terms[view[voxel] >= 2].append((s / s.norm() - q / q.norm()).norm())
        loss = method(batch)
        torch.testing.assert_close(loss.terms["distill"], torch.stack(terms[False]).mean())
        torch.testing.assert_close(loss.terms["mix"], 0.5 * torch.stack(terms[True]).mean())
        assert max(map(len, met.values())) > 2


def test_the_loader_searches_only_what_the_step_will_ask_for():
    assert lookback_of(Lima, LimaSettings()).length == 5
    assert lookback_of(Lima, LimaSettings(stride=2)).stride == 2
    assert lookback_of(Lima, LimaSettings(window="centred")).length == 3
    for settings in ({"align": "voxel"}, {"align": "reproject"}, {"occlusion": "zbuffer"}):
        assert lookback_of(Lima, LimaSettings(**settings)) is None


def test_default_settings_ask_for_no_company():
    assert company_of(Lima, LimaSettings()).offsets == ()
