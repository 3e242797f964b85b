"""Checkpoints to mmdetection3d and back: names, order of kernels, the same bits."""

from collections import OrderedDict

import pytest
import torch

from lima_bench.common.errors import UserError
from lima_bench.downstream.mmdet3d.convert import PREFIX, from_mmdet3d, to_mmdet3d
from lima_bench.lima.adopt import kernels
from lima_bench.lima.adopt.adopt import adopt
from lima_bench.lima.adopt.kernels import KernelOrder
from lima_bench.lima.backbones.catalogue import build_backbone
from lima_bench.lima.checkpoint import load_student, save_student
from lima_bench.lima.student import Student

PLAIN = {
    "conv_input": "conv_input",
    "conv1.0": "encoder_layers.encoder_layer1.0",
    **{
        f"conv{k}.{j}": f"encoder_layers.encoder_layer{k}.{j}" for k in (2, 3, 4) for j in (0, 1, 2)
    },
    "conv_out": "conv_out",
}
"""The table of detection.md 5.3, written out: units of a convolution (0) and a norm (1)."""

RESIDUAL_UNITS = {
    "conv_input": "conv_input",
    "conv2.0": "encoder_layers.encoder_layer1.2",
    "conv3.0": "encoder_layers.encoder_layer2.2",
    "conv4.0": "encoder_layers.encoder_layer3.2",
    "conv_out": "conv_out",
}
RESIDUAL_BLOCKS = {
    "conv1.0": "encoder_layers.encoder_layer1.0",
    "conv1.1": "encoder_layers.encoder_layer1.1",
    **{
        f"conv{k}.{j}": f"encoder_layers.encoder_layer{k}.{j - 1}"
        for k in (2, 3, 4)
        for j in (1, 2)
    },
}
NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def written_out(name):
    """Our tensors to theirs, without any code of ours."""
    units = PLAIN if name == "voxelnet" else RESIDUAL_UNITS
    layers = {f"{ours}.{i}": f"{theirs}.{i}" for ours, theirs in units.items() for i in (0, 1)}
    if name == "voxelnet_residual":
        parts = ("conv1", "conv2", "bn1", "bn2")
        layers |= {
            f"{a}.{part}": f"{b}.{part}" for a, b in RESIDUAL_BLOCKS.items() for part in parts
        }
    is_norm = lambda layer: layer.endswith(".1") or ".bn" in layer  # noqa: E731
    return {
        f"{ours}.{leaf}": f"{theirs}.{leaf}"
        for ours, theirs in layers.items()
        for leaf in (NORM if is_norm(ours[ours.rindex(".") :]) else ("weight",))
    }


def student(name, channels, seed=0):
    """Every tensor with values of its own."""
    torch.manual_seed(seed)
    made = Student(build_backbone(name, channels, bn_momentum=0.1))
    state = {
        n: t.random_(0, 100) if n.endswith("tracked") else torch.randn_like(t)
        for n, t in made.state_dict().items()
    }
    made.load_state_dict(state)
    return made


def saved(tmp_path, made, name):
    path = tmp_path / "ours.safetensors"
    save_student(path, made, {"backbone": name})
    return path


CASES = [("voxelnet", 4), ("voxelnet", 5), ("voxelnet_residual", 4), ("voxelnet_residual", 5)]


@pytest.mark.parametrize("name", ["voxelnet", "voxelnet_residual"])
def test_the_key_map_is_the_published_one_complete_and_one_to_one(name, tmp_path):
    made = student(name, 4)
    ours = {n.removeprefix("backbone."): t for n, t in made.state_dict().items()}
    theirs = to_mmdet3d(saved(tmp_path, made, name), tmp_path / "theirs.pth")
    wanted = written_out(name)
    assert wanted.keys() == ours.keys()
    assert len(set(wanted.values())) == len(wanted)
    assert {f"{PREFIX}{n}" for n in wanted.values()} == theirs.keys()
    for mine, other in wanted.items():
        if ours[mine].ndim < 2:
            assert torch.equal(theirs[f"{PREFIX}{other}"], ours[mine])
        else:  # a kernel: its own values, in another order
            found = theirs[f"{PREFIX}{other}"].flatten().sort().values
            assert torch.equal(found, ours[mine].flatten().sort().values)


@pytest.mark.parametrize("order", ["mmcv", "spconv"])
@pytest.mark.parametrize(("name", "channels"), CASES)
def test_there_and_back_is_the_same_bits(name, channels, order, tmp_path):
    made = student(name, channels)
    path = saved(tmp_path, made, name)
    to_mmdet3d(path, tmp_path / "theirs.pth", order)
    found = from_mmdet3d(tmp_path / "theirs.pth", tmp_path / "back.safetensors")
    assert (found.backbone, found.in_channels, found.absent) == (name, channels, ())
    back = student(name, channels, seed=1)
    load_student(tmp_path / "back.safetensors", back, name)
    for n, tensor in made.state_dict().items():
        assert torch.equal(back.state_dict()[n], tensor), n


@pytest.mark.parametrize("order", ["mmcv", "spconv"])
def test_kernels_lie_as_the_library_keeps_them(order, tmp_path):
    made = student("voxelnet", 4)
    theirs = to_mmdet3d(saved(tmp_path, made, "voxelnet"), tmp_path / "theirs.pth", order)
    ours = made.state_dict()
    stem, out = theirs[f"{PREFIX}conv_input.0.weight"], theirs[f"{PREFIX}conv_out.0.weight"]
    if order == "spconv":
        stem, out = stem.permute(1, 2, 3, 4, 0), out.permute(1, 2, 3, 4, 0)
    assert stem.shape == (3, 3, 3, 4, 16) and out.shape == (3, 1, 1, 64, 128)
    for z in range(3):
        assert torch.equal(out[z, 0, 0], ours["backbone.conv_out.0.weight"][z])
        for y in range(3):
            for x in range(3):  # the first axis is fastest in ours
                mine = ours["backbone.conv_input.0.weight"][x + 3 * y + 9 * z]
                assert torch.equal(stem[z, y, x], mine)


def test_only_the_order_that_needs_it_says_its_version(tmp_path):
    path = saved(tmp_path, student("voxelnet", 4), "voxelnet")
    for order, version in (("mmcv", None), ("spconv", 2)):
        to_mmdet3d(path, tmp_path / "theirs.pth", order)
        state = torch.load(tmp_path / "theirs.pth", weights_only=True)["state_dict"]
        assert isinstance(state, OrderedDict)
        layer = getattr(state, "_metadata", {}).get(f"{PREFIX}conv1.0", {})
        assert layer.get("version") is None
        layer = getattr(state, "_metadata", {}).get(f"{PREFIX}conv_input.0", {})
        assert layer.get("version") == version


@pytest.mark.parametrize("name", ["voxelnet", "voxelnet_residual"])
def test_a_detector_trained_on_our_own_encoder_comes_back(name, tmp_path):
    made = student(name, 5)
    state = {f"{PREFIX}{n}": t for n, t in made.state_dict().items()}
    state |= {"pts_bbox_head.shared_conv.conv.weight": torch.zeros(2, 2)}
    torch.save({"meta": {"epoch": 3}, "state_dict": state}, tmp_path / "epoch_3.pth")
    found = from_mmdet3d(tmp_path / "epoch_3.pth", tmp_path / "back.safetensors")
    assert (found.layout, found.backbone) == ("mmdet3d-lima-bench", name)
    assert len(found.skipped) == 1
    back = student(name, 5, seed=1)
    load_student(tmp_path / "back.safetensors", back, name)
    assert all(torch.equal(back.state_dict()[n], t) for n, t in made.state_dict().items())


@pytest.mark.parametrize(
    ("name", "layout"),
    [("voxelnet", "mmdet3d-voxelnet"), ("voxelnet_residual", "mmdet3d-voxelnet-residual")],
)
def test_a_whole_detector_is_told_from_openpcdet_s(name, layout, tmp_path):
    made = student(name, 5)
    theirs = to_mmdet3d(saved(tmp_path, made, name), tmp_path / "theirs.pth")
    theirs |= {"pts_neck.deblocks.0.0.weight": torch.zeros(3), "pts_bbox_head.x": torch.zeros(3)}
    torch.save({"state_dict": theirs, "optimizer": {"state": {}}}, tmp_path / "epoch_20.pth")
    found = adopt(tmp_path / "epoch_20.pth")
    assert (found.layout, found.backbone) == (layout, name)
    assert found.skipped["state_dict.pts_bbox_head.x"].startswith("head of a detector")


def test_a_layer_that_is_missing_is_named(tmp_path):
    theirs = to_mmdet3d(
        saved(tmp_path, student("voxelnet", 4), "voxelnet"), tmp_path / "theirs.pth"
    )
    del theirs[f"{PREFIX}encoder_layers.encoder_layer3.1.0.weight"]
    torch.save({"state_dict": theirs}, tmp_path / "cut.pth")
    with pytest.raises(UserError, match=r"encoder_layer3\.1\.0\.weight: absent"):
        from_mmdet3d(tmp_path / "cut.pth", tmp_path / "back.safetensors")
    assert not (tmp_path / "back.safetensors").exists()


def test_what_is_no_voxelnet_is_refused(tmp_path):
    made = Student(build_backbone("minkunet_tiny", 4, bn_momentum=0.1))
    path = saved(tmp_path, made, "minkunet_tiny")
    with pytest.raises(UserError, match="holds a minkunet_tiny"):
        to_mmdet3d(path, tmp_path / "theirs.pth")
    with pytest.raises(UserError, match="mmcv"):
        to_mmdet3d(path, tmp_path / "theirs.pth", "mmvc")


ORDERS = [v for v in vars(kernels).values() if isinstance(v, KernelOrder)]


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: order.title)
@pytest.mark.parametrize("shape", [(27, 2, 5), (8, 2, 5), (3, 2, 5), (5, 2)], ids=str)
def test_every_order_of_kernels_can_be_turned_round(order, shape):
    weight = torch.randn(shape)
    theirs = order.theirs(weight)
    assert tuple(theirs.shape) == tuple(order.shape(shape))
    assert torch.equal(order.ours(theirs), weight)
