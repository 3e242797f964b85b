"""Prototypes, draws, registered points, groups and maxima: the pieces that methods share."""

import io

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lima_bench.lima import ranks
from lima_bench.lima.clusters.groups import Groups
from lima_bench.lima.company import Company
from lima_bench.lima.draws import one_of_each, some
from lima_bench.lima.pooling import group_max
from lima_bench.lima.prototypes import PrototypeBank, spherical_kmeans
from lima_bench.lima.registration import registered_matches
from lima_bench.lima.rows import row_in_second_look, row_of_point
from lima_bench.lima.synthetic import accompanied
from lima_bench.lima.synthetic_batch import collate
from lima_bench.lima.views import View, ViewPlan, plain_plan
from tests.lima import company


def bundles(n=30, spread=0.05):
    """Unit vectors around the three axes."""
    generator = torch.Generator().manual_seed(0)
    axes = torch.eye(3, dtype=torch.float64).repeat_interleave(n, 0)
    noise = spread * torch.randn(3 * n, 3, generator=generator, dtype=torch.float64)
    return F.normalize(axes + noise, dim=1)


def test_means_are_directions_of_sums():
    vectors, axes = bundles(), torch.eye(3, dtype=torch.float64)
    found_axes = 0
    for seed in range(20):
        torch.manual_seed(seed)
        means = spherical_kmeans(vectors, 3)
        owner = (vectors @ means.T).argmax(1)
        for number in owner.unique():
            expected = F.normalize(vectors[owner == number].sum(0), dim=0)
            torch.testing.assert_close(means[number], expected)
        found_axes += bool(((axes @ means.T).max(1).values > 0.99).all())
    assert found_axes > 3  # of 20 beginnings, those with a vector of every bundle


def test_means_follow_torchs_seed():
    found = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        found.append(spherical_kmeans(bundles(), 3))
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


def test_a_mean_without_vectors_stays():
    vectors = torch.tensor([[1.0, 0.0]] * 3 + [[0.0, 1.0]])
    means = spherical_kmeans(vectors, 3)
    assert torch.equal(means.norm(dim=1), torch.ones(3))


def _bank(size=10, n=2, width=3):
    return PrototypeBank(n, width, size).double()


def test_the_bank_keeps_the_newest():
    bank, vectors = _bank(size=10), bundles()
    for start in range(0, 18, 4):
        bank.add(vectors[start : start + 4])
    assert len(bank) == 10
    assert torch.equal(bank.get_extra_state()["vectors"], vectors[10:20])
    bank.add(vectors[:25])
    assert torch.equal(bank.get_extra_state()["vectors"], vectors[15:25])


def test_a_new_era_makes_prototypes_and_empties_the_bank():
    bank = _bank(size=100, n=3)
    bank.add(bundles())
    bank.begin(0, wanted=True)
    assert not bank.ready and len(bank) == 90  # the same era
    bank.begin(1, wanted=False)
    assert not bank.ready and len(bank) == 0
    bank.add(bundles())
    bank.begin(2, wanted=True)
    assert bank.ready and len(bank) == 0
    made = bank.prototypes.clone()
    bank.add(bundles()[:2])
    bank.begin(3, wanted=True)  # too few to make three of
    assert torch.equal(bank.prototypes, made) and len(bank) == 2


def test_a_bank_that_was_saved_goes_on():
    bank, other = _bank(n=3, size=50), _bank(n=3, size=50)
    bank.add(bundles())
    bank.begin(1, wanted=True)
    bank.add(bundles()[:7])
    file = io.BytesIO()
    torch.save(bank.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other.prototypes, bank.prototypes) and len(other) == 7
    other.begin(1, wanted=True)
    assert len(other) == 7


def test_every_process_has_the_prototypes_of_the_first():
    def work(report):
        torch.distributed.init_process_group("gloo")
        bank = _bank(n=3, size=100)
        if ranks.rank() == 0:
            bank.add(bundles())
        torch.manual_seed(ranks.rank())
        bank.begin(1, wanted=True)
        own = bank.prototypes.flatten()
        everyone = [torch.zeros_like(own) for _ in range(2)]
        torch.distributed.all_gather(everyone, own)
        return torch.stack(everyone).numpy()

    first, second = ranks.run_on(2, work, lambda *_: None)
    assert first.any() and np.array_equal(first, second)
    assert ranks.from_first(torch.ones(2)).tolist() == [1, 1]


def test_some_draws_each_item_at_most_once():
    items = torch.arange(100, 150)
    assert torch.equal(some(items, 50), items)
    drawn = some(items, 20)
    assert len(set(drawn.tolist())) == 20 and set(drawn.tolist()) <= set(items.tolist())


def test_one_of_each_label_by_chance():
    label = torch.tensor([5, 2, 5, 2, 9])
    torch.manual_seed(0)
    found = [one_of_each(label).tolist() for _ in range(60)]
    assert all(label[places].tolist() == [2, 5, 9] for places in found)
    assert {tuple(places) for places in found} == {(a, b, 4) for a in (1, 3) for b in (0, 2)}
    assert len(one_of_each(label[:0])) == 0


def test_group_max_and_its_gradient():
    values = torch.tensor([[1.0, -5], [3, -7], [-2, 4]], requires_grad=True)
    found = group_max(values, torch.tensor([0, 0, 2]), 3)
    assert found.tolist() == [[3, -5], [0, 0], [-2, 4]]
    found.sum().backward()
    assert values.grad.tolist() == [[0, 1], [1, 0], [1, 1]]
    assert group_max(values[:0], torch.zeros(0, dtype=torch.int64), 2).tolist() == [[0, 0]] * 2


@pytest.fixture
def pair_batch():
    """Two recordings, each a frame and its neighbour; second looks at every other point."""
    own = company.drives(points=24)
    placed = accompanied([drive[0] for drive in own], own, Company(offsets=(1,)))
    plain = plain_plan([one.input for one in placed])
    second = tuple(View(((n, np.arange(0, 24, 2)),)) for n in range(4))
    return collate(placed, ViewPlan((*plain.views, *second), plain.cameras))


def test_registered_points_are_the_same_landmarks(pair_batch):
    found = registered_matches(pair_batch, 0.01)
    point = torch.arange(48)
    assert torch.equal(found.point, point) and torch.equal(found.partner, point + 48)
    none = registered_matches(company.batch_of("gcc3d"), 0.01)
    assert len(none.point) == len(none.partner) == 0


def test_rows_of_both_looks(pair_batch):
    first, second = row_of_point(pair_batch), row_in_second_look(pair_batch)
    assert torch.equal(pair_batch.source[first], torch.arange(96))
    assert torch.equal(second < 0, torch.arange(96) % 2 == 1)
    seen = second[second >= 0]
    assert (pair_batch.view[seen] >= 4).all()
    assert torch.equal(pair_batch.source[seen], torch.arange(0, 96, 2))


def test_groups_are_shared_with_company_and_not_between_anchors(pair_batch):
    groups = Groups.of(pair_batch)
    assert groups.n_groups == 2  # of 24 points the second dozen is one cluster
    first = groups.of_row[:96].view(4, 24)
    assert (first[:, :12] == -1).all()
    assert first[:, 12].tolist() == [0, 1, 0, 1] and (first[:, 12:] == first[:, 12:13]).all()
    rows = groups.rows(pair_batch.view == 1)
    assert rows.tolist() == list(range(36, 48))
