"""The voxeliser against a dictionary, against closed forms, and on real recordings."""

import numpy as np
import pytest
import torch

from lima_bench.common.errors import UserError
from lima_bench.lima.recipes import VoxelSettings
from lima_bench.lima.voxels import voxelise

CARTESIAN = VoxelSettings(kind="cartesian", size=(0.5, 0.5, 0.25))


def voxels_of(xyz, settings, cloud_index=None, n_clouds=1):
    xyz = np.asarray(xyz, dtype=np.float32).reshape(-1, 3)
    index = np.zeros(len(xyz), dtype=np.int64) if cloud_index is None else cloud_index
    return voxelise(xyz, xyz, index, settings, n_clouds=n_clouds)


def some_points(n_points=400, seed=0):
    return np.random.default_rng(seed).normal(0, 2, (n_points, 3)).astype(np.float32)


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


def test_empty_batch():
    voxels = voxels_of(np.zeros((0, 3)), CARTESIAN, n_clouds=2)
    assert voxels.coords.shape == (0, 4)
    assert voxels.features.shape == (0, 3)
    assert voxels.n_clouds == 2


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
