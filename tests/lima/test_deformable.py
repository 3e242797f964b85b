"""Convolution with taps that move, against plain convolution and against bilinear reading."""

import math

import pytest
import torch
import torch.nn.functional as F

from lima_bench.lima.deformable import DeformableConv


def _layer(groups=2, width=4):
    torch.manual_seed(0)
    layer = DeformableConv(width, groups).double()
    return layer, torch.randn(2, width, 5, 7, dtype=torch.float64, requires_grad=True)


def _set_moves(layer, moves):
    """The same for every pixel: 9 times (down, right)."""
    with torch.no_grad():
        layer.moves.bias.copy_(torch.tensor(moves, dtype=torch.float64).flatten())


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_it_starts_as_a_plain_grouped_convolution(groups):
    layer, x = _layer(groups)
    found, wanted = layer(x), F.conv2d(x, layer.weight, padding=1, groups=groups)
    torch.testing.assert_close(found, wanted)
    ours, theirs = (torch.autograd.grad(y.square().sum(), x)[0] for y in (found, wanted))
    torch.testing.assert_close(ours, theirs)


def test_whole_moves_shift_the_image():
    layer, x = _layer()
    _set_moves(layer, [(1, -2)] * 9)
    shifted = F.pad(x, (2, 0, 0, 1))[:, :, 1:, :-2]  # what lies one down and two to the left
    wanted = F.conv2d(F.pad(shifted, (0,) * 4), layer.weight, padding=1, groups=2)
    inside = (slice(None), slice(None), slice(1, 3), slice(3, 6))
    torch.testing.assert_close(layer(x)[inside], wanted[inside])


def test_every_tap_reads_its_own_place_between_pixels_and_zero_outside():
    layer, x = _layer(groups=1, width=2)
    torch.manual_seed(1)
    moves = (4 * torch.rand(9, 2, dtype=torch.float64) - 2).tolist()
    _set_moves(layer, moves)
    found = layer(x)
    for row, col in ((0, 0), (2, 3), (4, 6)):
        total = torch.zeros(2, dtype=torch.float64)
        for tap in range(9):
            down, right = moves[tap]
            seen = _bilinear(x[0], row + tap // 3 - 1 + down, col + tap % 3 - 1 + right)
            total = total + layer.weight[:, :, tap // 3, tap % 3] @ seen
        torch.testing.assert_close(found[0, :, row, col], total)


def _bilinear(image, row, col):
    total = torch.zeros(len(image), dtype=image.dtype)
    for r in (math.floor(row), math.floor(row) + 1):
        for c in (math.floor(col), math.floor(col) + 1):
            if 0 <= r < image.shape[1] and 0 <= c < image.shape[2]:
                total = total + (1 - abs(row - r)) * (1 - abs(col - c)) * image[:, r, c]
    return total


def test_moves_learn():
    layer, x = _layer()
    layer(x).square().sum().backward()
    assert layer.moves.weight.grad.any()
