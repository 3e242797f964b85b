"""The squeeze is torch's plain bilinear one, without antialiasing unless asked for."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lima_bench.lima.resize import squeeze, squeeze_ids


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (90, 160, 3), dtype=np.uint8)


@pytest.mark.parametrize("antialias", [False, True])
def test_equals_torch(pixels, antialias):
    planes = torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None].float() / 255
    expected = F.interpolate(planes, (28, 56), mode="bilinear", antialias=antialias)[0]
    assert torch.equal(squeeze(pixels, (28, 56), antialias=antialias), expected)


def test_without_antialiasing_a_reduction_reads_four_pixels(pixels):
    """A quarter of the size: the middle of each 4 x 4 block, whatever its border holds."""
    small = squeeze(pixels[:88, :160], (22, 40))
    block = pixels[:88, :160].reshape(22, 4, 40, 4, 3)[:, 1:3, :, 1:3].mean((1, 3)) / 255
    torch.testing.assert_close(small.permute(1, 2, 0), torch.from_numpy(block).float())


def test_the_switch_changes_a_reduction(pixels):
    plain, smooth = (squeeze(pixels, (28, 56), antialias=switch) for switch in (False, True))
    assert (plain - smooth).abs().max() > 0.1


def test_own_size_is_untouched(pixels):
    same = squeeze(pixels, (90, 160))
    assert np.array_equal((same * 255).round().byte().permute(1, 2, 0).numpy(), pixels)


@pytest.mark.parametrize("size", [(7, 5), (31, 64), (90, 160), (120, 200)])
def test_ids_equal_torchs_nearest(size):
    ids = np.random.default_rng(1).integers(0, 200, (90, 160))
    expected = F.interpolate(torch.from_numpy(ids)[None, None].double(), size, mode="nearest")
    assert np.array_equal(squeeze_ids(ids, size), expected[0, 0].long().numpy())
