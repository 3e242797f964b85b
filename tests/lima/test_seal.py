"""Seal against its definition written out point by point, in float64."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lima_bench.lima.methods.cards.seal import SealSettings
from lima_bench.lima.methods.seal import Seal, point_terms
from lima_bench.lima.synthetic import GridTeacher, TinyStudent, without_pairs
from tests.lima import company, trials


def _method(**settings):
    torch.manual_seed(0)
    return Seal(SealSettings(width=6, **settings), GridTeacher(), TinyStudent()).double()


def _batch(**changes):
    return company.batch_of("seal", **changes)


def _only(name):
    names = ("superpixel", "temporal", "point")
    return {f"{other}_weight": float(other == name) for other in names}


def _rows(batch, number):
    """Rows of one scan, which it sees whole and in order."""
    return torch.nonzero(batch.view == number).squeeze(1)


def _scans(batch):
    """(number of an anchor, number of its neighbour)."""
    return [(s.anchor, n) for n, s in enumerate(batch.scans) if s.anchor != n]


def _superpixel(method, batch):
    _, k, q = trials.means(method, batch)
    logits = k @ q.T / 0.07
    return -(logits.diagonal() - logits.logsumexp(1)).mean()


def _temporal(method, batch):
    points = torch.nn.functional.normalize(method.point_head(method.student(batch.voxels)), dim=1)
    now, later = [], []
    for anchor, other in _scans(batch):
        labels = [batch.scans[n].clusters for n in (anchor, other)]
        for segment in sorted(set(labels[0].tolist()) & set(labels[1].tolist()) - {-1}):
            for found, number, ids in zip((now, later), (anchor, other), labels, strict=True):
                inside = points[_rows(batch, number)[ids == segment]]
                found.append(inside.sum(0) / (len(inside) + 1e-6))
    logits = torch.stack(now) @ torch.stack(later).T / 0.07
    return -(logits.diagonal() - logits.logsumexp(1)).mean()


def _point(method, batch, drawn=lambda rows: torch.arange(len(rows))):
    points = torch.nn.functional.normalize(method.point_head(method.student(batch.voxels)), dim=1)
    terms = []
    for anchor, _ in _scans(batch):
        rows, labels = _rows(batch, anchor), batch.scans[anchor].clusters
        chosen = drawn(rows)
        candidates = points[rows[chosen]]
        for segment in sorted(set(labels.tolist()) - {-1}):
            kappa = points[rows[labels == segment]].max(0).values
            logits = candidates @ (kappa / kappa.norm()) / 0.07
            terms += [
                logits.logsumexp(0) - logits[place]
                for place, n in enumerate(chosen.tolist())
                if labels[n] == segment
            ]
    return torch.stack(terms).mean()


@pytest.mark.parametrize(
    ("name", "written_out"),
    [("superpixel", _superpixel), ("temporal", _temporal), ("point", _point)],
)
def test_value_and_gradients_equal_the_definition(name, written_out):
    method, batch = _method(**_only(name)), _batch()
    loss = method(batch).terms[name]
    expected = written_out(method, batch)
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=1e-12)
    weights = [p for p in method.parameters() if p.requires_grad]
    found, wanted = (
        torch.autograd.grad(one, weights, allow_unused=True) for one in (loss, expected)
    )
    for one, other in zip(found, wanted, strict=True):
        if other is not None:
            torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-11)


def test_the_loss_is_the_weighted_sum_of_the_three():
    batch = _batch()
    plain = dict(_method()(batch))
    weighted = dict(_method(superpixel_weight=2, temporal_weight=3, point_weight=0)(batch))
    assert list(plain) == ["superpixel", "temporal", "point"]
    for name, weight in zip(plain, (2, 3, 0), strict=True):
        torch.testing.assert_close(weighted[name], weight * plain[name])


def _with_clusters(batch, number, change):
    scans = list(batch.scans)
    scans[number] = replace(scans[number], clusters=change(scans[number].clusters.clone()))
    return replace(batch, scans=tuple(scans))


def test_segments_of_one_time_only_take_no_part_over_time():
    def lose_one(labels):
        labels[labels == 0] = -1
        return labels

    def gain_one(labels):
        labels[0] = 99
        return labels

    method, batch = _method(**_only("temporal")), _batch()
    plain = method(batch).total
    changed = _with_clusters(_with_clusters(batch, 2, lose_one), 3, gain_one)
    found = method(changed).total
    assert found != plain
    torch.testing.assert_close(found, _temporal(method, changed))


def test_segments_that_look_alike_cost_the_logarithm_of_their_number():
    method, batch = _method(), _batch()
    torch.nn.init.zeros_(method.point_head.weight)
    terms = method(batch).terms
    n_segments = sum(int(batch.scans[a].clusters.max()) + 1 for a, _ in _scans(batch))
    assert n_segments == 6
    expected = torch.tensor([6.0, 40.0], dtype=torch.float64).log()
    torch.testing.assert_close(torch.stack([terms["temporal"], terms["point"]]), expected)


def test_points_are_drawn_per_scan_and_only_they_are_candidates():
    method, batch = _method(points_per_scan=11, **_only("point")), _batch()
    torch.manual_seed(5)
    loss = method(batch).total
    torch.manual_seed(5)
    expected = _point(method, batch, lambda rows: torch.randperm(len(rows))[:11])
    torch.testing.assert_close(loss, expected)


def test_a_point_outside_all_segments_is_a_candidate_only():
    segments = torch.eye(2, dtype=torch.float64)
    points = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]], dtype=torch.float64)
    terms = point_terms(segments, points, torch.tensor([0, 1, -1]), temperature=1.0)
    e = np.e
    expected = torch.tensor([np.log((2 * e + 1) / e), np.log((e + 2) / e)])
    torch.testing.assert_close(terms, expected)
    assert len(point_terms(segments, points, torch.full((3,), -1), 1.0)) == 0


@pytest.mark.parametrize("name", ["temporal", "point"])
def test_gradient_reaches_both_times_and_no_image_head(name):
    method, batch = _method(**_only(name)), _batch()
    features = batch.voxels.features.clone().requires_grad_()
    batch = replace(batch, voxels=replace(batch.voxels, features=features))
    method(batch).terms[name].backward()
    moved = features.grad.any(1)[batch.voxels.inverse]
    later = torch.tensor([s.anchor != n for n, s in enumerate(batch.scans)])[batch.view]
    assert moved[~later].any() and moved[later].any() == (name == "temporal")
    assert method.pixel_head.weight.grad is None
    assert method.point_head.weight.grad.any()


def test_a_step_moves_student_and_heads_and_never_the_teacher():
    method = _method()
    trained = {name for name, p in method.named_parameters() if p.requires_grad}
    assert trials.reached(method, _batch()) == trained
    assert "teacher.gain" not in trained


def test_same_seed_same_loss():
    batch, found = _batch(), []
    for seed in (3, 3, 4):
        method = _method(points_per_scan=7)
        torch.manual_seed(seed)
        found.append(method(batch).total.item())
    assert found[0] == found[1] != found[2]


def test_images_are_those_of_the_first_scans():
    batch = _batch()
    assert len(batch.scans) == 4 and batch.images.n_images == 6
    assert int(batch.pairs.point.max()) < batch.scans[1].stop


def test_without_pairs_only_the_images_are_silent():
    blind = _batch(own=[tuple(map(without_pairs, drive)) for drive in company.drives()])
    terms = _method()(blind).terms
    assert terms["superpixel"] == 0 and terms["temporal"] > 0 and terms["point"] > 0


def test_empty_superpixels_leave_the_segments_of_space():
    batch = _batch()
    empty = trials.with_ids(batch, torch.full_like(batch.images.superpixels, -1))
    terms = _method()(empty).terms
    assert terms["superpixel"] == 0
    for name in ("temporal", "point"):
        torch.testing.assert_close(terms[name], _method()(batch).terms[name])


def test_no_cluster_at_all_is_survived():
    batch = _batch()
    for number in range(4):
        batch = _with_clusters(batch, number, lambda labels: torch.full_like(labels, -1))
    loss = _method()(batch)
    assert loss.terms["temporal"] == 0 and loss.terms["point"] == 0
    loss.total.backward()


@pytest.mark.parametrize("name", ["one scan unseen", "recordings of one frame", "one scan"])
def test_odd_batches_are_survived(name):
    assert _method()(company.odd_batches("seal")[name]).total > 0


def test_a_batch_without_clusters_is_refused():
    batch = _batch()
    bare = replace(batch, scans=tuple(replace(scan, clusters=None) for scan in batch.scans))
    with pytest.raises(ValueError, match="clusters"):
        _method()(bare)


def test_saved_and_resumed_equals_uninterrupted():
    whole, cut = trials.cut_in_two(lambda: _method(points_per_scan=9), [_batch()] * 4)
    assert whole == cut
