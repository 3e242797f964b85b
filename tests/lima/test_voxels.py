"""The voxeliser against a dictionary, against closed forms, and on real recordings."""

import math

import numpy as np
import pytest
import torch

from lima_bench.common.errors import UserError
from lima_bench.lima.backbones.sparse.maps import Level
from lima_bench.lima.recipes import VoxelSettings
from lima_bench.lima.voxels import voxelise

CARTESIAN = VoxelSettings(kind="cartesian", size=(0.5, 0.5, 0.25))


def voxels_of(xyz, settings, cloud_index=None, n_clouds=1):
    xyz = np.asarray(xyz, dtype=np.float32).reshape(-1, 3)
    index = np.zeros(len(xyz), dtype=np.int64) if cloud_index is None else cloud_index
    return voxelise(xyz, xyz, index, settings, n_clouds=n_clouds)


def some_points(n_points=400, seed=0):
    return np.random.default_rng(seed).normal(0, 2, (n_points, 3)).astype(np.float32)


def voxels_in_numpy(xyz, cloud_index, settings, n_clouds):
    """Rows, first points and inverse by numpy alone, without keys."""
    position = xyz
    if settings.kind == "cylindrical":
        x, y, z = xyz.T
        position = np.column_stack((np.hypot(x, y), np.degrees(np.arctan2(y, x)), z))
    position = position / np.asarray(settings.size, dtype=np.float32)
    whole = np.rint(position) if settings.rounding == "round" else np.floor(position)
    cells = whole.astype(np.int64)
    for cloud in range(n_clouds):
        own = cloud_index == cloud
        if own.any():
            lowest = cells[own].min(axis=0)
            blocks = np.ceil(np.maximum(-lowest, 0) / 16).astype(np.int64)
            if settings.kind == "cylindrical":
                blocks[1] = math.ceil(180 / settings.size[1] / 16)
            cells[own] += -lowest if settings.shift == "minimum" else 16 * blocks
    rows = np.column_stack((cloud_index, cells))
    coords, first, inverse = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    return coords, first, inverse.ravel()


@pytest.mark.parametrize("kind", ["cartesian", "cylindrical"])
@pytest.mark.parametrize("rounding", ["round", "floor"])
@pytest.mark.parametrize("shift", ["minimum", "aligned16"])
@pytest.mark.parametrize("size", [(0.1, 1.0, 0.1), (0.5, 3.0, 0.25), (40.0, 90.0, 40.0)])
def test_every_voxel_is_that_of_numpy(kind, rounding, shift, size):
    settings = VoxelSettings(kind=kind, rounding=rounding, shift=shift, size=size)
    rng = np.random.default_rng(0)
    xyz = (rng.normal(0, 1, (3000, 3)) * rng.uniform(1, 30, (3000, 1))).astype(np.float32)
    xyz[::3] = np.rint(xyz[::3])  # on edges between cells
    index = np.repeat([0, 2, 3], 1000)
    xyz[index == 2] += 100.0
    coords, first, inverse = voxels_in_numpy(xyz, index, settings, n_clouds=5)
    voxels = voxelise(xyz, xyz[:, :2], index, settings, n_clouds=5)
    assert np.array_equal(voxels.coords, coords)
    assert np.array_equal(voxels.first, first)
    assert np.array_equal(voxels.inverse, inverse)
    assert np.array_equal(voxels.features, xyz[first, :2])
    assert {t.dtype for t in (voxels.coords, voxels.first, voxels.inverse)} == {torch.int64}


def test_the_level_is_that_of_the_coordinates():
    xyz = some_points(3000)
    settings = CARTESIAN.model_copy(update={"shift": "aligned16"})
    index = np.repeat([0, 2, 3], 1000)
    voxels = voxelise(xyz, xyz, index, settings, n_clouds=5, n_levels=3)
    level, expected = voxels.level, Level.of(voxels.coords, n_levels=3)
    assert torch.equal(level.coords, voxels.coords)
    for _ in range(2):
        assert level.packing == expected.packing
        assert torch.equal(level.keys, expected.keys)
        assert torch.equal(level_pairs(level), level_pairs(expected))
        level, expected = level.coarser, expected.coarser
    assert voxels_of(xyz, CARTESIAN).level is None


def level_pairs(level):
    maps = (level.neighbours, level.up, level.down)
    pairs = [kernel_map.forward.pairs for kernel_map in maps]
    return torch.cat([torch.cat((one.starts, one.rows_in, one.rows_out)) for one in pairs])


def test_first_point_of_each_cell_stands_for_it():
    xyz = some_points()
    voxels = voxels_of(xyz, CARTESIAN)
    cells = {}
    for point, position in enumerate(xyz):
        cells.setdefault(tuple(np.rint(position / np.float32([0.5, 0.5, 0.25]))), []).append(point)
    assert 100 < len(cells) < len(xyz)
    first = {members[0] for members in cells.values()}
    assert set(voxels.first.tolist()) == first
    for members in cells.values():
        assert len(set(voxels.inverse[members].tolist())) == 1
    assert len(set(voxels.inverse.tolist())) == len(cells)
    assert np.array_equal(voxels.features, xyz[voxels.first])


def test_rows_are_sorted_unique_and_start_at_zero():
    index = np.repeat([0, 1, 3], 100)
    voxels = voxels_of(some_points(300), CARTESIAN, index, n_clouds=4)
    rows = [tuple(row) for row in voxels.coords.tolist()]
    assert rows == sorted(set(rows))
    for cloud in (0, 1, 3):
        own = voxels.coords[voxels.coords[:, 0] == cloud, 1:]
        assert own.min(dim=0).values.tolist() == [0, 0, 0]
    assert not (voxels.coords[:, 0] == 2).any()
    assert (voxels.coords[voxels.inverse, 0].numpy() == index).all()


def test_clouds_do_not_share_cells():
    xyz = some_points(50)
    both = voxels_of(np.tile(xyz, (2, 1)), CARTESIAN, np.repeat([0, 1], 50), n_clouds=2)
    alone = voxels_of(xyz, CARTESIAN)
    n_voxels = len(alone.coords)
    assert len(both.coords) == 2 * n_voxels
    assert torch.equal(both.coords[n_voxels:, 1:], alone.coords[:, 1:])
    assert torch.equal(both.inverse[50:], alone.inverse + n_voxels)


def test_cylindrical_cells_are_metres_degrees_metres():
    settings = VoxelSettings(size=(0.1, 1.0, 0.1), shift="aligned16")
    voxels = voxels_of([[0.0, 3.0, 0.5], [-2.0, 0.0, -1.3], [3.0, -4.0, 0.0]], settings)
    cells = voxels.coords[voxels.inverse, 1:].tolist()
    assert cells == [[30, 192 + 90, 16 + 5], [20, 192 + 180, 16 - 13], [50, 192 - 53, 16]]


@pytest.mark.parametrize(
    ("rounding", "expected"), [("round", [0, 0, 2, 2, 4]), ("floor", [0, 0, 1, 2, 3])]
)
def test_rounding(rounding, expected):
    settings = VoxelSettings(kind="cartesian", size=(1, 1, 1), rounding=rounding, shift="aligned16")
    x = [0.0, 0.5, 1.5, 2.5, 3.5]
    voxels = voxels_of([[value, 0, 0] for value in x], settings)
    assert voxels.coords[voxels.inverse, 1].tolist() == expected


def test_aligned_shift_keeps_the_coarse_grids_in_place():
    xyz = some_points()
    minimum = voxels_of(xyz, CARTESIAN)
    aligned = voxels_of(xyz, CARTESIAN.model_copy(update={"shift": "aligned16"}))
    raw = np.rint(xyz / np.float32([0.5, 0.5, 0.25])).astype(int)
    shift = aligned.coords[aligned.inverse, 1:].numpy() - raw
    assert (shift == shift[0]).all()
    assert (shift % 16 == 0).all()
    assert 0 <= aligned.coords.min() < 16
    assert len(minimum.coords) == len(aligned.coords)


def test_aligned_shift_of_the_angle_is_192_whatever_the_cloud_sees():
    settings = VoxelSettings(shift="aligned16")
    ahead = voxels_of([[5.0, 0.0, 0.0]], settings)
    behind = voxels_of([[-5.0, -0.001, 0.0]], settings)
    assert ahead.coords[0, 2] == 192
    assert behind.coords[0, 2] == 192 - 180


@pytest.mark.parametrize(("rounding", "behind"), [("round", (180, -180)), ("floor", (179, -180))])
def test_the_seam_behind_the_sensor_is_not_closed(rounding, behind):
    """Both sides of 180 degrees lie at the two ends of the grid: no cell has neighbours across."""
    settings = VoxelSettings(rounding=rounding, shift="aligned16")
    voxels = voxels_of([[-9.0, 0.01, 0.0], [-9.0, -0.01, 0.0]], settings)
    assert (voxels.coords[voxels.inverse, 2] - 192).tolist() == list(behind)
    assert (Level.of(voxels.coords, 1).neighbours.table >= 0).sum() == 2


def test_an_angle_of_180_degrees_is_a_cell_of_its_own():
    settings = VoxelSettings(rounding="floor", shift="aligned16")
    voxels = voxels_of([[-9.0, 0.0, 0.0]], settings)
    assert voxels.coords[0, 2] == 192 + 180


@pytest.mark.parametrize(("shift", "stays"), [("aligned16", True), ("minimum", False)])
def test_an_aligned_shift_halves_as_unshifted_cells_do(shift, stays):
    """MinkowskiEngine rounds negative cells down at every level; 192 keeps that grid, 180 not."""
    settings = VoxelSettings(rounding="floor", shift=shift)
    angles = np.radians(np.arange(-179.5, 180, 1.0))
    xyz = np.column_stack((9 * np.cos(angles), 9 * np.sin(angles), 0 * angles))
    voxels = voxels_of(xyz, settings)
    cell = np.floor(np.degrees(np.arctan2(xyz[:, 1], xyz[:, 0]))).astype(int)
    same = []
    for level in (2, 4, 8, 16):
        ours = voxels.coords[voxels.inverse, 2].numpy() // level
        theirs = cell // level
        same.append(np.array_equal(ours - ours[0], theirs - theirs[0]))
    assert same == ([True] * 4 if stays else [True, True, False, False])


def test_empty_batch():
    voxels = voxels_of(np.zeros((0, 3)), CARTESIAN, n_clouds=2)
    assert voxels.coords.shape == (0, 4)
    assert voxels.features.shape == (0, 3)
    assert voxels.n_clouds == 2
    nothing = np.zeros((0, 3), dtype=np.float32)
    index = np.zeros(0, dtype=np.int64)
    voxels = voxelise(nothing, nothing, index, CARTESIAN, n_clouds=2, n_levels=3)
    assert voxels.level.coarser.n_voxels == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e30, 1e9])
def test_coordinates_that_fit_no_grid_are_told(bad):
    with pytest.raises(UserError, match=r"finite|span"):
        voxels_of([[0, 0, 0], [bad, 1, 1], [-bad, -bad, 1]], CARTESIAN)


def test_moving_to_a_device_moves_every_tensor():
    moved = voxels_of(some_points(20), CARTESIAN).to("meta")
    tensors = (moved.coords, moved.features, moved.inverse, moved.first)
    assert {tensor.device.type for tensor in tensors} == {"meta"}


def test_voxel_count_of_the_real_kitti_scan(samples):
    path = samples / "semantickitti/spvnas_scan/velodyne/000000.bin"
    points = np.fromfile(path, "<f4").reshape(-1, 4)
    assert len(voxels_of(points[:, :3], VoxelSettings()).coords) == 53_605


def test_voxel_count_of_the_real_nuscenes_scan(samples):
    (path,) = (samples / "nuscenes/frame_ca9a282c/samples/LIDAR_TOP").glob("*.bin")
    points = np.fromfile(path, "<f4").reshape(-1, 5)
    assert len(voxels_of(points[:, :3], VoxelSettings()).coords) == 16_230
