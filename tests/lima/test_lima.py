"""LiMA as a whole: the invariants that its specification demands (methods-temporal 3.7)."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lima_bench.lima.company import company_of
from lima_bench.lima.methods.cards.lima import LimaSettings
from lima_bench.lima.methods.cards.scalr import ScalrSettings
from lima_bench.lima.methods.lima import Lima
from lima_bench.lima.methods.scalr import Scalr
from lima_bench.lima.pairs import Pairs
from lima_bench.lima.synthetic import (
    GridTeacher,
    TinyStudent,
    accompanied,
    alone,
    random_drive,
    without_pairs,
)
from lima_bench.lima.synthetic_batch import collate
from lima_bench.lima.views import plan_views

CVA = ["off", "mean", "mean_of_normalised", "center_weighted", "nearest_center", "max"]
ALIGN = ["nn", "voxel", "reproject"]
WAYS = [{"align": rule, "access": way} for way in ("streams", "random") for rule in ALIGN]
RULES = ["mean", "max", "decay", "sim_gate", "softmax_sim"]
PLAIN = {"frames": 1, "cva": "off", "mix": "none"}


def _method(kind=Lima, **settings):
    torch.manual_seed(0)
    settings = (LimaSettings if kind is Lima else ScalrSettings)(**settings)
    return kind(settings, GridTeacher(), TinyStudent()).double()


def _batch(method, scans, seed=0, drives=(), **options):
    company = company_of(type(method), method.settings)
    placed = accompanied(scans, drives, company) if drives else alone(scans)
    inputs = [one.input for one in placed]
    plan = plan_views(type(method), method.settings, inputs, np.random.default_rng(seed))
    return collate(placed, plan, dtype=torch.float64, **options)


def _drives(points=60, frames=4):
    return [random_drive(name, frames=frames, points=points) for name in ("a", "b")]


def _steps(method, drives=None, **options):
    drives = drives or _drives()
    return [_batch(method, scans, drives=drives, **options) for scans in zip(*drives, strict=True)]


def _looked(scan):
    """The scan with the pairs that its cameras truly make (`synthetic_batch`): 3 in a circle."""
    found = []
    for camera in range(3):
        angle = camera * 2 * np.pi / 3
        ahead = scan.xyz @ [np.cos(angle), np.sin(angle), 0]
        right, down = scan.xyz @ [np.sin(angle), -np.cos(angle), 0], -scan.xyz[:, 2]
        with np.errstate(divide="ignore", invalid="ignore"):
            u, v = 24 * right / ahead + 11.5, 24 * down / ahead + 7.5
        seen = (ahead > 1) & (u > 0) & (u < 23) & (v > 0) & (v < 15)
        point = np.flatnonzero(seen)
        found.append([point, np.full_like(point, camera), v[seen].round(), u[seen].round()])
    return replace(scan, pairs=Pairs(*np.concatenate(found, axis=1).astype(np.int64)))


def _seen_once(scan):
    _, first = np.unique(scan.pairs.point, return_index=True)
    p = scan.pairs
    return replace(scan, pairs=Pairs(p.point[first], p.camera[first], p.row[first], p.col[first]))


def _gradients(method, loss):
    weights = [parameter for parameter in method.parameters() if parameter.requires_grad]
    return torch.autograd.grad(loss, weights)


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("distance", ["l2norm", "cosine", "mse", "smooth_l1"])
def test_invariant_1_with_everything_off_it_is_scalr(distance, way):
    lima = _method(**PLAIN, distance=distance, **way)
    scalr = _method(Scalr, distance=distance)
    uneven = [random_drive("a", points=60)[0], random_drive("b", points=25)[0]]
    batch = _batch(lima, uneven)
    one, other = lima(batch).total, scalr(batch).total
    torch.testing.assert_close(one, other, rtol=1e-13, atol=0)
    for ours, theirs in zip(_gradients(lima, one), _gradients(scalr, other), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-15)


def test_off_keeps_one_term_per_camera_that_sees_the_point():
    lima = _method(**PLAIN)
    batch = _batch(lima, [_drives()[0][0]])
    targets = lima.targets(batch)
    assert sorted(targets.point.tolist()) == sorted(batch.pairs.point.tolist())
    assert len(set(targets.point.tolist())) < len(targets.point)
    unified = _method(**(PLAIN | {"cva": "mean"})).targets(batch)
    assert unified.point.tolist() == sorted(set(batch.pairs.point.tolist()))


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("cva", CVA[1:])
def test_invariant_2_unifying_single_cameras_changes_nothing(cva, way):
    frames = 1 if cva == "mean_of_normalised" else 3  # unit features do weigh differently in means
    drives = [tuple(_seen_once(_looked(scan)) for scan in drive) for drive in _drives(200)]
    on, off = (_method(cva=name, frames=frames, **way) for name in (cva, "off"))
    for batch in _steps(on, drives):
        torch.testing.assert_close(on(batch).total, off(batch).total, rtol=1e-12, atol=0)


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("pool", RULES)
def test_invariant_3_a_standing_car_changes_no_target(pool, way):
    """A voxel that holds one point lends that point's own feature, so voxels are small here."""
    still = _looked(_drives(200)[0][0])
    numbers = np.arange(1, 16).reshape(3, 1, 1, 5) ** 2 % 7 + 1.0  # exact in half precision
    still = replace(still, grids=np.broadcast_to(numbers, still.grids.shape).astype(np.float32))
    lima = _method(pool=pool, **way, voxel_m=1e-3)
    drive = tuple(replace(still, index=index) for index in range(7))
    first, *others = (lima.targets(batch) for batch in _steps(lima, [drive]))
    assert len(first.point) > 10
    for later in others:
        place = {point: row for row, point in enumerate(later.point.tolist())}
        rows = [place[point] for point in first.point.tolist()]
        torch.testing.assert_close(later.features[rows], first.features, rtol=1e-12, atol=0)
    assert len(later.point) >= len(first.point)


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_invariant_4_moving_the_whole_world_changes_no_target(way):
    angle, far = 0.7, np.eye(4)
    far[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    far[:3, 3] = (500, -200, 30)
    moved = [tuple(replace(s, pose=far @ s.pose) for s in drive) for drive in _drives()]
    here, there = (_method(**way, voxel_m=2.0) for _ in range(2))
    for batch, twin in zip(_steps(here), _steps(there, moved), strict=True):
        one, other = here.targets(batch), there.targets(twin)
        assert torch.equal(one.point, other.point)
        assert torch.equal(one.features, other.features)


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("pool", ["mean", "max"])
def test_invariant_4_the_order_of_the_bank_plays_no_part(pool, way, monkeypatch):
    here, there = (_method(**way, pool=pool, voxel_m=2.0) for _ in range(2))
    look = there._look
    monkeypatch.setattr(there, "_look", lambda ours, window: look(ours, window[::-1]))
    for batch in _steps(here):
        one, other = here.targets(batch), there.targets(batch)
        assert torch.equal(one.point, other.point)
        torch.testing.assert_close(one.features, other.features, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_memory_reaches_points_that_no_camera_sees_now(way):
    union, current = (_method(**way, coverage=c, voxel_m=2.0) for c in ("union", "current"))
    for step, batch in enumerate(_steps(union)):
        company = batch.scans[batch.n_anchors - 1].stop
        seen = {point for point in batch.pairs.point.tolist() if point < company}
        assert set(current.targets(batch).point.tolist()) == seen
        reached = set(union.targets(batch).point.tolist())
        assert (reached > seen) if step else (reached == seen)


@pytest.mark.parametrize("align", ALIGN)
def test_invariant_5_the_bank_stays_in_its_recording_and_within_its_length(align):
    lima = _method(frames=3, align=align)
    for batch in _steps(lima):
        lima(batch)
    state = lima.bank.get_extra_state()
    kept = [(entry["sequence"], entry["index"]) for entry in state]
    assert kept == [("a", 2), ("a", 3), ("b", 2), ("b", 3)]
    fresh = _method(frames=3, align=align)
    other = _batch(lima, [replace(scan, sequence=f"new {scan.sequence}") for scan, *_ in _drives()])
    torch.testing.assert_close(lima(other).total, fresh(other).total, rtol=0, atol=0)


@pytest.mark.parametrize("align", ALIGN)
def test_a_recording_that_a_step_leaves_out_is_over(align):
    lima, fresh = (_method(align=align) for _ in range(2))
    first, second = _drives()
    for scan in (first[0], first[1], second[2]):
        lima(_batch(lima, [scan]))
    last = _batch(lima, [first[3]])
    assert torch.equal(lima.targets(last).features, fresh.targets(last).features)


def test_the_past_fades_with_the_frames_between():
    """With a gap of two frames, decay weighs by its square: now and then share a point 1 : 1/4."""
    lima = _method(pool="decay", decay=0.5, cva="mean", coverage="current")
    scan = _drives()[0][0]
    ones = replace(scan, grids=np.ones_like(scan.grids), index=4)
    fives = replace(scan, grids=np.full_like(scan.grids, 5), index=6)
    lima.targets(_batch(lima, [ones]))
    made = lima.targets(_batch(lima, [fives])).features
    torch.testing.assert_close(made, torch.full_like(made, (5 + 0.25) / 1.25))


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_invariant_5_targets_carry_no_gradient_and_the_teacher_never_moves(way):
    lima = _method(**way)
    lima.teacher.gain.requires_grad_(True)
    optimiser = torch.optim.SGD(lima.parameters(), lr=1.0)
    for batch in _steps(lima)[:2]:
        assert not lima.targets(batch).features.requires_grad
        optimiser.zero_grad()
        lima(batch).total.backward()
        optimiser.step()
    assert lima.teacher.gain.grad is None
    assert torch.equal(lima.teacher.gain, torch.ones(5))


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_invariant_6_mixed_rows_meet_the_targets_of_their_points(way):
    """The mixed loss equals distilling the same rows by hand, in the scans' own targets."""
    lima = _method(mix_weight=0.3, **way)
    for batch in _steps(lima):
        state = lima.bank.get_extra_state()
        targets = lima.targets(batch)
        lima.bank.set_extra_state(state)
        place = {point: row for row, point in enumerate(targets.point.tolist())}
        predicted = lima.head(lima.student(batch.voxels))
        terms = {True: [], False: []}
        for row, (point, view) in enumerate(
            zip(batch.source.tolist(), batch.view.tolist(), strict=True)
        ):
            if point in place:
                s, q = predicted[row], targets.features[place[point]]
                terms[view >= 2].append((s / s.norm() - q / q.norm()).norm())
        loss = lima(batch)
        assert terms[True]
        expected = {
            "distill": torch.stack(terms[False]).mean(),
            "mix": 0.3 * torch.stack(terms[True]).mean(),
        }
        assert dict(loss).keys() == expected.keys()
        for name, value in loss:
            torch.testing.assert_close(value, expected[name])
        by_hand = _gradients(lima, sum(expected.values()))
        for ours, theirs in zip(_gradients(lima, loss.total), by_hand, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-12)


def test_gradients_reach_student_and_head_and_nothing_else():
    """Nothing is learnt on the image side, and both terms teach all that learns."""
    lima = _method()
    trained = {name for name, weight in lima.named_parameters() if weight.requires_grad}
    assert {n for n in trained if not n.startswith("student.")} == {"head.weight", "head.bias"}
    weights = [weight for name, weight in lima.named_parameters() if name in trained]
    for name, value in lima(_steps(lima)[0]):
        found = torch.autograd.grad(value, weights, retain_graph=True)
        assert all(gradient.any() for gradient in found), name


def test_invariant_6_mixtures_are_chosen_from_coordinates_only():
    scans = [drive[0] for drive in _drives()]
    blind = [without_pairs(scan) for scan in scans]
    rngs = [np.random.default_rng(5) for _ in range(2)]
    plans = [
        plan_views(Lima, LimaSettings(), [one.input for one in alone(some)], rng)
        for some, rng in zip((scans, blind), rngs, strict=True)
    ]
    for view, twin in zip(plans[0].views, plans[1].views, strict=True):
        for (number, rows), (other, others) in zip(view.parts, twin.parts, strict=True):
            assert number == other
            assert np.array_equal(rows, others)


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_invariant_7_augmenting_the_student_changes_no_target(way):
    one, other = (_method(**way) for _ in range(2))
    for batch, turned in zip(_steps(one), _steps(other, augment_seed=9), strict=True):
        assert not torch.equal(batch.voxels.features, turned.voxels.features)
        state = one.bank.get_extra_state(), other.bank.get_extra_state()
        assert torch.equal(one.targets(batch).features, other.targets(turned).features)
        one.bank.set_extra_state(state[0]), other.bank.set_extra_state(state[1])
        assert one(batch).total != other(turned).total


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("reduce", ["pooled", "per_scan"])
def test_invariant_7_no_targets_give_zero_and_zero_gradients(reduce, way):
    lima = _method(reduce=reduce, **way)
    blind = [tuple(map(without_pairs, drive)) for drive in _drives()]
    loss = lima(_steps(lima, blind)[0]).total
    loss.backward()
    assert loss.item() == 0
    for name, parameter in lima.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert not parameter.grad.any(), name


def test_per_scan_averages_scans_and_pooled_averages_rows():
    scans = [random_drive("a", points=80)[0], random_drive("b", points=20)[0]]
    pooled, per_scan = (_method(mix="none", reduce=name) for name in ("pooled", "per_scan"))
    halves = [(scans[0], without_pairs(scans[1])), (without_pairs(scans[0]), scans[1])]
    alone = [pooled(_batch(pooled, half)).total for half in halves]
    together = _batch(pooled, scans)
    torch.testing.assert_close(per_scan(together).total, (alone[0] + alone[1]) / 2)
    shares = [len(np.unique(scan.pairs.point)) for scan in scans]
    weighted = sum(n * one for n, one in zip(shares, alone, strict=True)) / sum(shares)
    torch.testing.assert_close(pooled(together).total, weighted)


@pytest.mark.parametrize("reduce", ["pooled", "per_scan"])
def test_a_batch_without_mixtures_has_a_mix_term_of_zero(reduce):
    lima = _method(reduce=reduce)
    loss = lima(_batch(lima, [_drives()[0][0]]))
    assert loss.terms["mix"].item() == 0
    assert loss.terms["distill"].item() > 0


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_a_saved_method_continues_to_the_bit(way, tmp_path):
    one, other = (_method(**way, occlusion="zbuffer", stride=2) for _ in range(2))
    *early, last = _steps(one)
    for batch in early:
        one(batch)
    torch.save(one.state_dict(), tmp_path / "state.pt")
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert torch.equal(one(last).total, other(last).total)


def test_frames_count_the_current_one():
    assert _method(frames=6).bank.length == 5
