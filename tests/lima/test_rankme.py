"""RankMe: closed forms, the definition, and what it is fed with."""

from __future__ import annotations

import math

import pytest
import torch

from lima_bench.lima.rankme import POINTS, rankme, spread_features
from lima_bench.lima.synthetic import TinyStudent, random_drive
from lima_bench.lima.synthetic_batch import collate


@pytest.mark.parametrize("width", [1, 2, 8])
def test_directions_that_are_as_strong_count_in_full(width):
    features = torch.linalg.qr(torch.randn(50, width, generator=torch.Generator().manual_seed(0)))[
        0
    ]
    assert rankme(5 * features) == pytest.approx(width, rel=1e-5)


def test_multiples_of_one_row_have_rank_one():
    features = torch.arange(1.0, 31)[:, None] * torch.ones(1, 6)
    assert rankme(features) == pytest.approx(1, abs=1e-4)


def test_the_definition():
    features = torch.randn(200, 7, generator=torch.Generator().manual_seed(0))
    features[:, 3] *= 20
    values = torch.linalg.eigvalsh(features.double().T @ features.double()).sqrt().tolist()
    shares = [value / sum(values) + 1e-7 for value in values]
    expected = math.exp(-sum(share * math.log(share) for share in shares))
    assert rankme(features) == pytest.approx(expected, rel=1e-9)
    assert rankme(3 * features) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("features", [torch.zeros(9, 4), torch.zeros(0, 4)])
def test_nothing_has_no_rank(features):
    assert rankme(features) == 0


def _batches(n):
    drive = random_drive("a", frames=n, points=100)
    return [collate([scan], augment_seed=number) for number, scan in enumerate(drive)]


def test_features_are_gathered_from_several_batches_and_no_more_than_needed():
    student, batches, taken = TinyStudent().eval(), _batches(9), []
    found = spread_features(student, (taken.append(b) or b for b in batches), n_points=160)
    assert (len(found), len(taken)) == (160, 8)
    assert POINTS == 25_600
    few = spread_features(student, iter(batches), n_points=POINTS)
    assert len(few) == 900  # all there are
    torch.testing.assert_close(few[:100], student(batches[0].voxels).detach())


def test_points_of_a_batch_are_evenly_spread():
    student, (batch,) = TinyStudent().eval(), _batches(1)
    found = spread_features(student, [batch], n_points=80)  # ten of every batch
    torch.testing.assert_close(found, student(batch.voxels)[::10].detach())
