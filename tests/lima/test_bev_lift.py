"""Images on the ground: where a pixel lands, and what a cell sums up."""

import math
from dataclasses import replace

import pytest
import torch

from lima_bench.lima.batch import Lenses
from lima_bench.lima.bev_lift import BevGrid, frustum_cells, lift

GRID = BevGrid(half_extent_m=51.2, cell_m=0.4, half_height_m=10.0)
AHEAD = torch.tensor(  # camera axes right, down, ahead in the LiDAR frame: -y, -z, x
    [[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1.0]], dtype=torch.float64
)
SIZE = (16, 24)


def _lenses(pose=AHEAD, scan=0):
    intrinsic = torch.tensor([[24.0, 0, 11.5], [0, 24, 7.5], [0, 0, 1]], dtype=torch.float64)
    return Lenses(torch.tensor([scan]), intrinsic[None], pose[None])


def _cells(depths_m, motion=None, shape=(4, 6), **lens):
    motion = torch.eye(4, dtype=torch.float64)[None] if motion is None else motion
    depths = torch.tensor(depths_m)
    return frustum_cells(GRID, _lenses(**lens), motion, shape, SIZE, depths)


def _expected(x, y, view=0):
    return (view * 256 + math.floor((x + 51.2) / 0.4)) * 256 + math.floor((y + 51.2) / 0.4)


def _place(row, col, depth_m):
    """Of cell (row, col) of 4 x 6: x, y, z in the LiDAR frame."""
    u, v = col * 23 / 5, row * 15 / 3
    return depth_m, -(u - 11.5) / 24 * depth_m, -(v - 7.5) / 24 * depth_m


def test_the_grid_is_256_cells_wide():
    assert GRID.side == 256
    corners = torch.tensor([[-51.2, -51.2, 0.0], [51.19, 51.19, 0.0], [51.21, 0, 0], [0, 0, 10.0]])
    assert GRID.cells(1, corners.T).tolist() == [256 * 256, 2 * 256 * 256 - 1, -1, -1]


@pytest.mark.parametrize(("row", "col"), [(0, 0), (1, 2), (3, 5)])
def test_a_pixel_at_a_depth_lands_in_its_cell(row, col):
    found = _cells([10.0, 20.0])
    for number, depth_m in enumerate((10.0, 20.0)):
        x, y, z = _place(row, col, depth_m)
        assert abs(z) < 10
        assert found[0, number, row, col].item() == _expected(x, y)


def test_it_follows_the_motion_of_its_scans_cloud():
    """Turned by 90 degrees, made larger and shifted, as the second of two scans."""
    motion = torch.eye(4, dtype=torch.float64).repeat(2, 1, 1)
    motion[1, :3] = torch.tensor([[0, -1.1, 0, 0.5], [1.1, 0, 0, -2.0], [0, 0, 1.1, 0.0]])
    found = _cells([10.0], motion, scan=1)
    x, y, _ = _place(1, 4, 10.0)
    assert found[0, 0, 1, 4].item() == _expected(-1.1 * y + 0.5, 1.1 * x - 2.0, view=1)


def test_what_leaves_the_grid_has_no_cell():
    found = _cells([10.0, 40.0, 55.0])
    assert (found[0, 2] == -1).all()  # ahead of the grid
    assert found[0, 1, 0, 2].item() == -1  # 12.5 m up
    assert found[0, 1, 1, 2].item() >= 0


def test_a_camera_elsewhere_looks_from_there():
    pose = AHEAD.clone()
    pose[:3, 3] = torch.tensor([1.5, 0.7, 1.0])
    x, y, _ = _place(2, 3, 10.0)
    assert _cells([10.0], pose=pose)[0, 0, 2, 3].item() == _expected(x + 1.5, y + 0.7)


def test_a_mirrored_or_cropped_image_shows_the_same_places():
    """Its lens says so: a mirrored pixel, and the corners of a crop, land where they were."""
    plain, depths = _cells([10.0, 20.0]), torch.tensor([10.0, 20.0])
    still = torch.eye(4, dtype=torch.float64)[None]
    mirror = torch.tensor([[-1.0, 0, 23], [0, 1, 0], [0, 0, 1]], dtype=torch.float64)
    mirrored = replace(_lenses(), intrinsic=mirror @ _lenses().intrinsic)
    found = frustum_cells(GRID, mirrored, still, (4, 6), SIZE, depths)
    assert torch.equal(found, plain.flip(3))
    # Cells 1 to 4 of 6 columns and all of 4 rows, blown up to the whole image.
    crop = torch.tensor([[5 / 3, 0, -23 / 3], [0, 1, 0], [0, 0, 1]], dtype=torch.float64)
    cropped = replace(_lenses(), intrinsic=crop @ _lenses().intrinsic)
    found = frustum_cells(GRID, cropped, still, (4, 4), SIZE, depths)
    assert torch.equal(found, plain[:, :, :, 1:5])


def _operands():
    torch.manual_seed(0)
    depth = torch.rand(2, 4, 3, 5, dtype=torch.float64, requires_grad=True)
    context = torch.randn(2, 6, 3, 5, dtype=torch.float64, requires_grad=True)
    cells = torch.randint(-1, 9, (2, 4, 3, 5))
    return depth, context, cells


def _summed(depth, context, cells, wanted):
    """By the book: the outer product of everything."""
    frustum = depth[:, None] * context[:, :, None]
    return torch.stack([(frustum * (cells == cell)[:, None]).sum((0, 2, 3, 4)) for cell in wanted])


def test_value_and_gradients_equal_the_outer_product():
    depth, context, cells = _operands()
    wanted = torch.tensor([7, 0, 3, 11])  # nothing arrives at the last
    found, book = lift(depth, context, cells, wanted, 12), _summed(depth, context, cells, wanted)
    torch.testing.assert_close(found, book)
    assert not found[3].any()
    share = torch.randn_like(book)
    for ours, theirs in zip(
        torch.autograd.grad(found, (depth, context), share),
        torch.autograd.grad(book, (depth, context), share),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


def test_nobody_asking_and_nothing_arriving_are_survived():
    depth, context, cells = _operands()
    assert lift(depth, context, cells, torch.zeros(0, dtype=int), 12).shape == (0, 6)
    nowhere = lift(depth, context, torch.full_like(cells, -1), torch.tensor([2]), 12)
    assert not nowhere.any()
    nowhere.sum().backward()
    assert not context.grad.any()
