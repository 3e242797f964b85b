"""Compiled kernel maps against those by bisection, table for table and pair for pair."""

import itertools

import numpy as np
import pytest
import torch

from lima_bench.lima.backbones.sparse import bisection, merge, packing
from lima_bench.lima.backbones.sparse.kernel_map import BLOCK_ROWS, Links, PairList
from lima_bench.lima.backbones.sparse.maps import Level
from lima_bench.lima.backbones.sparse.packing import Packing

WIDEST = (15, 17, 16, 14)
"""Bits of batch index and axes that add up to `MAX_BITS`."""


def drawn(seed, n_cells, extent, corner=(0, 0, 0, 0)):
    rng = np.random.default_rng(seed)
    cells = np.column_stack([rng.integers(0, side, n_cells) for side in extent])
    return torch.from_numpy(np.unique(cells + np.array(corner), axis=0))


def box(*extent):
    return torch.tensor(list(itertools.product(*map(range, extent))))


def widest():
    """Cells at the low and the high end of all fields of the widest packing."""
    corner = [(1 << bits) - 5 for bits in WIDEST]  # a field holds one value more than it needs
    both = (drawn(0, 80, (4, 4, 4, 4)), drawn(1, 80, (4, 4, 4, 4), corner))
    return torch.cat(both)


CELLS = {
    "random": drawn(0, 3000, (3, 40, 30, 12)),
    "thin": drawn(1, 2000, (2, 300, 300, 40)),
    "flat": drawn(2, 1500, (1, 60, 60, 1)),
    "a pole": drawn(3, 700, (2, 1, 1, 900)),
    "dense": box(2, 11, 9, 13),
    "many clouds": drawn(4, 4000, (300, 5, 4, 6)),
    "one per cloud": box(40, 1, 1, 1),
    "whole blocks": box(1, 4, 4, 64)[: 2 * BLOCK_ROWS],
    "empty clouds": drawn(5, 500, (2, 9, 9, 9)) * torch.tensor([7, 1, 1, 1]),
    "one": torch.tensor([[0, 0, 0, 0]]),
    "one far": torch.tensor([[3, 900, 5, 17]]),
    "none": torch.zeros(0, 4, dtype=torch.int64),
    "widest": widest(),
}


@pytest.fixture(params=CELLS)
def coords(request):
    return CELLS[request.param]


def assert_same(one: Links, other: Links):
    assert (one.n_out, one.n_weights) == (other.n_out, other.n_weights)
    assert torch.equal(one.table, other.table)
    for name in ("starts", "rows_in", "rows_out"):
        ours, theirs = getattr(one.pairs, name), getattr(other.pairs, name)
        assert ours.dtype == theirs.dtype == torch.int32
        assert torch.equal(ours, theirs)


def test_keys(coords):
    ours, theirs = merge.pack(coords), packing.pack(coords)
    assert torch.equal(ours[0], theirs[0])
    assert ours[1] == theirs[1]
    assert torch.equal(theirs[1].unpack(theirs[0]), coords)


def test_neighbours_of_all_levels(coords):
    keys, fields = packing.pack(coords)
    for _ in range(5):
        assert_same(merge.neighbour_links(keys, fields), bisection.neighbour_links(keys, fields))
        keys = bisection.halving_links(keys, fields)[0]


def test_halving_of_all_levels(coords):
    keys, fields = packing.pack(coords)
    for _ in range(4):
        ours, theirs = merge.halving_links(keys, fields), bisection.halving_links(keys, fields)
        assert torch.equal(ours[0], theirs[0])
        assert_same(ours[1], theirs[1])
        assert_same(ours[2], theirs[2])
        keys = ours[0]


def test_the_widest_cells_fill_the_key():
    fields = packing.pack(CELLS["widest"])[1]
    top = CELLS["widest"][:, 0].max().item()
    assert (top + 1).bit_length() + sum(fields.bits) == packing.MAX_BITS
    with pytest.raises(ValueError, match="fit 62 bits"):
        Packing.holding([(1 << WIDEST[0]) - 1, *((1 << bits) - 2 for bits in WIDEST[1:])])


@pytest.mark.parametrize("way", [packing.pack, merge.pack])
@pytest.mark.parametrize(
    ("rows", "what"),
    [
        ([[0, 0, 0, 1], [0, 0, 0, 0]], "sorted"),
        ([[0, 0, 0, 1], [0, 0, 0, 1]], "sorted"),
        ([[0, 0, -1, 1], [0, 0, 0, 1]], "negative"),
        ([[-1, 0, 0, 1]], "negative"),
        ([[0, 1 << 30, 1 << 30, 1 << 30]], "fit"),
    ],
)
def test_cells_that_make_no_keys_are_refused(way, rows, what):
    with pytest.raises(ValueError, match=what):
        way(torch.tensor(rows))


def test_the_kind_of_integers_and_their_layout_do_not_matter():
    coords = drawn(6, 400, (2, 2000, 2000, 2000))
    expected = Level.of(coords, n_levels=2)
    narrow = Level.of(coords.int(), n_levels=2)
    across = Level.of(coords.T.contiguous().T, n_levels=2)
    for level in (narrow, across):
        assert torch.equal(level.keys, expected.keys)
        assert_same(level.neighbours.forward, expected.neighbours.forward)
        assert_same(level.down.forward, expected.down.forward)
    assert torch.equal(packing.pack(coords.int())[0], expected.keys)


def test_the_cpu_gets_lists_and_other_devices_get_tables():
    level = Level.of(CELLS["random"], n_levels=2)
    links = [level.neighbours.forward, level.up.forward, level.down.forward]
    assert all(isinstance(one.given, PairList) for one in links)
    keys, fields = packing.pack(CELLS["random"])
    assert not isinstance(bisection.neighbour_links(keys, fields).given, PairList)


def test_keys_stand_for_their_cells():
    coords = CELLS["random"]
    level = Level.of_keys(*packing.pack(coords), n_levels=3)
    assert torch.equal(level.coords, coords)
    assert torch.equal(level.coarser.keys, Level.of(coords, n_levels=3).coarser.keys)
