"""Levels and kernel maps against dictionaries of cells."""

import itertools

import numpy as np
import pytest
import torch

from lima_bench.lima.backbones.sparse import kernel_map as kernel_map_module
from lima_bench.lima.backbones.sparse.kernel_map import PairList
from lima_bench.lima.backbones.sparse.maps import Level

CUBE = [(k % 3 - 1, k // 3 % 3 - 1, k // 9 - 1) for k in range(27)]
CORNERS = [(k % 2, k // 2 % 2, k // 4) for k in range(8)]


def random_coords(seed=0, n_voxels=120, n_clouds=3, extent=(6, 9, 4)):
    rng = np.random.default_rng(seed)
    cells = np.column_stack([rng.integers(0, top, n_voxels) for top in (n_clouds, *extent)])
    return torch.from_numpy(np.unique(cells, axis=0))


def rows_of(level):
    return {tuple(cell): row for row, cell in enumerate(level.coords.tolist())}


def test_a_level_gives_back_its_coordinates():
    coords = random_coords()
    assert torch.equal(Level.of(coords, n_levels=1).coords, coords)


@pytest.mark.parametrize("rows", [[[0, 1, 0, 0], [0, 0, 0, 0]], [[0, 1, 2, 3], [0, 1, 2, 3]]])
def test_unsorted_or_repeated_rows_are_refused(rows):
    with pytest.raises(ValueError, match="sorted and unique"):
        Level.of(torch.tensor(rows), n_levels=1)


@pytest.mark.parametrize("row", [[0, -1, 0, 0], [1, 1 << 30, 1 << 30, 1 << 30]])
def test_cells_that_do_not_fit_a_key_are_refused(row):
    with pytest.raises(ValueError, match="cell indices"):
        Level.of(torch.tensor([row]), n_levels=1)


@pytest.mark.parametrize("seed", range(4))
def test_neighbour_table_is_the_definition(seed):
    level = Level.of(random_coords(seed), n_levels=3)
    rows = rows_of(level)
    expected = [[rows.get((b, x + i, y + j, z + k), -1) for i, j, k in CUBE] for b, x, y, z in rows]
    assert level.neighbours.table.tolist() == expected
    assert level.neighbours.table.dtype == torch.int32


def test_a_full_box_has_every_neighbour_and_clouds_stay_apart():
    cells = list(itertools.product(range(2), range(4), range(4), range(4)))
    level = Level.of(torch.tensor(cells), n_levels=1)
    table = level.neighbours.table
    inside = [all(0 < index < 3 for index in cell[1:]) for cell in cells]
    assert ((table >= 0).all(dim=1) == torch.tensor(inside)).all()
    clouds = level.coords[:, 0]
    assert (clouds[table.clamp(min=0).long()] == clouds[:, None])[table >= 0].all()


@pytest.mark.parametrize("top", [1, 2, 3, 4, 7, 8])
def test_opposite_corners_of_successive_clouds_are_no_neighbours(top):
    level = Level.of(torch.tensor([[0, top, top, top], [1, 0, 0, 0], [1, top, 0, 0]]), n_levels=5)
    while level.stride < 16:
        neighbours = level.neighbours.table.clone()
        neighbours[:, 13] = -1
        near = level.coords[:, None, 1:] - level.coords[None, :, 1:]
        same = level.coords[:, None, 0] == level.coords[None, :, 0]
        pairs = (near.abs().amax(dim=2) <= 1) & same & ~torch.eye(level.n_voxels, dtype=torch.bool)
        assert (neighbours >= 0).sum() == pairs.sum()
        level = level.coarser


def test_coarser_cells_are_halved_rounded_down_and_keep_their_cloud():
    level = Level.of(random_coords(n_clouds=5), n_levels=3)
    halved = level.coords.clone()
    halved[:, 1:] //= 2
    assert torch.equal(level.coarser.coords, halved.unique(dim=0))
    assert torch.equal(level.coarser.coords[level.parent], halved)
    assert level.coarser.coarser.stride == 4


@pytest.mark.parametrize("seed", range(3))
def test_down_table_is_the_definition(seed):
    level = Level.of(random_coords(seed), n_levels=3)
    rows = rows_of(level)
    expected = [
        [rows.get((b, 2 * x + i, 2 * y + j, 2 * z + k), -1) for i, j, k in CORNERS]
        for b, x, y, z in level.coarser.coords.tolist()
    ]
    assert level.down.table.tolist() == expected


def test_up_is_the_transpose_of_down():
    level = Level.of(random_coords(), n_levels=3)
    up, down = level.up, level.down
    assert (
        (up.n_in, up.n_out) == (down.n_out, down.n_in) == (level.coarser.n_voxels, level.n_voxels)
    )
    assert ((up.table >= 0).sum(dim=1) == 1).all()
    for row, corner in (down.table >= 0).nonzero().tolist():
        assert up.table[down.table[row, corner], corner] == row


def test_transposed_neighbours_are_the_neighbours_under_reversed_weights():
    neighbours = Level.of(random_coords(), n_levels=3).neighbours
    assert neighbours.symmetric
    assert torch.equal(neighbours.transposed.table, neighbours.table.flip(1))


def test_views_are_made_once():
    level = Level.of(random_coords(), n_levels=2)
    assert level.down is level.down
    assert level.up.transposed.backward is level.up.forward
    assert level.up.forward.pairs is level.up.forward.pairs


def test_the_coarsest_level_has_no_way_down():
    level = Level.of(random_coords(), n_levels=2).coarser
    with pytest.raises(ValueError, match="built as the coarsest"):
        _ = level.coarser


@pytest.mark.parametrize("block_rows", [7, 64, 512])
@pytest.mark.parametrize("kind", ["neighbours", "down", "up"])
def test_pairs_list_the_table_by_block_then_weight_then_row(monkeypatch, block_rows, kind):
    monkeypatch.setattr(kernel_map_module, "BLOCK_ROWS", block_rows)
    table = getattr(Level.of(random_coords(), n_levels=2), kind).table
    pairs, n_weights = PairList.of(table), table.shape[1]
    lengths = pairs.starts.diff()
    run = torch.arange(len(lengths)).repeat_interleave(lengths)
    listed = list(zip((run % n_weights).tolist(), pairs.rows_out.tolist(), strict=True))
    blocks = (run // n_weights).tolist()
    keyed = [(block, *pair) for block, pair in zip(blocks, listed, strict=True)]
    assert keyed == sorted(keyed)
    assert blocks == (pairs.rows_out // block_rows).tolist()
    assert (table[pairs.rows_out.long(), run % n_weights] == pairs.rows_in).all()
    assert len(listed) == (table >= 0).sum()
    assert {pairs.starts.dtype, pairs.rows_in.dtype, pairs.rows_out.dtype} == {torch.int32}


def test_no_cells_at_all():
    level = Level.of(torch.zeros(0, 4, dtype=torch.int64), n_levels=3)
    assert level.n_voxels == level.coarser.coarser.n_voxels == 0
    assert level.neighbours.table.shape == (0, 27)
    assert all(
        len(kernel_map.forward.pairs.rows_in) == 0
        for kernel_map in (level.neighbours, level.down, level.up)
    )
