"""Group means and superpixel means against their plain, dense definitions."""

import pytest
import torch
import torch.nn.functional as F

from lima_bench.lima.pooling import group_mean, superpixel_means


def _dense(grids, superpixels, n_ids):
    """Upsample everything, normalise every pixel, average per superpixel."""
    pixels = F.interpolate(
        grids.permute(0, 3, 1, 2), superpixels.shape[1:], mode="bilinear", align_corners=True
    )
    pixels = F.normalize(pixels, dim=1).permute(0, 2, 3, 1)
    means = []
    for image, segments in zip(pixels, superpixels, strict=True):
        for number in range(n_ids):
            inside = image[segments == number]
            means.append(inside.sum(0) / (len(inside) + 1e-6))
    return torch.stack(means).view(len(grids), n_ids, -1)


@pytest.mark.parametrize("grid", [(7, 9), (2, 2), (1, 5), (5, 1), (1, 1)])
def test_superpixel_means_equal_the_dense_computation(grid):
    generator = torch.Generator().manual_seed(3)
    grids = torch.randn(3, *grid, 5, dtype=torch.float64, generator=generator).requires_grad_()
    superpixels = torch.randint(0, 6, (3, 30, 41), generator=generator)
    weight = torch.randn(3, 8, 5, dtype=torch.float64, generator=generator)
    ours, dense = superpixel_means(grids, superpixels, 8), _dense(grids, superpixels, 8)
    torch.testing.assert_close(ours, dense, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(
        *(torch.autograd.grad((means * weight).sum(), grids)[0] for means in (ours, dense)),
        rtol=1e-9,
        atol=1e-12,
    )


def test_superpixel_means_in_single_precision():
    generator = torch.Generator().manual_seed(4)
    grids = torch.randn(2, 8, 12, 16, generator=generator)
    superpixels = torch.randint(0, 30, (2, 32, 48), generator=generator)
    exact = _dense(grids.double(), superpixels, 30)
    torch.testing.assert_close(
        superpixel_means(grids, superpixels, 30).double(), exact, rtol=0, atol=2e-6
    )


def test_mixed_precision_leaves_superpixel_means_alone():
    torch.manual_seed(4)
    grids, superpixels = torch.randn(2, 8, 12, 16), torch.randint(0, 30, (2, 32, 48))
    with torch.autocast("cpu", torch.bfloat16):
        mixed = superpixel_means(grids, superpixels, 30)
    assert torch.equal(mixed, superpixel_means(grids, superpixels, 30))


def test_unused_ids_and_black_images_give_zero_vectors():
    grids = torch.zeros(1, 3, 3, 2, requires_grad=True)
    means = superpixel_means(grids, torch.zeros(1, 6, 6, dtype=torch.uint8), 2)
    means.sum().backward()
    assert torch.equal(means, torch.zeros(1, 2, 2))
    assert torch.isfinite(grids.grad).all()


def test_group_mean_counts_rows_and_leaves_empty_groups_at_zero():
    values = torch.tensor([[1.0], [3.0], [10.0]], dtype=torch.float64)
    means, count = group_mean(values, torch.tensor([2, 2, 0]), 4)
    assert count.tolist() == [1, 0, 2, 0]
    assert means[:, 0].tolist() == [10 / (1 + 1e-6), 0, 4 / (2 + 1e-6), 0]
