"""Columns against dense three-dimensional convolution."""

import pytest
import torch
import torch.nn.functional as F

from lima_bench.lima.columns import KERNELS, Columns


def _columns(width=3):
    torch.manual_seed(0)
    return Columns(width, lattice_m=0.1, bn_momentum=0.05).double()


def _cloud(n=60, width=3):
    """Different cells of the lattice on both sides of the origin; a point in each."""
    torch.manual_seed(1)
    cells = torch.unique(torch.randint(0, 8 * 8 * 160, (n,)))
    cells = torch.stack([cells // 1280 - 4, cells // 160 % 8 - 4, cells % 160 - 80], dim=1)
    xyz = (cells + 0.1 + 0.8 * torch.rand(len(cells), 3)) * 0.1
    features = torch.randn(len(cells), width, dtype=torch.float64, requires_grad=True)
    return features, xyz, cells


def _dense(convolution, volume):
    kernel = convolution.kernel
    weight = convolution.weight.view(*kernel[::-1], *convolution.weight.shape[1:])
    weight = weight.permute(4, 3, 2, 1, 0)  # out, in, x, y, z
    return F.conv3d(volume, weight, convolution.bias, stride=kernel)


def test_one_convolution_equals_the_dense_one_where_there_is_something():
    convolution = _columns().convolutions[0]
    features, _, cells = _cloud()
    x, y, z = (cells + torch.tensor([4, 4, 80])).T
    volume = torch.zeros(8 * 8 * 160, 3, dtype=torch.float64)
    volume = volume.index_put(((x * 8 + y) * 160 + z,), features).T.reshape(1, 3, 8, 8, 160)
    places = torch.cat([torch.zeros(len(cells), 1, dtype=int), cells], dim=1)
    found, blocks = convolution(features, places)
    at = blocks[:, 1:] + torch.tensor([2, 2, 10])
    wanted = _dense(convolution, volume)[0, :, at[:, 0], at[:, 1], at[:, 2]].T
    torch.testing.assert_close(found, wanted)
    given = features, convolution.weight, convolution.bias
    share = torch.randn_like(found)
    for ours, theirs in zip(
        torch.autograd.grad(found, given, share),
        torch.autograd.grad(wanted, given, share),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)
    assert len(blocks) == len({(a // 2, b // 2, c // 8) for a, b, c in cells.tolist()})


def test_all_three_make_cells_of_4_by_4_by_80():
    columns = _columns()
    features, xyz, cells = _cloud()
    _, places = columns(features, xyz, torch.zeros(len(cells), dtype=int))
    wanted = {(0, a // 4, b // 4, c // 80) for a, b, c in cells.tolist()}
    assert {tuple(place) for place in places.tolist()} == wanted
    assert len(places) == len(wanted)
    # A grid of z from -5 to 3 m has two slabs.
    assert {place[3] for place in wanted} == {-1, 0}


def test_in_a_row_they_equal_dense_convolutions_with_batch_statistics():
    columns = _columns()
    features, xyz, cells = _cloud()
    found, places = columns(features, xyz, torch.zeros(len(cells), dtype=int))
    value, at = features, torch.cat([torch.zeros(len(cells), 1, dtype=int), cells], dim=1)
    for number, (kernel, convolution) in enumerate(zip(KERNELS, columns.convolutions, strict=True)):
        if number:
            value = F.batch_norm(value, None, None, training=True)
        value, at = _by_hand(value, at, kernel, convolution)
    assert at.tolist() == places.tolist()
    torch.testing.assert_close(found, value)


def _by_hand(features, places, kernel, convolution):
    blocks = {}
    for feature, place in zip(features, places.tolist(), strict=True):
        base = tuple(n // k for n, k in zip(place[1:], kernel, strict=True))
        i, j, k = (n % s for n, s in zip(place[1:], kernel, strict=True))
        weight = convolution.weight[i + kernel[0] * (j + kernel[1] * k)]
        key = (place[0], *base)
        blocks[key] = blocks.get(key, convolution.bias) + feature @ weight
    keys = sorted(blocks)
    return torch.stack([blocks[key] for key in keys]), torch.tensor(keys)


def test_clouds_never_mix():
    columns = _columns()
    features, xyz, cells = _cloud()
    view = torch.arange(len(cells)) % 2
    _, places = columns(features, xyz, view)
    assert set(places[:, 0].tolist()) == {0, 1}
    one, _ = columns.convolutions[0](features[view == 0], _places(cells)[view == 0])
    both, where = columns.convolutions[0](
        features, torch.cat([view[:, None], _places(cells)[:, 1:]], dim=1)
    )
    torch.testing.assert_close(both[where[:, 0] == 0], one)


def _places(cells):
    return torch.cat([torch.zeros(len(cells), 1, dtype=int), cells], dim=1)


def test_voxels_in_one_cell_of_the_lattice_add_up():
    columns = _columns()
    features = torch.randn(2, 3, dtype=torch.float64)
    place = torch.zeros(2, 4, dtype=int)
    both, _ = columns.convolutions[0](features, place)
    total, _ = columns.convolutions[0](features.sum(0, keepdim=True), place[:1])
    torch.testing.assert_close(both, total)


@pytest.mark.parametrize("value", [-131072, 131071])
def test_far_places_survive_being_packed(value):
    convolution = _columns().convolutions[2]
    _, blocks = convolution(
        torch.randn(1, 3, dtype=torch.float64), torch.tensor([[5, value, -value - 1, -8192]])
    )
    assert blocks.tolist() == [[5, value, -value - 1, -4096]]


def test_no_voxels_make_no_columns():
    found, places = _columns()(
        torch.zeros(0, 3, dtype=torch.float64), torch.zeros(0, 3), torch.zeros(0, dtype=int)
    )
    assert (len(found), len(places)) == (0, 0)
