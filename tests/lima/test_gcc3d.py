"""GCC-3D against its definition written out place by place, in float64."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from lima_bench.lima.batch import Moment
from lima_bench.lima.losses import info_nce
from lima_bench.lima.methods.cards.gcc3d import Gcc3dSettings
from lima_bench.lima.methods.gcc3d import Gcc3d, closeness, harmonisation, soft_contrast
from lima_bench.lima.synthetic import TinyStudent
from tests.lima import company, trials

LATE = Moment(step=6, steps_per_epoch=4, total_steps=8)


def _method(**settings):
    torch.manual_seed(0)
    small = {"width": 6, "hidden": 7, "instance_width": 5, "prototypes": 4, "place_m": 1e-3}
    return Gcc3d(Gcc3dSettings(**{**small, **settings}), None, TinyStudent()).double()


def _with_prototypes(**settings):
    method = _method(**settings)
    prototypes = torch.randn(4, 5, dtype=torch.float64)
    method.bank.prototypes.copy_(F.normalize(prototypes, dim=1))
    return method


def _batch(**changes):
    return company.batch_of("gcc3d", **changes)


def _looks(batch):
    """Per scan: its points, the rows of its first look and of its second; all see everything."""
    for number, scan in enumerate(batch.scans):
        rows = [torch.nonzero(batch.view == n).squeeze(1) for n in (number, number + 2)]
        yield scan, batch.xyz[scan.start : scan.stop].double(), *rows


def _geometry(method, batch, sigma_m):
    values = F.normalize(method.head(method.student(batch.voxels)), dim=1)
    places, first, second, scan_of = [], [], [], []
    for number, (_, xyz, one, other) in enumerate(_looks(batch)):
        places += list(xyz)
        first += one.tolist()
        second += other.tolist()
        scan_of += [number] * len(xyz)
    total = 0.0
    for here, there in ((first, second), (second, first)):
        for i, row in enumerate(here):
            wanted = torch.stack(
                [
                    torch.exp(-(places[i] - place).square().sum() / (2 * sigma_m**2))
                    * (scan_of[i] == scan_of[j])
                    for j, place in enumerate(places)
                ]
            )
            logs = (values[there] @ values[row] / 0.07).log_softmax(0)
            total = total - (wanted / wanted.sum() * logs).sum() / len(here) / 2
    return total


def _instances(method, batch):
    features = method.student(batch.voxels)
    found = []
    for scan, _, *looks in _looks(batch):
        for instance in range(int(scan.clusters.max()) + 1):
            inside = scan.clusters == instance
            found.append([features[rows[inside]].max(0).values for rows in looks])
    return [
        F.normalize(method.instance_head(torch.stack(look)), dim=1)
        for look in zip(*found, strict=True)
    ]


def _harmony(method, batch):
    total, assigned = 0.0, []
    looks = _instances(method, batch)
    for z, other in (looks, looks[::-1]):
        for one, two in zip(z, other, strict=True):
            target = ((method.bank.prototypes @ one).detach() / 0.05).softmax(0)
            p = (method.bank.prototypes @ two / 0.1).softmax(0)
            total = total - (target * p.log()).sum() / len(z) / 2
            assigned.append(p)
    mean = torch.stack(assigned).mean(0)
    return total - 0.1 * -(mean * mean.log()).sum()


@pytest.mark.parametrize("sigma_m", [0.8, 6.0])
def test_geometry_value_and_gradients_equal_the_definition(sigma_m):
    method, batch = _method(sigma_m=sigma_m), _batch(own=company.drives(points=20))
    batch = replace(batch, xyz=batch.xyz.double())
    trials.same_gradients(
        method(batch).terms["geometry"], _geometry(method, batch, sigma_m), method
    )


def test_harmony_value_and_gradients_equal_the_definition():
    method, batch = _with_prototypes(), _batch(moment=LATE)
    found = method(batch).terms["harmony"]
    trials.same_gradients(found, _harmony(method, batch), method)


def test_a_vanishing_neighbourhood_recovers_point_contrast():
    torch.manual_seed(0)
    one, other = (F.normalize(torch.randn(9, 4, dtype=torch.float64), dim=1) for _ in range(2))
    wanted = closeness(torch.randn(9, 3, dtype=torch.float64), torch.zeros(9), 1e-4)
    torch.testing.assert_close(wanted, torch.eye(9, dtype=torch.float64))
    torch.testing.assert_close(soft_contrast(one, other, wanted, 0.07), info_nce(one, other, 0.07))


def test_closeness_closed_form():
    xyz = torch.tensor([[0.0, 0, 0], [2.0, 0, 0], [0.0, 0, 0]], dtype=torch.float64)
    found = closeness(xyz, torch.tensor([0, 0, 1]), sigma_m=2.0)
    near = torch.exp(torch.tensor(-0.5, dtype=torch.float64))
    expected = torch.tensor([[1, near, 0], [near, 1, 0], [0, 0, 1 + near]]) / (1 + near)
    torch.testing.assert_close(found, expected)


def test_harmonisation_closed_form():
    """One prototype per instance: agreement costs nothing, and all prototypes are used."""
    axes = torch.eye(3, dtype=torch.float64)
    log3 = torch.tensor(3.0, dtype=torch.float64).log()
    found = harmonisation(axes, axes, axes, (0.01, 0.01), entropy_weight=0.1)
    torch.testing.assert_close(found, -0.1 * log3)
    crossed = harmonisation(axes, axes[[1, 2, 0]], axes, (0.01, 0.01), entropy_weight=0.0)
    torch.testing.assert_close(crossed, torch.tensor(100.0, dtype=torch.float64))
    assert harmonisation(axes[:0], axes[:0], axes, (0.1, 0.05), 0.1) == 0


def test_instances_are_harmonised_in_the_second_half_only():
    method = _with_prototypes()
    terms = [method(_batch(moment=Moment(step, 4, 8))).terms["harmony"] for step in (3, 4)]
    assert terms[0] == 0 and terms[1] != 0


def test_no_gradient_reaches_a_target():
    one = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    other = torch.randn(5, 4, dtype=torch.float64)
    prototypes = torch.randn(3, 4, dtype=torch.float64)
    harmonisation(one, other, prototypes, (0.1, 0.05), 0.0).backward()
    target = (other @ prototypes.T / 0.05).softmax(1)
    own = (one @ prototypes.T / 0.1).softmax(1)
    expected = (own - target) @ prototypes / 0.1 / 5 / 2
    torch.testing.assert_close(one.grad, expected)


def test_one_place_per_cube():
    method, batch = _method(place_m=1000.0), _batch()
    torch.nn.init.zeros_(method.head.weight)
    n_cubes = len({tuple(p) for p in torch.div(batch.xyz, 1000).floor().long().tolist()})
    assert 1 < n_cubes <= 8
    log = torch.tensor(2.0 * n_cubes, dtype=torch.float64).log()  # two scans, other cubes each
    torch.testing.assert_close(method(batch).terms["geometry"], log)
    few = _method(places=3)
    torch.nn.init.zeros_(few.head.weight)
    torch.testing.assert_close(few(batch).terms["geometry"], torch.tensor(3.0).double().log())


def test_a_step_moves_the_student_and_what_is_switched_on():
    names = {name for name, _ in _method().named_parameters()}
    heads = {name for name in names if name.startswith("instance_head")}
    assert trials.reached(_method(), _batch()) == names - heads
    assert trials.reached(_with_prototypes(), _batch(moment=LATE)) == names


def test_prototypes_come_from_the_instances_seen():
    method = _method(refreshes=4)
    for step in range(5):
        assert not method.bank.ready
        method(_batch(moment=Moment(step, 4, 8)))
    assert method.bank.ready
    torch.testing.assert_close(method.bank.prototypes.norm(dim=1), torch.ones(4).double())


def test_same_seed_same_loss():
    batch, found = _batch(), []
    for seed in (3, 3, 4):
        method = _method(places=7)
        torch.manual_seed(seed)
        found.append(method(batch).total.item())
    assert found[0] == found[1] != found[2]


def test_two_looks_and_no_image():
    batch = _batch()
    assert (batch.voxels.n_clouds, batch.n_scan_views, len(batch.scans)) == (4, 2, 2)
    assert batch.images.n_images == 0


def test_no_cluster_at_all_is_survived():
    batch = _batch(moment=LATE)
    scans = tuple(replace(s, clusters=torch.full_like(s.clusters, -1)) for s in batch.scans)
    loss = _with_prototypes()(replace(batch, scans=scans))
    assert loss.terms["harmony"] == 0
    loss.total.backward()


@pytest.mark.parametrize("name", ["one scan unseen", "recordings of one frame", "one scan"])
def test_odd_batches_are_survived(name):
    assert _method()(company.odd_batches("gcc3d")[name]).total > 0


def test_saved_and_resumed_equals_uninterrupted():
    steps = [_batch(moment=Moment(step, 2, 8)) for step in range(8)]
    whole, cut = trials.cut_in_two(lambda: _method(refreshes=8, places=9), steps)
    assert whole == cut


def test_both_terms_fall_on_one_batch():
    """The second one with prototypes of its own beginning; it may fall below 0."""
    torch.manual_seed(0)
    method, batch = _with_prototypes(), _batch(moment=LATE)
    optimiser = torch.optim.AdamW(method.parameters(), lr=0.01)
    found = []
    for _ in range(50):
        terms = method(batch).terms
        optimiser.zero_grad()
        sum(terms.values()).backward()
        optimiser.step()
        found.append({name: float(term.detach()) for name, term in terms.items()})
    assert found[-1]["geometry"] < 0.8 * found[0]["geometry"]
    assert found[-1]["harmony"] < 0.5 * found[0]["harmony"]
