"""Upsampling by matrices against torch's own, in float64."""

import pytest
import torch
import torch.nn.functional as F

from lima_bench.lima.upsampling import Axis, upsampled


@pytest.mark.parametrize("size", [(12, 20), (5, 7), (3, 5), (1, 9)])
@pytest.mark.parametrize("shape", [(3, 5), (1, 4), (3, 1)])
def test_it_is_bilinear_interpolation_with_corners_on_corners(size, shape):
    torch.manual_seed(0)
    grids = torch.randn(2, *shape, 3, dtype=torch.float64, requires_grad=True)
    dense = F.interpolate(grids.permute(0, 3, 1, 2), size, mode="bilinear", align_corners=True)
    found, wanted = upsampled(grids, size), dense.permute(0, 2, 3, 1)
    torch.testing.assert_close(found, wanted)
    share = torch.randn_like(wanted)
    ours, theirs = (torch.autograd.grad(y, grids, share)[0] for y in (found, wanted))
    torch.testing.assert_close(ours, theirs)


def test_the_shares_of_a_pixel_sum_to_1():
    shares = Axis.upsampling(4, 11, torch.zeros(0)).matrix()
    torch.testing.assert_close(shares.sum(1), torch.ones(11))
    assert (shares >= 0).all()
    assert ((shares > 0).sum(1) <= 2).all()


def test_half_precision_is_widened():
    assert upsampled(torch.zeros(1, 2, 3, 4, dtype=torch.float16), (4, 6)).dtype == torch.float32
