"""PointContrast against its definition written out pair by pair, in float64."""

from dataclasses import replace

import pytest
import torch

from lima_bench.lima.methods.cards.pointcontrast import PointcontrastSettings
from lima_bench.lima.methods.pointcontrast import Pointcontrast, nearest_of
from lima_bench.lima.synthetic import TinyStudent
from tests.lima import company, trials


def _method(**settings):
    torch.manual_seed(0)
    return Pointcontrast(PointcontrastSettings(width=6, **settings), None, TinyStudent()).double()


def _batch(**changes):
    return company.batch_of("pointcontrast", **changes)


def _embedded(method, batch):
    return torch.nn.functional.normalize(method.head(method.student(batch.voxels)), dim=1)


def _places(batch, number):
    """Rows of a scan, and where its points lie in the world."""
    scan = batch.scans[number]
    xyz = batch.xyz[scan.start : scan.stop].double()
    pose = scan.lidar_to_global
    return torch.nonzero(batch.view == number).squeeze(1), xyz @ pose[:3, :3].T + pose[:3, 3]


def _registered(batch, radius_m):
    """By the book: (row, row of the nearest point of the neighbour), if it is near enough."""
    found = []
    for other, scan in enumerate(batch.scans):
        if scan.anchor == other:
            continue
        (rows, here), (theirs, there) = _places(batch, scan.anchor), _places(batch, other)
        distance, nearest = torch.cdist(here, there).min(1)
        found += [
            (int(rows[n]), int(theirs[nearest[n]]))
            for n in range(len(rows))
            if distance[n] <= radius_m
        ]
    return found


def _moved(batch, share=0.5, by=7.0):
    """The same, in which a part of the neighbours' points is elsewhere."""
    xyz = batch.xyz.clone()
    for number, scan in enumerate(batch.scans):
        if scan.anchor != number:
            xyz[scan.start : scan.start + int(share * (scan.stop - scan.start))] += by
    return replace(batch, xyz=xyz)


def _some_alike(batch):
    """The same, in which some pairs look alike to the student: nothing is nearer than they are."""
    features, cell = batch.voxels.features.clone(), batch.voxels.inverse
    for now, later in _registered(batch, batch.edge_m)[::4]:
        features[cell[later]] = features[cell[now]]
    return replace(batch, voxels=replace(batch.voxels, features=features))


def _infonce(method, batch):
    values, cell = _embedded(method, batch), batch.voxels.inverse
    once = {int(cell[now]): (now, later) for now, later in _registered(batch, batch.edge_m)}
    now, later = (list(column) for column in zip(*once.values(), strict=True))
    logits = values[now] @ values[later].T / 0.07
    return -(logits.diagonal() - logits.logsumexp(1)).mean()


def _hardest(method, batch):
    values, cell = _embedded(method, batch), batch.voxels.inverse.tolist()
    pairs = _registered(batch, batch.edge_m)
    known = {(cell[now], cell[later]) for now, later in pairs}
    own = [scan.anchor == n for n, scan in enumerate(batch.scans)]
    ours = [row for row, view in enumerate(batch.view.tolist()) if own[view]]
    theirs = [row for row, view in enumerate(batch.view.tolist()) if not own[view]]
    pull, forth, back = [], [], []
    for now, later in pairs:
        pull.append(((values[now] - values[later]).square().sum() - 0.1).relu())
        for one, others, terms in ((now, theirs, forth), (later, ours, back)):
            distance = ((values[one] - values[others]).square().sum(1) + 1e-7).sqrt()
            place = int(distance.argmin())
            key = (cell[now], cell[others[place]])
            key = key if terms is forth else (cell[others[place]], cell[later])
            if key not in known:
                terms.append((1.4 - distance[place]).relu().square())
    assert 0 < len(forth) < len(pairs) and 0 < len(back) < len(pairs)
    mean = lambda terms: torch.stack(terms).mean() if terms else torch.tensor(0.0)  # noqa: E731
    return mean(pull) + (mean(forth) + mean(back)) / 2


@pytest.mark.parametrize(("loss", "written_out"), [("infonce", _infonce), ("hardest", _hardest)])
def test_value_and_gradients_equal_the_definition(loss, written_out):
    method, batch = _method(loss=loss), _some_alike(_moved(_batch()))
    trials.same_gradients(method(batch).total, written_out(method, batch), method)


def test_only_registered_points_are_pairs():
    batch = _batch()
    assert len(_registered(batch, batch.edge_m)) == 80
    half = _moved(batch)
    assert len(_registered(half, half.edge_m)) == 40
    far = _moved(batch, share=1.0)
    loss = _method()(far).total
    loss.backward()
    assert loss == 0


def test_the_radius_goes_with_the_cells():
    """Everything lies 0.15 m off: too far with cells of 0.1 m, near enough with larger ones."""
    batch = _moved(_batch(), share=1.0, by=0.15 / 3**0.5)
    assert _method()(batch).total == 0
    assert _method(radius_cells=2)(batch).total > 0
    assert _method()(replace(batch, edge_m=0.2)).total > 0


def test_places_that_look_alike_cost_the_logarithm_of_their_number():
    method, batch = _method(), _batch()
    torch.nn.init.zeros_(method.head.weight)
    n_cells = 40  # two points share a cell, so of 80 pairs every other one is left
    expected = torch.tensor(float(n_cells), dtype=torch.float64).log()
    torch.testing.assert_close(method(batch).total, expected)
    few = _method(pairs=9)
    torch.nn.init.zeros_(few.head.weight)
    expected = torch.tensor(9.0, dtype=torch.float64).log()
    torch.testing.assert_close(few(batch).total, expected)


def test_nearest_of_closed_form():
    vectors = torch.tensor([[1.0, 0.0], [0.0, 2.0]], dtype=torch.float64)
    candidates = torch.tensor([[0.0, 1.0], [1.0, 0.0], [3.0, 0.0]], dtype=torch.float64)
    distance, place = nearest_of(vectors, candidates)
    assert place.tolist() == [1, 0]
    torch.testing.assert_close(distance, torch.tensor([1e-7, 1 + 1e-7]).double().sqrt())
    assert len(nearest_of(vectors[:0], candidates[:0])[0]) == 0


def test_hardest_margins_closed_form():
    """All features equal: positives cost nothing, negatives the whole margin or are positives."""
    method, batch = _method(loss="hardest"), _moved(_batch())
    torch.nn.init.zeros_(method.head.weight)
    terms = method(batch).terms
    assert terms["positive"] == 0
    expected = torch.tensor((1.4 - 1e-7**0.5) ** 2, dtype=torch.float64)
    torch.testing.assert_close(terms["negative"], expected)


@pytest.mark.parametrize("loss", ["infonce", "hardest"])
def test_a_step_moves_student_and_head_by_both_scans(loss):
    method = _method(loss=loss)
    trained = {name for name, p in method.named_parameters() if p.requires_grad}
    assert trials.reached(method, _batch()) == trained
    batch = _batch()
    features = batch.voxels.features.clone().requires_grad_()
    method(replace(batch, voxels=replace(batch.voxels, features=features))).total.backward()
    moved = features.grad.any(1)[batch.voxels.inverse]
    assert all(moved[batch.view == number].any() for number in range(4))


def test_no_image_is_looked_at():
    batch = _batch()
    assert batch.images.n_images == 0 and len(batch.pairs.point) == 0


@pytest.mark.parametrize("loss", ["infonce", "hardest"])
def test_same_seed_same_loss(loss):
    batch, found = _batch(), []
    for seed in (3, 3, 4):
        method = _method(loss=loss, pairs=9, positives=5, negatives=7)
        torch.manual_seed(seed)
        found.append(method(batch).total.item())
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize("loss", ["infonce", "hardest"])
@pytest.mark.parametrize("name", ["one scan unseen", "recordings of one frame", "one scan"])
def test_odd_batches_are_survived(name, loss):
    assert _method(loss=loss)(company.odd_batches("pointcontrast")[name]).total > 0


@pytest.mark.parametrize("loss", ["infonce", "hardest"])
def test_saved_and_resumed_equals_uninterrupted(loss):
    whole, cut = trials.cut_in_two(lambda: _method(loss=loss, pairs=9), [_batch()] * 4)
    assert whole == cut
