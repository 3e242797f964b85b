"""Our middle encoder, without any package of OpenMMLab."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lima_bench.common.errors import UserError
from lima_bench.downstream.mmdet3d.encoder import LimaVoxelNet
from lima_bench.lima.backbones.catalogue import build_backbone
from lima_bench.lima.backbones.sparse.norm import BatchNorm
from lima_bench.lima.bounded import voxelise_bounded
from lima_bench.lima.checkpoint import save_student
from lima_bench.lima.recipes import GridBounds, VoxelSettings
from lima_bench.lima.student import Student

BOUNDS = GridBounds(lower=(-3.2, -4.8, -5.0), upper=(3.2, 4.8, 3.0), spare_layers=1)
GRID = VoxelSettings(kind="cartesian", size=(0.4, 0.4, 0.2), rounding="floor", bounds=BOUNDS)
SHAPE = [41, 24, 16]  # z, y, x


def some_voxels(channels=4, seed=0):
    rng = np.random.default_rng(seed)
    xyz = (rng.normal(0, 1, (160, 3)) * [1.5, 2, 0.8]).astype(np.float32)
    features = rng.normal(0, 1, (160, channels)).astype(np.float32)
    return voxelise_bounded(xyz, features, np.repeat([0, 1], [90, 70]), GRID, n_clouds=2)


def as_mmdet3d(voxels, seed=None):
    """Features and (batch, z, y, x) as its voxel layer gives them, in any order of rows."""
    coors = voxels.coords[:, [0, 3, 2, 1]].int()
    order = torch.arange(len(coors))
    if seed is not None:
        order = torch.randperm(len(coors), generator=torch.Generator().manual_seed(seed))
    return voxels.features[order], coors[order]


def settled(network, voxels):
    """In evaluation mode, with statistics of `voxels`: at the start outputs are next to nothing."""
    norms = [module for module in network.modules() if isinstance(module, BatchNorm)]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        network.train().bird_eye(voxels)
    for norm in norms:
        norm.momentum = 0.01
    return network.eval()


@pytest.mark.parametrize("residual", [False, True])
def test_its_map_is_ours_whatever_the_order_of_rows(residual):
    torch.manual_seed(0)
    encoder = LimaVoxelNet(4, SHAPE, residual=residual)
    voxels = some_voxels()
    settled(encoder.backbone, voxels)
    encoder.eval()
    with torch.no_grad():
        wanted = encoder.backbone.bird_eye(voxels)
        straight = encoder(*as_mmdet3d(voxels), 2)
        shuffled = encoder(*as_mmdet3d(voxels, seed=1), torch.tensor(2, dtype=torch.int32))
    assert wanted.shape == (2, 256, 3, 2) and wanted.max() > 0.1
    assert torch.equal(straight, wanted) and torch.equal(shuffled, wanted)


@pytest.mark.parametrize(
    ("channels", "residual", "size"),
    [(4, False, 711_872), (5, False, 712_304), (5, True, 2_694_352)],
)
def test_published_sizes(channels, residual, size):
    encoder = LimaVoxelNet(channels, [41, 1024, 1024], residual=residual)
    assert sum(parameter.numel() for parameter in encoder.parameters()) == size


def test_gradients_reach_every_parameter():
    encoder = LimaVoxelNet(4, SHAPE)
    encoder(*as_mmdet3d(some_voxels()), 2).square().mean().backward()
    assert [n for n, p in encoder.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_only_41_layers_give_256_channels():
    for layers, channels in ((40, 128), (57, 384)):
        with pytest.raises(UserError, match=f"{channels} channels"):
            LimaVoxelNet(4, [layers, 1024, 1024])
    LimaVoxelNet(4, [41, 1440, 1440])


def test_voxels_of_another_grid_are_told():
    encoder = LimaVoxelNet(4, SHAPE)
    features, coors = as_mmdet3d(some_voxels())
    for column, value in ((1, 41), (2, 24), (3, 16), (3, -1)):
        wrong = coors.clone()
        wrong[5, column] = value
        with pytest.raises(UserError, match="outside the grid"):
            encoder(features, wrong, 2)
    coors[5] = coors[6]
    with pytest.raises(UserError, match="same voxel"):
        encoder(features, coors, 2)


def taught(tmp_path, name="voxelnet", channels=4):
    torch.manual_seed(7)
    student = Student(build_backbone(name, channels, bn_momentum=0.1))
    settled(student.backbone, some_voxels(channels))
    save_student(tmp_path / "c.safetensors", student, {"backbone": name})
    return str(tmp_path / "c.safetensors"), student.eval()


@pytest.mark.parametrize("name", ["voxelnet", "voxelnet_residual"])
def test_a_checkpoint_fills_it_when_training_begins(name, tmp_path):
    path, student = taught(tmp_path, name)
    for given in ({"checkpoint": path}, {"init_cfg": {"type": "Pretrained", "checkpoint": path}}):
        encoder = LimaVoxelNet(4, SHAPE, residual=name.endswith("residual"), **given)
        stem = "backbone.conv_input.0.weight"
        assert not torch.equal(encoder.state_dict()[stem], student.state_dict()[stem])
        encoder.init_weights()
        for n, tensor in student.state_dict().items():
            assert torch.equal(encoder.state_dict()[n], tensor), n


def test_a_fifth_input_begins_without_effect(tmp_path):
    path, student = taught(tmp_path)
    encoder = LimaVoxelNet(5, SHAPE, checkpoint=path).eval()
    encoder.init_weights()
    voxels = some_voxels(channels=5)
    four = replace(voxels, features=voxels.features[:, :4].contiguous())
    with torch.no_grad():
        wanted = student.backbone.bird_eye(four)
        found = encoder(*as_mmdet3d(voxels), 2)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
    assert encoder.backbone.conv_input[0].weight[:, 4].eq(0).all()
    assert wanted.abs().max() > 0.1


def test_checkpoints_of_other_networks_are_refused(tmp_path):
    path, _ = taught(tmp_path, "voxelnet_residual")
    with pytest.raises(UserError, match="holds a voxelnet_residual, but a voxelnet"):
        LimaVoxelNet(4, SHAPE, checkpoint=path).init_weights()
    with pytest.raises(UserError, match="holds a voxelnet_residual, but a voxelnet"):
        LimaVoxelNet(5, SHAPE, checkpoint=path).init_weights()
    path, _ = taught(tmp_path, channels=5)
    with pytest.raises(UserError, match="conv_input"):
        LimaVoxelNet(4, SHAPE, checkpoint=path).init_weights()
    with pytest.raises(UserError, match="no such file"):
        LimaVoxelNet(4, SHAPE, checkpoint=str(tmp_path / "x.safetensors")).init_weights()
    with pytest.raises(UserError, match="Xavier"):
        LimaVoxelNet(4, SHAPE, init_cfg={"type": "Xavier"})
