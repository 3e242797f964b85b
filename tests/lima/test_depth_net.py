"""The network of depth and context: what it is told of cameras, and what comes out."""

import pytest
import torch

from lima_bench.lima.batch import Lenses
from lima_bench.lima.depth_net import N_ENTRIES, DepthNet, camera_entries


def test_a_camera_is_told_in_22_entries():
    intrinsic = torch.tensor([[[300.0, 0, 90], [0, 310, 50], [0, 0, 1]]], dtype=torch.float64)
    pose = torch.arange(16.0, dtype=torch.float64).view(1, 4, 4)
    lenses = Lenses(torch.tensor([0]), intrinsic, pose)
    found = camera_entries(lenses, torch.float32)
    assert found.tolist() == [[300, 310, 90, 50, 1, 0, 0, 0, 1, 0, *range(12)]]
    assert found.shape[1] == N_ENTRIES


def _network():
    torch.manual_seed(0)
    return DepthNet(6, 8, context=5, n_depths=11)


def test_depths_are_probabilities_and_sizes_stay():
    depth, context = _network()(torch.randn(3, 6, 4, 7), torch.randn(3, N_ENTRIES))
    assert depth.shape == (3, 11, 4, 7)
    assert context.shape == (3, 5, 4, 7)
    torch.testing.assert_close(depth.sum(1), torch.ones(3, 4, 7))


@pytest.mark.parametrize("part", [0, 1])
def test_the_camera_gates_both(part):
    network, x = _network().eval(), torch.randn(1, 6, 4, 7)
    one, other = (network(x, torch.full((1, N_ENTRIES), value))[part] for value in (0.0, 5.0))
    assert not torch.allclose(one, other)


def test_depth_and_context_are_learnt_apart_behind_what_they_share():
    for part, ours, theirs in ((0, "depth", "context"), (1, "context", "depth")):
        network = _network()
        out = network(torch.randn(3, 6, 4, 7), torch.randn(3, N_ENTRIES))[part]
        out.square().sum().backward()
        reached = {name for name, p in network.named_parameters() if p.grad is not None}
        assert any(name.startswith(ours) for name in reached)
        assert not any(name.startswith(theirs) for name in reached)
        assert any(name.startswith("reduce") for name in reached)


def test_a_single_image_is_survived():
    depth, _ = _network()(torch.randn(1, 6, 4, 7), torch.randn(1, N_ENTRIES))
    assert depth.isfinite().all()


def test_the_published_size_of_its_parts():
    """3 basic blocks, ASPP and deformable convolution of 256 channels, counted by hand."""
    network = DepthNet(2048, 256, context=64, n_depths=118)
    counts = {name: sum(p.numel() for p in m.parameters()) for name, m in network.named_children()}
    square, norm = 256 * 256, 2 * 256
    aspp = square * (1 + 27 + 1 + 5) + 6 * norm
    deformable = square * 9 // 4 + 256 * 18 * 9 + 18
    assert counts["depth"] == 3 * (18 * square + 2 * norm) + aspp + deformable + 257 * 118
    assert counts["context"] == 257 * 64
    assert counts["reduce"] == 2048 * 256 * 9 + 256 + norm
    assert counts["depth_gate"] == 22 * 256 + 256 + 3 * (square + 256)
