"""Mixing: halves of space that fit together, partners of other recordings, coordinates only."""

from collections import Counter

import numpy as np
import pytest

from lima_bench.lima.mixing import _bands, mix, mixed_views, partners
from lima_bench.lima.pairs import Pairs
from lima_bench.lima.views import ScanInput

KINDS = ["frustum", "laser", "polar"]


def _scan(seed, sequence="a", n=400, pairs=None):
    xyz = np.random.default_rng(seed).normal(size=(n, 3)) * (20, 20, 3)
    nothing = np.zeros(0, np.int64)
    pairs = pairs or Pairs(nothing, nothing, nothing, nothing)
    return ScanInput(xyz.astype(np.float32), sequence, pairs)


@pytest.mark.parametrize("kind", KINDS)
def test_the_halves_fit_together(kind):
    """A scan mixed with its own copy is the scan: no direction is doubled or left out."""
    scan = _scan(0)
    for seed in range(30):
        view = mix([scan, scan], (0, 1), kind, np.random.default_rng(seed))
        (_, kept), (_, added) = view.parts
        assert sorted([*kept, *added]) == list(range(len(scan.xyz)))
        assert kept.dtype == added.dtype == np.int64


@pytest.mark.parametrize("kind", KINDS)
def test_both_scans_give_something_and_draws_differ(kind):
    scans = [_scan(0), _scan(1)]
    views = [mix(scans, (0, 1), kind, np.random.default_rng(seed)) for seed in range(20)]
    assert all(len(part) > 0 for view in views for _, part in view.parts)
    assert len({view.parts[0][1].tobytes() for view in views}) > 3


@pytest.mark.parametrize("kind", KINDS)
def test_labels_pairs_and_names_play_no_part(kind):
    one = np.arange(5)
    other = [_scan(0, "x", pairs=Pairs(one, one % 2, one, one)), _scan(1, "y")]
    plain = [_scan(0), _scan(1)]
    for seed in range(5):
        views = [mix(s, (0, 1), kind, np.random.default_rng(seed)) for s in (plain, other)]
        for (_, part), (_, twin) in zip(views[0].parts, views[1].parts, strict=True):
            assert np.array_equal(part, twin)


def test_bands_alternate_in_inclination_and_outliers_join_the_outermost():
    pitch = np.radians([-80, -29, -21, -19, -11, -9, -1, 1, 9, 80])
    xyz = np.stack([np.cos(pitch), np.zeros(10), np.sin(pitch)], 1).astype(np.float32)
    second = _bands(xyz, 4, (-30.0, 10.0))
    assert second.tolist() == [False] * 3 + [True] * 2 + [False] * 2 + [True] * 3


def test_frustum_draws_bands_and_half_circles_alike():
    """In a ring of points at one height, bands take all or nothing, columns exactly half."""
    yaw = (np.arange(480) + 0.5) / 480 * 2 * np.pi
    ring = np.stack([np.cos(yaw), np.sin(yaw), np.zeros(480)], 1).astype(np.float32)
    empty = Pairs(*(4 * [np.zeros(0, np.int64)]))
    scans = [ScanInput(ring, name, empty) for name in "ab"]
    sizes = Counter(
        len(mix(scans, (0, 1), "frustum", np.random.default_rng(seed)).parts[0][1])
        for seed in range(200)
    )
    assert set(sizes) == {0, 240, 480}
    assert 70 <= sizes[240] <= 130


def test_polar_takes_half_a_circle_in_one_piece():
    yaw = np.linspace(-np.pi, np.pi, 360, endpoint=False) + 1e-3
    ring = np.stack([np.cos(yaw), np.sin(yaw), np.zeros(360)], 1).astype(np.float32)
    empty = Pairs(*(4 * [np.zeros(0, np.int64)]))
    scans = [ScanInput(ring, name, empty) for name in "ab"]
    for seed in range(10):
        kept = mix(scans, (0, 1), "polar", np.random.default_rng(seed)).parts[0][1]
        inside = np.isin(np.arange(360), kept)
        assert abs(len(kept) - 180) <= 1
        assert (inside != np.roll(inside, 1)).sum() == 2


@pytest.mark.parametrize(
    ("sequences", "crossing"),
    [("abcd", 2), ("aabb", 2), ("aaab", 1), ("aaaa", 0), ("abcde", 2), ("aabbb", 2), ("a", 0)],
)
def test_partners_come_from_different_recordings_as_often_as_possible(sequences, crossing):
    for seed in range(30):
        pairs = partners(list(sequences), np.random.default_rng(seed))
        used = [number for pair in pairs for number in pair]
        assert len(pairs) == len(sequences) // 2
        assert len(set(used)) == len(used)
        assert sum(sequences[a] != sequences[b] for a, b in pairs) == crossing


def test_every_partner_is_possible():
    met = {
        pair for seed in range(100) for pair in partners(list("abcd"), np.random.default_rng(seed))
    }
    assert met == {(a, b) for a in range(4) for b in range(4) if a != b}


def test_one_mixture_for_two_scans_and_none_when_off():
    scans = [_scan(n, name) for n, name in enumerate("abcde")]
    assert len(mixed_views(scans, "frustum", np.random.default_rng(0))) == 2
    assert mixed_views(scans, "none", np.random.default_rng(0)) == []
    assert mixed_views(scans[:1], "frustum", np.random.default_rng(0)) == []
