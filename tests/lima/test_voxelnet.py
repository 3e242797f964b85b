"""VoxelNet: published sizes, a dense definition of it, and how points read its map."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from lima_bench.common.errors import UserError
from lima_bench.lima.backbones.catalogue import BACKBONES, build_backbone
from lima_bench.lima.backbones.minkunet import minkunet_tiny
from lima_bench.lima.backbones.sparse.norm import BatchNorm
from lima_bench.lima.bounded import voxelise_bounded
from lima_bench.lima.losses import unit
from lima_bench.lima.recipes import GridBounds, VoxelSettings
from lima_bench.lima.student import Student

BOUNDS = GridBounds(lower=(-6.4, -4.8, -5.0), upper=(6.4, 4.8, 3.0))
GRID = VoxelSettings(kind="cartesian", size=(0.4, 0.4, 0.2), rounding="floor", bounds=BOUNDS)
DEEP = GRID.model_copy(update={"bounds": BOUNDS.model_copy(update={"spare_layers": 1})})
FLAVOURS = ("voxelnet", "voxelnet_residual", "voxelnet_tiny")
CELL = {"voxelnet": 8, "voxelnet_residual": 8, "voxelnet_tiny": 4}
"""Voxels along a cell of the map."""


def some_points(n_points=150, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(0, 1, (n_points, 3)) * [2.5, 2, 0.8]).astype(np.float32)


def voxels_of(*clouds, settings=GRID, dtype=torch.float64, **options):
    xyz = np.concatenate(clouds)
    index = np.repeat(np.arange(len(clouds)), [len(cloud) for cloud in clouds])
    features = np.column_stack((xyz, np.ones(len(xyz), np.float32)))
    voxels = voxelise_bounded(xyz, features, index, settings, n_clouds=len(clouds), **options)
    return replace(voxels, features=voxels.features.to(dtype))


def network(name="voxelnet", seed=0, dtype=torch.float64):
    """With BatchNorm statistics that are not those of the start."""
    torch.manual_seed(seed)
    built = build_backbone(name, 4, bn_momentum=0.05).to(dtype).eval()
    for module in built.modules():
        if isinstance(module, BatchNorm):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.1, 0.2)
    return built


def n_parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("name", "channels", "size"),
    [
        ("voxelnet", 4, 711_872),
        ("voxelnet", 5, 712_304),
        ("voxelnet_residual", 5, 2_694_352),
        ("voxelnet_tiny", 4, 338_976),
    ],
)
def test_published_sizes(name, channels, size):
    assert n_parameters(build_backbone(name, channels, bn_momentum=0.05)) == size


def test_with_the_published_projection_it_has_720064_parameters():
    trunk = build_backbone("voxelnet", 4, bn_momentum=0.05)
    projection = nn.Linear(trunk.width, 64, bias=False)  # a 1x1x1 convolution without bias
    assert n_parameters(trunk) + n_parameters(projection) == 720_064


@pytest.mark.parametrize(
    ("name", "momentum"),
    [("voxelnet", 0.01), ("voxelnet_residual", 0.01), ("voxelnet_tiny", 0.3)],
)
def test_published_norms_keep_their_own_settings(name, momentum):
    backbone = build_backbone(name, 4, bn_momentum=0.3)
    norms = [module for module in backbone.modules() if isinstance(module, BatchNorm)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, momentum)}


def test_layers_are_called_as_in_openpcdet():
    shapes = {k: tuple(v.shape) for k, v in network().state_dict().items() if v.ndim == 3}
    assert shapes == {
        "conv_input.0.weight": (27, 4, 16),
        "conv1.0.0.weight": (27, 16, 16),
        "conv2.0.0.weight": (27, 16, 32),
        "conv2.1.0.weight": (27, 32, 32),
        "conv2.2.0.weight": (27, 32, 32),
        "conv3.0.0.weight": (27, 32, 64),
        "conv3.1.0.weight": (27, 64, 64),
        "conv3.2.0.weight": (27, 64, 64),
        "conv4.0.0.weight": (27, 64, 64),
        "conv4.1.0.weight": (27, 64, 64),
        "conv4.2.0.weight": (27, 64, 64),
        "conv_out.0.weight": (3, 64, 128),
    }


class Dense:
    """The network as dense convolutions with masks: (clouds, channels, z, y, x)."""

    def __init__(self, state):
        self.state = state

    def convolved(self, x, name, kernel=(3, 3, 3), stride=1, padding=1):
        weight = self.state[name]
        weight = weight.view(*kernel, *weight.shape[1:]).permute(4, 3, 0, 1, 2)
        return functional.conv3d(x, weight, stride=stride, padding=padding)

    def normed(self, x, name):
        mean, var, weight, bias = (
            self.state[f"{name}.{part}"].view(1, -1, 1, 1, 1)
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / torch.sqrt(var + 1e-3) * weight + bias

    def unit(self, x, mask, name):
        return self.normed(self.convolved(x, f"{name}.0.weight"), f"{name}.1").relu() * mask

    def residual(self, x, mask, name):
        y = self.convolved(x, f"{name}.conv1.weight")
        y = self.normed(y, f"{name}.bn1").relu() * mask
        y = self.normed(self.convolved(y, f"{name}.conv2.weight"), f"{name}.bn2")
        return (y + x).relu() * mask

    def down(self, x, mask, name, kernel, stride, padding):
        grown = functional.conv3d(
            mask, mask.new_ones(1, 1, *kernel), stride=stride, padding=padding
        )
        mask = (grown > 0).to(x.dtype)
        y = self.convolved(x, f"{name}.0.weight", kernel, stride, padding)
        return self.normed(y, f"{name}.1").relu() * mask, mask

    def __call__(self, x, mask):
        block = self.residual if "conv1.0.conv1.weight" in self.state else self.unit
        n_first = 2 if block == self.residual else 1
        x = self.unit(x, mask, "conv_input")
        for number in range(n_first):
            x = block(x, mask, f"conv1.{number}")
        flat = len(self.state["conv4.0.0.weight"]) == 3  # up and down alone
        fourth = ((3, 1, 1), (2, 1, 1), 0) if flat else ((3, 3, 3), 2, (0, 1, 1))
        for name, window in (
            ("conv2", ((3, 3, 3), 2, 1)),
            ("conv3", ((3, 3, 3), 2, 1)),
            ("conv4", fourth),
        ):
            x, mask = self.down(x, mask, f"{name}.0", *window)
            for number in (1, 2):
                x = block(x, mask, f"{name}.{number}")
        x, _ = self.down(x, mask, "conv_out", (3, 1, 1), (2, 1, 1), 0)
        return x.flatten(1, 2)


def dense_input(voxels):
    width, height, depth = voxels.grid.extent
    size = voxels.n_clouds, 1, depth, height, width
    cloud, x, y, z = voxels.coords.T
    mask = voxels.features.new_zeros(size)
    mask[cloud, 0, z, y, x] = 1.0
    grid = mask.repeat(1, 4, 1, 1, 1)
    grid[cloud, :, z, y, x] = voxels.features
    return grid, mask


@pytest.mark.parametrize("settings", [GRID, DEEP], ids=["40 layers", "41 layers"])
@pytest.mark.parametrize("name", FLAVOURS)
def test_the_whole_network_is_dense_convolutions_with_masks(name, settings):
    backbone = network(name)
    voxels = voxels_of(some_points(60), some_points(60, seed=1), settings=settings)
    with torch.no_grad():
        ours = backbone.bird_eye(voxels)
        expected = Dense(backbone.state_dict())(*dense_input(voxels))
    layers = 2 if settings is DEEP else 1
    assert ours.shape == (2, backbone.width * layers, 24 // CELL[name], 32 // CELL[name])
    assert expected.abs().max() > 0.01
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["voxelnet", "voxelnet_tiny"])
def test_points_read_the_map_as_grid_sample_does(name):
    backbone = network(name)
    wide = 3 * some_points(100, seed=3)  # many beyond the border, and below and above the grid
    voxels = voxels_of(wide, some_points(80, seed=1))
    assert (voxels.inverse == -1).any()
    with torch.no_grad():
        dense, read = backbone.bird_eye(voxels), Student(backbone)(voxels)
    lower, size = torch.tensor(BOUNDS.lower[:2]).double(), CELL[name] * 0.4
    places = (voxels.xyz[:, :2].double() - lower) / size
    last = torch.tensor([dense.shape[3] - 1, dense.shape[2] - 1])
    for cloud in (0, 1):
        own = voxels.grid.cloud == cloud
        found = functional.grid_sample(
            dense[cloud : cloud + 1],
            (2 * places[own] / last - 1).view(1, 1, -1, 2),
            align_corners=True,
            padding_mode="border",
        )
        torch.testing.assert_close(read[own], found[0, :, 0].T, rtol=1e-5, atol=1e-5)


def test_the_published_places_are_in_units_of_0_8_m():
    settings = VoxelSettings(
        kind="cartesian", size=(0.1, 0.1, 0.2), rounding="floor", bounds=GridBounds()
    )
    xyz = np.float32([[-51.2, -51.2, 0], [-50.8, 0.0, 0], [50.4, 51.1, 0], [80, -80, 0]])
    voxels = voxels_of(xyz, settings=settings)
    shares = network().readout(voxels).shares.tolist()
    assert shares[0] == pytest.approx([1, 0, 0, 0], abs=1e-5)
    assert shares[1] == pytest.approx([0.5, 0, 0.5, 0], abs=1e-5)  # (0.5, 64)
    assert shares[2] == pytest.approx([0, 0, 0, 1], abs=1e-4)  # (127, 127.875): the last cell
    assert shares[3] == pytest.approx([0, 0, 1, 0], abs=1e-5)  # on the corner (127, 0)


@pytest.mark.parametrize(("spare", "channels"), [(0, 64), (1, 128)])
def test_the_map_of_the_built_in_world_has_cells_of_1_6_m(spare, channels):
    bounds = GridBounds(spare_layers=spare)
    settings = GRID.model_copy(update={"bounds": bounds})
    voxels = voxels_of(some_points(40), settings=settings, dtype=torch.float32)
    backbone = network("voxelnet_tiny", dtype=torch.float32)
    assert BACKBONES.get("voxelnet_tiny").width == backbone.width == 64
    with torch.no_grad():
        assert backbone.bird_eye(voxels).shape == (1, channels, 64, 64)  # 102.4 m / 1.6 m
    if not spare:
        xyz = np.float32([[-51.2, -51.2, 0], [-50.4, 1.6, 0]])
        read = backbone.readout(voxels_of(xyz, settings=settings))
        assert read.shares[1].tolist() == pytest.approx([0.5, 0, 0.5, 0], abs=1e-5)


def test_cells_are_brought_to_unit_length_before_they_are_read():
    backbone = network()
    student, head = Student(backbone), nn.Linear(128, 8).double()
    voxels = voxels_of(some_points(120))
    cells = student.cells(voxels)
    rows = torch.arange(5, 60)
    per_cell = unit(head(cells.features))
    read = cells.at(per_cell, rows)
    table = torch.cat((per_cell, per_cell.new_zeros(1, 8)))
    readout = cells.readout
    expected = (table[readout.cells[rows]] * readout.shares[rows, :, None]).sum(dim=1)
    torch.testing.assert_close(read, expected)
    assert (read.norm(dim=1) <= 1 + 1e-9).all() and (read.norm(dim=1) < 1 - 1e-3).any()
    features, places = cells.addressed(rows)
    torch.testing.assert_close(features[places], cells.at(cells.features, rows))


def test_absent_cells_read_as_zero():
    backbone = network()
    voxels = voxels_of(np.float32([[-6.0, -4.5, 0], [6.0, 4.5, 2.9]]))
    with torch.no_grad():
        read = Student(backbone)(replace(voxels, xyz=torch.tensor([[0.4, 0.0, 0.0]] * 2)))
    assert torch.equal(read, torch.zeros(2, 128).double())


def test_gradients_reach_every_parameter_and_are_the_slope():
    backbone = network().train()
    Student(backbone)(voxels_of(some_points(300))).square().mean().backward()
    still = [n for n, p in backbone.named_parameters() if p.grad is None or not p.grad.any()]
    assert still == []
    small, voxels = network().eval(), voxels_of(some_points(6))
    inputs = voxels.features.clone().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: Student(small)(replace(voxels, features=x))[:, :3], (inputs,)
    )


def test_maps_of_the_loader_change_nothing():
    backbone = network(dtype=torch.float32)
    clouds = some_points(), some_points(seed=2)
    with_maps = voxels_of(*clouds, dtype=torch.float32, windows=backbone.windows)
    without = voxels_of(*clouds, dtype=torch.float32)
    student = Student(backbone)
    with torch.no_grad():
        assert torch.equal(student(with_maps), student(without))


def test_levels_are_built_once_per_batch(monkeypatch):
    from lima_bench.lima.backbones import voxelnet

    built = []
    original = voxelnet.Level.strided.__func__

    def counted(cls, *given):
        built.append(1)
        return original(cls, *given)

    monkeypatch.setattr(voxelnet.Level, "strided", classmethod(counted))
    Student(network())(voxels_of(some_points()))
    assert len(built) == 1


def test_a_cloud_does_not_depend_on_its_batch():
    student = Student(network())
    clouds = some_points(seed=1), some_points(0), some_points(seed=2)
    alone = [student(voxels_of(cloud)) for cloud in (clouds[0], clouds[2])]
    torch.testing.assert_close(student(voxels_of(*clouds)), torch.cat(alone))


@pytest.mark.parametrize("n_points", [0, 1])
def test_a_batch_of_next_to_nothing_trains_without_nan(n_points):
    backbone = network(dtype=torch.float32).train()
    out = Student(backbone)(voxels_of(some_points(n_points), dtype=torch.float32))
    assert out.shape == (n_points, 128)
    out.sum().backward()
    assert all(value.isfinite().all() for value in backbone.state_dict().values())


def test_grids_that_do_not_suit_are_told():
    voxels = voxels_of(some_points())
    with pytest.raises(UserError, match="25 to 40 cells high"):
        network().readout(voxels_of(some_points(), settings=DEEP))
    with pytest.raises(UserError, match=r"voxels\.bounds"):
        network()(replace(voxels, grid=None))
    with pytest.raises(UserError, match="leaves some out"):
        Student(minkunet_tiny(4, 0.1).double()).cells(voxels)
