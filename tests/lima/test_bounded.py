"""Voxels of a grid that begins and ends somewhere: which points, which cells, which means."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from lima_bench.common.errors import UserError
from lima_bench.lima.backbones.sparse.maps import Level
from lima_bench.lima.backbones.sparse.window import Window
from lima_bench.lima.bounded import voxelise_bounded
from lima_bench.lima.clouds import cloud_of_points, collate_clouds
from lima_bench.lima.recipes import Augmentation, GridBounds, StudentSettings, VoxelSettings

BOUNDS = GridBounds(lower=(-4.0, -2.0, -1.0), upper=(4.0, 2.0, 1.0), max_points=3, max_cells=40)
GRID = VoxelSettings(kind="cartesian", size=(0.5, 0.5, 0.25), rounding="floor", bounds=BOUNDS)
PAPER = VoxelSettings(kind="cartesian", size=(0.1, 0.1, 0.2), rounding="floor", bounds=GridBounds())


def with_bounds(**changes):
    return GRID.model_copy(update={"bounds": BOUNDS.model_copy(update=changes)})


def some_points(n_points=400, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform((-5, -3, -1.5), (5, 3, 1.5), (n_points, 3)).astype(np.float32)


def voxels_of(xyz, settings=GRID, index=None, n_clouds=1, **options):
    xyz = np.asarray(xyz, dtype=np.float32).reshape(-1, 3)
    index = np.zeros(len(xyz), dtype=np.int64) if index is None else index
    features = np.column_stack((xyz, np.arange(len(xyz)))).astype(np.float32)
    return voxelise_bounded(xyz, features, index, settings, n_clouds=n_clouds, **options)


def one_by_one(xyz, index, settings):
    """The published rule, point by point: cells in the order of their first points."""
    bounds, cells, of_point = settings.bounds, {}, []
    for point, (place, cloud) in enumerate(zip(xyz, index, strict=True)):
        lower, size = np.float32(bounds.lower), np.float32(settings.size)
        cell = np.floor((place - lower) / size).astype(int)
        key = (int(cloud), *cell.tolist())
        inside = (cell >= 0).all() and (cell < settings.extent).all()
        full = sum(other[0] == cloud for other in cells) >= bounds.max_cells
        if not inside or (key not in cells and full):
            of_point.append(None)
            continue
        cells.setdefault(key, []).append(point)
        of_point.append(key)
    return cells, of_point


@pytest.mark.parametrize("max_cells", [7, 40, 10_000])
@pytest.mark.parametrize("max_points", [1, 3, 100])
def test_cells_and_means_are_those_of_the_rule(max_cells, max_points):
    settings = with_bounds(max_cells=max_cells, max_points=max_points)
    xyz = some_points(1500)
    index = np.repeat([0, 2], 750)
    cells, of_point = one_by_one(xyz, index, settings)
    voxels = voxels_of(xyz, settings, index, n_clouds=4)
    order = sorted(cells)
    assert voxels.coords.tolist() == [list(key) for key in order]
    numbers = {key: number for number, key in enumerate(order)} | {None: -1}
    assert voxels.inverse.tolist() == [numbers[key] for key in of_point]
    assert voxels.first.tolist() == [cells[key][0] for key in order]
    fed = np.column_stack((xyz, np.arange(len(xyz))))
    means = [fed[cells[key][:max_points]].mean(axis=0) for key in order]
    np.testing.assert_allclose(voxels.features, means, rtol=1e-6, atol=1e-6)


def test_the_published_grid_has_1024_x_1024_x_40_cells():
    assert PAPER.extent == (1024, 1024, 40)
    voxels = voxels_of([[-51.2, -51.2, -5.0], [51.19, 51.19, 2.99], [0, 0, 0]], PAPER)
    assert voxels.coords.tolist() == [[0, 0, 0, 0], [0, 512, 512, 25], [0, 1023, 1023, 39]]
    assert voxels.grid.extent == (1024, 1024, 40)


def test_spare_layers_stay_empty():
    settings = with_bounds(spare_layers=1)
    assert settings.extent == (16, 8, 9)
    voxels = voxels_of([[0, 0, 0.99], [0, 0, 1.01]], settings)
    assert voxels.inverse.tolist() == [0, -1]
    assert voxels.coords[0, 3] == 7


def test_points_outside_stay_rows():
    voxels = voxels_of([[0, 0, 0], [9, 0, 0], [0, 0, -2], [0.1, 0.1, 0.1], [4.0, 0, 0]])
    assert voxels.inverse.tolist() == [0, -1, -1, 0, -1]
    assert len(voxels.xyz) == len(voxels.grid.cloud) == 5


def test_an_empty_batch_and_clouds_that_lie_outside():
    for xyz in (np.zeros((0, 3)), np.full((4, 3), 90.0)):
        voxels = voxels_of(xyz, n_clouds=2, windows=(Window(),))
        assert voxels.coords.shape == (0, 4)
        assert voxels.features.shape == (0, 4)
        assert voxels.level.coarser.n_voxels == 0
        assert (voxels.inverse == -1).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_coordinates_that_are_not_finite_are_told(bad):
    with pytest.raises(UserError, match="finite"):
        voxels_of([[0, 0, bad]])


def test_the_level_is_that_of_the_coordinates():
    voxels = voxels_of(some_points(), windows=(Window(), Window()))
    expected = Level.strided(voxels.coords, GRID.extent, [Window(), Window()])
    assert torch.equal(voxels.level.keys, expected.keys)
    assert torch.equal(voxels.level.coarser.coarser.coords, expected.coarser.coarser.coords)
    assert torch.equal(voxels.level.down.table, expected.down.table)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"kind": "cylindrical"}, "cartesian"),
        ({"rounding": "round"}, "floor"),
        ({"size": (0.3, 0.5, 0.25)}, "26.6667 cells of 0.3 m"),
    ],
)
def test_settings_that_make_no_grid_are_told(wrong, told):
    with pytest.raises(ValidationError, match=told):
        VoxelSettings.model_validate(GRID.model_dump() | wrong)


def test_students_are_fed_such_grids():
    student = StudentSettings(backbone="voxelnet", voxels=PAPER)
    points = some_points()
    made = cloud_of_points(points, points[:, 0], student, None, np.random.default_rng(0))
    voxels = collate_clouds([made, made], student, with_maps=True)
    depth, level = 0, voxels.level
    while level.below is not None:
        depth, level = depth + 1, level.coarser
    assert depth == 4
    assert voxels.grid.cloud.tolist() == [0] * 400 + [1] * 400
    moved = cloud_of_points(points, points[:, 0], student, Augmentation(), np.random.default_rng(0))
    assert torch.equal(collate_clouds([moved], student).xyz, torch.from_numpy(moved.xyz))
