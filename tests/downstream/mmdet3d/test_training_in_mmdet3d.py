"""Level b: a few steps teach a detector of mmdetection3d, and its encoder comes back to us."""

import copy

import numpy as np
import pytest
import torch

from lima_bench.downstream.mmdet3d.convert import from_mmdet3d
from lima_bench.lima.backbones.catalogue import build_backbone
from lima_bench.lima.checkpoint import load_student
from lima_bench.lima.student import Student
from tests.downstream.mmdet3d.small_detector import STOCK, as_inputs, config, frames, ours, small


@pytest.mark.parametrize("kind", ["ours", "stock"])
def test_a_few_steps_teach_it_and_circles_thin_out_what_it_finds(kind, models, request, tmp_path):
    if kind == "stock":  # level c
        request.getfixturevalue("spconv")
    cfg = small(config())
    checkpoint = ours(tmp_path, "voxelnet", 4)
    if kind == "ours":
        cfg.model.pts_middle_encoder.checkpoint = str(checkpoint)
    else:
        shape = cfg.model.pts_middle_encoder.sparse_shape
        cfg.model.pts_middle_encoder = {
            "type": "SparseEncoder", "in_channels": 5, "sparse_shape": shape, **STOCK["voxelnet"]
        }  # fmt: skip
    torch.manual_seed(0)
    detector = models.build(cfg.model)
    detector.init_weights()
    if kind == "ours":
        taught = Student(build_backbone("voxelnet", 4, bn_momentum=0.1))
        load_student(checkpoint, taught)
        stem = detector.pts_middle_encoder.backbone.conv_input[0].weight
        assert torch.equal(stem[:, :4], taught.backbone.conv_input[0].weight)
        assert not stem[:, 4].any()
    inputs, samples = as_inputs(*frames())
    for module in detector.modules():  # six steps are few for the published 0.01
        if hasattr(module, "momentum"):
            module.momentum = 0.5
    optimiser = torch.optim.AdamW(detector.parameters(), lr=1e-3, weight_decay=0.01)
    losses = []
    for _ in range(6):
        optimiser.zero_grad()
        loss = sum(detector.loss(dict(inputs), samples).values())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(detector.parameters(), 35)
        optimiser.step()
        losses.append(float(loss.detach()))
    assert np.isfinite(losses).all() and losses[-1] < 0.5 * losses[0]
    stem = next(detector.pts_middle_encoder.parameters())
    assert stem.grad.abs().max() > 0
    if kind == "ours":  # what was zero learns
        assert detector.pts_middle_encoder.backbone.conv_input[0].weight[:, 4].any()
    predicted = asked(detector, cfg, inputs, samples)
    assert len(predicted) == 2
    for one in predicted:
        found = one.pred_instances_3d
        assert 0 < len(found.scores_3d) <= 83 * 6
        assert found.bboxes_3d.tensor.shape[1] == 9
        assert found.bboxes_3d.tensor.isfinite().all()


def asked(detector, cfg, inputs, samples):
    """Predictions, with every peak taken for a box: six steps do not make it sure."""
    detector.eval().pts_bbox_head.bbox_coder.score_threshold = 0.0
    assert cfg.model.test_cfg.pts.nms_type == "circle"
    with torch.no_grad():
        return detector.predict(inputs, [copy.deepcopy(sample) for sample in samples])


def test_a_trained_detector_comes_back(models, tmp_path):
    from mmengine.runner import save_checkpoint

    cfg = small(config("centerpoint_voxel01_4ch.py"))
    cfg.model.pts_middle_encoder.checkpoint = str(ours(tmp_path, "voxelnet", 4))
    detector = models.build(cfg.model)
    detector.init_weights()
    state = {"state_dict": detector.state_dict(), "meta": {"epoch": 20}}
    save_checkpoint(state, str(tmp_path / "epoch_20.pth"))
    found = from_mmdet3d(tmp_path / "epoch_20.pth", tmp_path / "back.safetensors")
    assert found.layout == "mmdet3d-lima-bench"
    back = Student(build_backbone("voxelnet", 4, bn_momentum=0.1))
    load_student(tmp_path / "back.safetensors", back, "voxelnet")
    for name, tensor in detector.pts_middle_encoder.state_dict().items():
        assert torch.equal(back.state_dict()[name], tensor)
