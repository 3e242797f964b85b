"""Level c, with the CPU build of spconv: beside mmdetection3d's own encoder."""

import pytest
import torch

from lima_bench.downstream.mmdet3d.convert import PREFIX, to_mmdet3d
from tests.downstream.mmdet3d.small_detector import SIDE, STOCK, as_inputs, frames, ours


@pytest.mark.parametrize("order", ["mmcv", "spconv"])
@pytest.mark.parametrize(("name", "channels"), [("voxelnet", 4), ("voxelnet_residual", 5)])
def test_their_encoder_gives_the_same_map(name, channels, order, models, spconv, tmp_path):
    from mmengine.runner import load_checkpoint

    path = ours(tmp_path, name, channels)
    theirs = to_mmdet3d(path, tmp_path / "theirs.pth", order)
    shape = {"sparse_shape": [41, SIDE, SIDE], "in_channels": channels}
    stock = torch.nn.Module()
    stock.pts_middle_encoder = models.build({"type": "SparseEncoder", **shape, **STOCK[name]})
    assert stock.state_dict().keys() == theirs.keys()
    load_checkpoint(stock, str(tmp_path / "theirs.pth"), strict=True)
    own = models.build(
        {
            "type": "LimaVoxelNet",
            **shape,
            "residual": name != "voxelnet",
            "init_cfg": {"type": "Pretrained", "checkpoint": str(path)},
        }
    )
    own.init_weights()
    voxels, boxes = frames(channels=channels)
    fed = as_inputs(voxels, boxes)[0]["voxels"]
    given = fed["voxels"][:, 0], fed["coors"], 2
    for mode in ("eval", "train"):
        with torch.no_grad():
            mine = getattr(own, mode)()(*given)
            other = getattr(stock, mode)().pts_middle_encoder(*given)
        assert mine.shape == other.shape == (2, 256, SIDE // 8, SIDE // 8)
        assert mine.max() > 1
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-4)


def test_the_version_is_what_tells_the_orders_apart(models, spconv, tmp_path):
    """Why ``mmcv`` is the default: it survives what loses a state dict's version."""
    from mmengine.runner import load_checkpoint

    path = ours(tmp_path, "voxelnet", 4)
    shape = {"sparse_shape": [41, SIDE, SIDE], "in_channels": 4}
    for order, fits in (("mmcv", True), ("spconv", False)):
        plain = to_mmdet3d(path, tmp_path / "theirs.pth", order)
        torch.save({"state_dict": dict(plain)}, tmp_path / "copied.pth")
        stock = torch.nn.Module()
        stock.pts_middle_encoder = models.build({"type": "SparseEncoder", **shape})
        before = stock.pts_middle_encoder.conv_out[0].weight.clone()
        if fits:
            load_checkpoint(stock, str(tmp_path / "copied.pth"), strict=True)
        else:
            with pytest.raises(RuntimeError, match="size mismatch"):
                load_checkpoint(stock, str(tmp_path / "copied.pth"), strict=True)
        assert torch.equal(before, stock.pts_middle_encoder.conv_out[0].weight) != fits


def test_gradients_agree_with_their_encoder(models, spconv, tmp_path):
    from mmengine.runner import load_checkpoint

    path = ours(tmp_path, "voxelnet", 4)
    to_mmdet3d(path, tmp_path / "theirs.pth")
    shape = {"sparse_shape": [41, SIDE, SIDE], "in_channels": 4}
    stock = torch.nn.Module()
    stock.pts_middle_encoder = models.build({"type": "SparseEncoder", **shape})
    load_checkpoint(stock, str(tmp_path / "theirs.pth"), strict=True)
    own = models.build({"type": "LimaVoxelNet", **shape, "checkpoint": str(path)})
    own.init_weights()
    voxels, boxes = frames(channels=4)
    fed = as_inputs(voxels, boxes)[0]["voxels"]
    given = fed["voxels"][:, 0], fed["coors"], 2
    weight = torch.randn(2, 256, SIDE // 8, SIDE // 8, generator=torch.Generator().manual_seed(0))
    (own.eval()(*given) * weight).sum().backward()
    (stock.eval().pts_middle_encoder(*given) * weight).sum().backward()
    for mine, other in (
        ("conv_input.0", "conv_input.0"),
        ("conv3.1.0", "encoder_layers.encoder_layer3.1.0"),
        ("conv_out.0", "conv_out.0"),
    ):
        a = own.get_parameter(f"backbone.{mine}.weight").grad
        b = stock.get_parameter(f"{PREFIX}{other}.weight").grad
        a = a.view(*b.shape[1:4], *a.shape[1:]).permute(4, 0, 1, 2, 3)
        assert (a - b).abs().max() < 1e-4 * b.abs().max()
