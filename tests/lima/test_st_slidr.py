"""ST-SLidR against its definition written out superpixel by superpixel, in float64."""

import math
from itertools import product

import pytest
import torch
import torch.nn.functional as F

from lima_bench.lima.methods.cards.slidr import SlidrSettings
from lima_bench.lima.methods.cards.st_slidr import StSlidrSettings
from lima_bench.lima.methods.slidr import Slidr
from lima_bench.lima.methods.st_slidr import StSlidr, tolerant_nce
from lima_bench.lima.synthetic import GridTeacher, TinyStudent, without_pairs
from tests.lima import trials


def _method(cls=StSlidr, settings=None, **changes):
    torch.manual_seed(0)
    chosen = settings or StSlidrSettings(width=6, **changes)
    return cls(chosen, GridTeacher(), TinyStudent()).double()


def _looks(batch):
    """Mean of the teacher's cells per (image, segment), ids taken at the cell's first pixel."""
    grids, ids = batch.images.grids, batch.images.superpixels
    found = {}
    high, wide = (ids.shape[n] // grids.shape[n] for n in (1, 2))  # pixels per cell
    for image, r, c in product(*(range(n) for n in grids.shape[:3])):
        segment = int(ids[image, r * high, c * wide])
        found.setdefault((image, segment), []).append(grids[image, r, c])
    return {key: F.normalize(torch.stack(cells).mean(0), dim=0) for key, cells in found.items()}


def _written_out(method, batch):
    settings = method.settings
    names, k, q = trials.means(method, batch)
    looks = _looks(batch)
    kept = [n for n, name in enumerate(names) if name in looks]
    k, q = k[kept], q[kept]
    s = torch.stack([looks[names[n]] for n in kept])
    return _tolerant(k, q, s @ s.T, settings)


def _tolerant(k, q, s, settings):
    n, terms = len(k), []
    votes = [sum(float(s[i, j]) for j in range(n) if s[i, j] >= 0.5) for i in range(n)]
    spread = max(votes) - min(votes)
    weight = [1 - (v - min(votes)) / spread if spread else 1.0 for v in votes]
    for i in range(n):
        logits = k[i] @ q.T / 0.07
        bound = torch.quantile(1 - s[i], settings.quantile)
        denominator = 0
        for j in range(n):
            if settings.tolerance == "soft":
                a = 1.0 if i == j else 1 - float(s[i, j].clamp(0, 1))
            else:
                a = 1.0 if i == j or 1 - s[i, j] >= bound else 0.0
            if a == 0 and settings.drop_mode == "remove" and settings.tolerance == "hard":
                continue
            denominator = denominator + (a * logits[j]).exp()
        terms.append(denominator.log() - logits[i])
    if settings.tolerance == "soft" or not settings.class_balance:
        return sum(terms) / n
    return sum(w * t for w, t in zip(weight, terms, strict=True)) / sum(weight)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"quantile": 0.4},
        {"quantile": 0.4, "drop_mode": "remove"},
        {"quantile": 0.4, "class_balance": False},
        {"tolerance": "soft"},
    ],
)
def test_value_and_gradients_equal_the_definition(changes):
    method, batch = _method(**changes), trials.batch_of()
    trials.same_gradients(method(batch).total, _written_out(method, batch), method)


def test_with_few_superpixels_only_the_anchor_is_caught_and_the_loss_is_slidrs():
    batch = trials.batch_of()  # 3 cameras x 2 scans x 6 ids: fewer than 100 groups
    ours = _method(class_balance=False)
    theirs = _method(Slidr, SlidrSettings(width=6))
    lost = [name for name in trials.groups(batch) if name not in _looks(batch)]
    assert not lost
    torch.testing.assert_close(ours(batch).total, theirs(batch).total, rtol=1e-12, atol=0)


def test_a_spared_negative_still_counts_one_unless_removed():
    """Four alike, two of them spared per row: the denominator by hand."""
    eye = torch.eye(4, dtype=torch.float64)
    similarity = torch.tensor(
        [[1, 0.9, 0, 0], [0.9, 1, 0, 0], [0, 0, 1, 0.9], [0, 0, 0.9, 1]], dtype=torch.float64
    )
    base = {"quantile": 0.5, "class_balance": False, "temperature": 1.0}
    own = math.e
    found = tolerant_nce(eye, eye, similarity, StSlidrSettings(**base))
    assert found.item() == pytest.approx(math.log(own + 3) - 1, rel=1e-12)
    found = tolerant_nce(eye, eye, similarity, StSlidrSettings(**base, drop_mode="remove"))
    assert found.item() == pytest.approx(math.log(own + 2) - 1, rel=1e-12)


def test_mixed_precision_changes_nothing():
    torch.manual_seed(0)
    k, q, looks = F.normalize(torch.randn(3, 30, 8), dim=2)
    given = k, q, looks @ looks.T, StSlidrSettings(quantile=0.3)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = tolerant_nce(*given)
    assert torch.equal(mixed, tolerant_nce(*given))


def test_the_most_common_superpixel_has_no_weight():
    """Anchors 0 and 1 resemble one another, 2 stands alone: only it counts."""
    similarity = torch.tensor([[1, 0.8, 0], [0.8, 1, 0], [0, 0, 1.0]], dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    k, q = torch.randn(2, 3, 5, dtype=torch.float64, generator=generator)
    settings = StSlidrSettings(temperature=1.0)
    logits = k @ q.T
    alone = logits[2].logsumexp(0) - logits[2, 2]
    torch.testing.assert_close(tolerant_nce(k, q, similarity, settings), alone)


def test_superpixels_that_the_teachers_grid_misses_take_no_part():
    batch = trials.batch_of()
    ids = batch.images.superpixels.clone()
    point = batch.pairs
    ids[point.image[0], 1, 1] = 6  # between the cells: no cell's first pixel
    pair = batch.pairs.row.clone(), batch.pairs.col.clone()
    pair[0][0], pair[1][0] = 1, 1
    object.__setattr__(batch.pairs, "row", pair[0])
    object.__setattr__(batch.pairs, "col", pair[1])
    changed = trials.with_ids(batch, ids)
    assert (int(point.image[0]), 6) in trials.groups(changed)
    assert (int(point.image[0]), 6) not in _looks(changed)
    method = _method()
    trials.same_gradients(method(changed).total, _written_out(method, changed), method)


def test_a_step_moves_student_and_heads_and_never_the_teacher():
    method = _method()
    trained = {name for name, p in method.named_parameters() if p.requires_grad}
    assert trials.reached(method, trials.batch_of()) == trained
    assert "teacher.gain" not in trained


def test_no_gradient_goes_through_the_similarities():
    method = _method(quantile=0.4)
    method.teacher.gain.requires_grad_(True)
    method(trials.batch_of()).total.backward()
    assert method.teacher.gain.grad is None


def test_same_seed_same_loss():
    batch = trials.batch_of()
    assert _method()(batch).total.item() == _method()(batch).total.item()


def test_no_pairs_give_zero_and_zero_gradients():
    blind = trials.batch_of([without_pairs(scan) for scan in trials.scans()])
    trials.silent_without_pairs(_method, blind)
    trials.silent_without_pairs(_method, trials.odd_batches()["no segment at all"])


@pytest.mark.parametrize("name", ["one scan unseen", "one scan"])
def test_odd_batches_are_survived(name):
    assert _method()(trials.odd_batches()[name]).total > 0


def test_saved_and_resumed_equals_uninterrupted():
    whole, cut = trials.cut_in_two(_method, [trials.batch_of()] * 4)
    assert whole == cut
