"""PPKT against its definition written out pair by pair, in float64."""

import pytest
import torch

from lima_bench.lima.methods.cards.ppkt import PpktSettings
from lima_bench.lima.methods.ppkt import Ppkt
from lima_bench.lima.synthetic import GridTeacher, TinyStudent, without_pairs
from tests.lima import trials


def _method(**settings):
    torch.manual_seed(0)
    return Ppkt(PpktSettings(width=6, **settings), GridTeacher(), TinyStudent()).double()


def _written_out(method, batch, drawn):
    points, dense = trials.embedded(method, batch)
    row_of = {int(point): row for row, point in enumerate(batch.source)}
    pairs = batch.pairs
    k = torch.stack([points[row_of[int(pairs.point[n])]] for n in drawn])
    q = torch.stack([dense[pairs.image[n], :, pairs.row[n], pairs.col[n]] for n in drawn])
    logits = k @ q.T / 0.07
    return -(logits.diagonal() - logits.logsumexp(1)).mean()


def test_value_and_gradients_equal_the_definition():
    method, batch = _method(), trials.batch_of()
    expected = _written_out(method, batch, range(len(batch.pairs.point)))
    trials.same_gradients(method(batch).total, expected, method)


def test_pairs_are_drawn_without_replacement():
    method, batch = _method(n_pairs=17), trials.batch_of()
    torch.manual_seed(5)
    loss = method(batch).total
    torch.manual_seed(5)
    drawn = torch.randperm(len(batch.pairs.point))[:17].tolist()
    assert len(set(drawn)) == 17
    trials.same_gradients(loss, _written_out(method, batch, drawn), method)


def test_indistinguishable_pairs_cost_the_logarithm_of_their_number():
    method, batch = _method(n_pairs=9), trials.batch_of()
    torch.nn.init.zeros_(method.pixel_head.weight)
    torch.testing.assert_close(
        method(batch).total, torch.tensor(9.0, dtype=torch.float64).log(), rtol=1e-12, atol=0
    )


def test_a_step_moves_student_and_heads_and_never_the_teacher():
    method = _method()
    trained = {name for name, p in method.named_parameters() if p.requires_grad}
    assert trials.reached(method, trials.batch_of()) == trained
    assert "teacher.gain" not in trained


def test_same_seed_same_loss():
    batch, found = trials.batch_of(), []
    for seed in (3, 3, 4):
        method = _method(n_pairs=10)
        torch.manual_seed(seed)
        found.append(method(batch).total.item())
    assert found[0] == found[1] != found[2]


def test_no_pairs_give_zero_and_zero_gradients():
    blind = trials.batch_of([without_pairs(scan) for scan in trials.scans()])
    trials.silent_without_pairs(_method, blind)


@pytest.mark.parametrize("name", ["one scan unseen", "one scan"])
def test_odd_batches_are_survived(name):
    assert _method()(trials.odd_batches()[name]).total > 0


def test_saved_and_resumed_equals_uninterrupted():
    whole, cut = trials.cut_in_two(lambda: _method(n_pairs=10), [trials.batch_of()] * 4)
    assert whole == cut
