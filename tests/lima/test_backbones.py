"""MinkUNets: published sizes, what they do to a batch, and a forward on a real scan."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from lima_bench.common.errors import UserError
from lima_bench.lima.backbones.catalogue import BACKBONES, build_backbone
from lima_bench.lima.backbones.minkunet import MinkUNet, Plan, Stage
from lima_bench.lima.backbones.sparse.norm import BatchNorm
from lima_bench.lima.recipes import VoxelSettings
from lima_bench.lima.student import Student
from lima_bench.lima.voxels import voxelise

GRID = VoxelSettings(kind="cartesian", size=(0.5, 0.5, 0.5), shift="aligned16")

SMALL = Plan(
    stem=(8,),
    encoder=(Stage(16, 1), Stage(24, 2)),
    decoder=(Stage(16, 1), Stage(8, 1)),
    n_outputs=2,
)


def some_points(n_points=600, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(0, 1, (n_points, 3)) * [4, 4, 0.5]).astype(np.float32)


def voxels_of(*clouds, settings=GRID, n_clouds=None):
    xyz = np.concatenate(clouds)
    index = np.repeat(np.arange(len(clouds)), [len(cloud) for cloud in clouds])
    features = np.concatenate((xyz, np.ones((len(xyz), 1), np.float32)), axis=1)
    return voxelise(xyz, features, index, settings, n_clouds=n_clouds or len(clouds))


def small(seed=0):
    torch.manual_seed(seed)
    return MinkUNet(SMALL, 4, 0.1)


def n_parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_slidr_flavour_has_the_published_size():
    trunk = build_backbone("minkunet34_slidr", 1, bn_momentum=0.05)
    head = nn.Linear(trunk.width, 64)
    assert n_parameters(trunk) == 37_842_976
    assert n_parameters(trunk) + n_parameters(head) == 37_849_184
    assert len(trunk.state_dict()) + len(head.state_dict()) == 374
    assert max(p.numel() for p in trunk.parameters()) == 2_654_208


def test_superflow_flavour_has_the_published_size():
    trunk = build_backbone("minkunet34", 4, bn_momentum=0.05)
    assert n_parameters(trunk) == 37_873_280
    assert len(trunk.state_dict()) == 378


@pytest.mark.parametrize(("name", "millions"), [("minkunet18", 21.721), ("minkunet50", 31.775)])
def test_other_published_sizes(name, millions):
    trunk = build_backbone(name, 4, bn_momentum=0.05)
    assert round(n_parameters(trunk) / 1e6, 3) == millions


@pytest.mark.parametrize("name", BACKBONES.names())
def test_cards_tell_the_width(name):
    backbone = build_backbone(name, 4, bn_momentum=0.05).eval()
    voxels = voxels_of(some_points(60))
    assert backbone.width == BACKBONES.get(name).width
    with torch.no_grad():
        assert backbone(voxels).shape == (len(voxels.coords), backbone.width)


def test_unknown_backbone_is_told():
    with pytest.raises(UserError, match='Did you mean "minkunet34"'):
        build_backbone("minkunet43", 4, bn_momentum=0.1)


def momenta(backbone):
    norms = {n: m.momentum for n, m in backbone.named_modules() if isinstance(m, BatchNorm)}
    inside = {momentum for name, momentum in norms.items() if in_block(name)}
    outside = {momentum for name, momentum in norms.items() if not in_block(name)}
    return inside, outside


def in_block(name):
    return name.startswith(("encoder", "decoder")) and "shortcut" not in name


def test_momentum_reaches_all_norms_of_superflows_network():
    assert momenta(build_backbone("minkunet34", 4, bn_momentum=0.02)) == ({0.02}, {0.02})


def test_momentum_stays_out_of_the_blocks_of_slidrs_network():
    assert momenta(build_backbone("minkunet34_slidr", 1, bn_momentum=0.02)) == ({0.1}, {0.02})


def test_every_parameter_learns():
    network = small()
    out = network(voxels_of(some_points()))
    out.square().mean().backward()
    still = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert still == []


@pytest.mark.parametrize("block", ["basic", "bottleneck"])
def test_backward_is_the_slope_of_forward(block):
    torch.manual_seed(0)
    plan = Plan((4,), (Stage(4, 1),), (Stage(4, 1),), block=block, n_outputs=1)
    network = MinkUNet(plan, 4, 0.1).double().eval()
    voxels = voxels_of(some_points(9))
    inputs = voxels.features.double().requires_grad_()

    def forward(features):
        return network(replace(voxels, features=features, level=None))

    assert torch.autograd.gradcheck(forward, (inputs,))


def test_a_cloud_does_not_depend_on_its_batch():
    network = small().eval()
    clouds = some_points(seed=1), some_points(seed=2)
    alone = [network(voxels_of(cloud)) for cloud in clouds]
    torch.testing.assert_close(network(voxels_of(*clouds)), torch.cat(alone), rtol=1e-5, atol=1e-5)


def test_moving_a_cloud_by_whole_coarse_cells_changes_nothing():
    network = small().eval()
    xyz = np.round(some_points() / 0.5) * np.float32(0.5)
    features = torch.randn(len(xyz), 4).numpy()
    index = np.zeros(len(xyz), dtype=np.int64)
    here, there = (
        voxelise(place, features, index, GRID, n_clouds=1)
        for place in (xyz, xyz + np.float32([8 * 16, 0, 8 * 3]))
    )
    torch.testing.assert_close(network(here)[here.inverse], network(there)[there.inverse])


def test_the_order_of_points_changes_nothing():
    network = small().eval()
    xyz = some_points()
    keep = voxels_of(xyz).first.numpy()
    xyz, shuffled = xyz[keep], np.random.default_rng(0).permutation(len(keep))
    student = Student(network)
    straight = student(voxels_of(xyz))
    assert torch.equal(student(voxels_of(xyz[shuffled])), straight[shuffled])


def test_empty_and_one_voxel_clouds_in_a_batch():
    network = small()
    clouds = some_points(0), some_points(1), some_points(300), some_points(0)
    voxels = voxels_of(*clouds)
    out = Student(network)(voxels)
    assert out.shape == (301, network.width)
    out.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())


@pytest.mark.parametrize("n_points", [0, 1])
def test_a_batch_of_next_to_nothing_trains_without_nan(n_points):
    network = small()
    out = network(voxels_of(some_points(n_points)))
    assert out.shape == (n_points, network.width)
    out.sum().backward()
    assert all(value.isfinite().all() for value in network.state_dict().values())
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())


def test_a_seed_fixes_weights_and_steps():
    states = []
    for _ in range(2):
        network = small(seed=7)
        optimiser = torch.optim.AdamW(network.parameters(), lr=1e-2)
        for step in range(3):
            optimiser.zero_grad()
            network(voxels_of(some_points(seed=step))).square().mean().backward()
            optimiser.step()
        states.append(network.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_output_of_the_small_network_holds_two_levels():
    """The second half of a fine cell's output is shared with the cells beside it."""
    backbone = build_backbone("minkunet_tiny", 4, bn_momentum=0.1).eval()
    voxels = voxels_of(some_points())
    with torch.no_grad():
        out = backbone(voxels)
    coarse = voxels.coords.clone()
    coarse[:, 1:] //= 2
    parents, parent = coarse.unique(dim=0, return_inverse=True)
    shared = out[:, 16:]
    for row in range(len(parents)):
        members = shared[parent == row]
        assert (members == members[0]).all()
    assert len(out[:, :16].unique(dim=0)) > 0.9 * len(out)


def test_minkunet34_runs_on_the_real_kitti_scan(samples):
    path = samples / "semantickitti/spvnas_scan/velodyne/000000.bin"
    points = np.fromfile(path, "<f4").reshape(-1, 4)
    index = np.zeros(len(points), dtype=np.int64)
    voxels = voxelise(points[:, :3], points, index, VoxelSettings(), n_clouds=1)
    torch.manual_seed(0)
    student = Student(build_backbone("minkunet34", 4, bn_momentum=0.05)).eval()
    with torch.inference_mode():
        features = student(voxels)
    assert features.shape == (123_389, 96)
    assert features.isfinite().all()
    assert len(features.double().sum(dim=1).unique()) > 0.99 * len(voxels.coords)
