"""CSC against its definition written out class by class, in float64."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from lima_bench.common.errors import UserError
from lima_bench.lima.batch import Moment
from lima_bench.lima.methods.cards.csc import CscSettings
from lima_bench.lima.methods.csc import Csc
from lima_bench.lima.synthetic import GridTeacher, TinyStudent, without_pairs
from tests.lima import trials

EARLY = Moment(step=1, steps_per_epoch=5, total_steps=20)
LATE = Moment(step=2, steps_per_epoch=5, total_steps=20)


def _method(**settings):
    torch.manual_seed(0)
    chosen = CscSettings(**{"width": 6, "classes": 7, "hidden": 4, **settings})
    return Csc(chosen, GridTeacher(), TinyStudent()).double()


def _surveyed(**settings):
    method = _method(**settings)
    with torch.no_grad():
        method.eval().survey([trials.batch_of(trials.scans("cd"))])
    return method.train()


def _contrast(k, q):
    logits = k @ q.T / 0.07
    return -(logits.diagonal() - logits.logsumexp(1)).mean()


def _mixed(method):
    """The mixing network, layer by layer, with the statistics of the classes as a batch."""
    x = torch.cat([method.point_prototypes, method.pixel_prototypes], 1)
    for linear, norm in ((method.mix[0], method.mix[1]), (method.mix[3], method.mix[4])):
        x = x @ linear.weight.T + linear.bias
        x = (x - x.mean(0)) / (x.var(0, unbiased=False) + norm.eps).sqrt()
        x = F.gelu(x * norm.weight + norm.bias)
    return x @ method.mix[6].weight.T + method.mix[6].bias


def test_value_and_gradients_before_prototypes_count():
    method, batch = _surveyed(), trials.batch_of(moment=EARLY)
    _, k, q = trials.means(method, batch)
    loss = method(batch)
    assert dict(loss).keys() == {"contrast"}
    trials.same_gradients(loss.total, _contrast(k, q), method)


@pytest.mark.parametrize("temperature", [1.0, 0.3])
def test_value_and_gradients_with_prototypes(temperature):
    method, batch = _surveyed(cluster_temperature=temperature), trials.batch_of(moment=LATE)
    names, k, q = trials.means(method, batch)
    logits = k @ _mixed(method).T / temperature
    own = torch.stack([logits[row, number] for row, (_, number) in enumerate(names)])
    cluster = (logits.logsumexp(1) - own).mean()
    loss = method(batch)
    torch.testing.assert_close(dict(loss)["cluster"], cluster / 2, rtol=1e-9, atol=0)
    trials.same_gradients(loss.total, (_contrast(k, q) + cluster) / 2, method)


@pytest.mark.parametrize("shift", [False, True])
def test_prototypes_are_means_over_every_group_of_all_batches(shift):
    method = _method(csc_index_shift=shift)
    batches = [trials.batch_of(trials.scans(names)) for names in ("ab", "cd")]
    batches[1] = trials.with_ids(batches[1], batches[1].images.superpixels.clamp(max=2))
    with torch.no_grad():
        method.eval().survey(batches)
    rows = {number: ([], []) for number in range(7)}
    for batch in batches:
        for (_, number), k, q in zip(*trials.means(method, batch), strict=True):
            rows[number][0].append(k.detach())
            rows[number][1].append(q.detach())
    for number, found in rows.items():
        place = number - shift
        if place >= 0:
            for values, prototypes in zip(
                found, (method.point_prototypes, method.pixel_prototypes), strict=True
            ):
                mean = torch.stack(values).mean(0) if values else torch.zeros(6).double()
                torch.testing.assert_close(prototypes[place], mean, rtol=1e-9, atol=1e-12)
    if shift:
        assert not method.point_prototypes[6].any()


def test_the_published_mixer_has_the_published_size():
    """128 -> 128 -> 128 -> 64: 41,792 parameters."""
    method = Csc(CscSettings(), GridTeacher(), TinyStudent())
    assert sum(p.numel() for p in method.mix.parameters()) == 41_792
    assert method.point_prototypes.shape == (150, 64)
    assert all(not method.mix[n].bias.any() for n in (0, 3, 6))
    assert 0.018 < float(method.mix[0].weight.detach().std()) < 0.022


def test_like_prototypes_cost_the_logarithm_of_the_classes():
    method = _method()  # never surveyed: all prototypes are 0, all classes look the same
    cluster = dict(method(trials.batch_of(moment=LATE)))["cluster"]
    torch.testing.assert_close(cluster, torch.tensor(7.0).double().log() / 2, rtol=1e-9, atol=0)


def test_a_step_moves_student_heads_and_mixer_and_never_teacher_or_prototypes():
    method, batch = _surveyed(), trials.batch_of(moment=LATE)
    prototypes = method.point_prototypes.clone()
    trained = {name for name, p in method.named_parameters() if p.requires_grad}
    # A bias before a BatchNorm is taken out by it: its gradient is rounding at most.
    free = {"mix.0.bias", "mix.3.bias"}
    assert trials.reached(method, batch) | free == trained
    assert torch.equal(method.point_prototypes, prototypes)
    early = _method()
    assert not any(name.startswith("mix") for name in trials.reached(early, trials.batch_of()))


def test_same_seed_same_loss():
    batch = trials.batch_of(moment=LATE)
    assert _surveyed()(batch).total.item() == _surveyed()(batch).total.item()


def test_no_pairs_give_zero_and_zero_gradients():
    blind = trials.batch_of([without_pairs(scan) for scan in trials.scans()], LATE)
    empty = replace(trials.odd_batches()["no segment at all"], moment=LATE)
    for batch in (blind, empty):
        trials.silent_without_pairs(_surveyed, batch)
    method = _method()
    method.survey([blind, empty])
    assert not method.point_prototypes.any()


@pytest.mark.parametrize("name", ["one scan unseen", "one scan"])
def test_odd_batches_are_survived(name):
    batch = replace(trials.odd_batches()[name], moment=LATE)
    assert _surveyed()(batch).total > 0


def test_saved_and_resumed_equals_uninterrupted():
    steps = [trials.batch_of(moment=Moment(step, 5, 20)) for step in range(1, 5)]
    whole, cut = trials.cut_in_two(_method, steps)
    assert whole == cut
    surveyed = _surveyed()

    def make():
        method = _method()
        method.load_state_dict(surveyed.state_dict())
        return method

    assert trials.cut_in_two(make, steps)[0] != whole


def test_more_masks_than_prototypes_are_refused():
    batch = trials.batch_of()
    with pytest.raises(UserError, match=r"ids up to 5(.|\n)*classes to 6"):
        _method(classes=5)(batch)
