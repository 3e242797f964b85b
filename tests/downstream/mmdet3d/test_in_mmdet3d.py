"""Level b, in mmdetection3d itself, without a compiled operator: what is built, how it begins."""

import copy

import numpy as np
import pytest
import torch

from tests.downstream.mmdet3d.small_detector import config, n_parameters, small


@pytest.mark.parametrize(
    ("name", "reach", "size"),
    [
        ("centerpoint_voxel01_4ch.py", 51.2, 711_872),
        ("centerpoint_voxel01_5ch.py", 51.2, 712_304),
        ("centerpoint_voxel0075_4ch.py", 54, 711_872),
        ("centerpoint_voxel0075_5ch.py", 54, 712_304),
    ],
)
def test_every_configuration_builds(name, reach, size, models, monkeypatch):
    monkeypatch.setenv("LIMA_BENCH_LABELS", "train_5")
    cfg = config(name)
    detector = models.build(cfg.model)
    assert n_parameters(detector.pts_middle_encoder) == size
    assert n_parameters(detector.pts_bbox_head) == 1_667_142
    assert n_parameters(detector) == 8_938_262 - 2_694_352 + size
    layers = cfg.model.pts_middle_encoder.sparse_shape
    assert layers[1] * cfg.model.train_cfg.pts.voxel_size[0] == pytest.approx(2 * reach)
    dataset = cfg.train_dataloader.dataset
    assert dataset.type == "CBGSDataset"
    assert dataset.dataset.ann_file == "nuscenes_infos_train_5.pkl"
    sampler = dataset.dataset.pipeline[3].db_sampler
    assert sampler.info_path == "data/nuscenes/nuscenes_dbinfos_train_5.pkl"
    assert sampler.sample_groups.car == 2  # and all that stands in the stock one
    assert cfg.test_dataloader.dataset.pipeline[1].test_mode is True
    assert cfg.model.test_cfg.pts.nms_type == "circle"


def test_the_sampler_of_objects_has_its_integer(models):
    assert np.dtype(np.long) == np.int64


def test_the_residual_network_can_be_asked_for(models):
    built = models.build(
        {
            "type": "LimaVoxelNet",
            "in_channels": 5,
            "sparse_shape": [41, 1024, 1024],
            "residual": True,
        }
    )
    assert n_parameters(built) == 2_694_352


def test_momentum_runs_as_intended(models):
    """The stock schedule's ends are ratios; ours are what they were meant to be."""
    from mmengine.optim import build_optim_wrapper
    from mmengine.registry import PARAM_SCHEDULERS

    cfg, per_epoch = config(), 50
    wrapper = build_optim_wrapper(torch.nn.Linear(1, 1), cfg.optim_wrapper)
    counted = [
        {
            **one,
            **{name: one[name] * per_epoch for name in ("T_max", "begin", "end")},
            "by_epoch": False,
            "convert_to_iter_based": False,
            "optimizer": wrapper,
        }
        for one in map(dict, cfg.param_scheduler)
    ]
    every = [PARAM_SCHEDULERS.build(one) for one in counted]
    seen = []
    for _ in range(20 * per_epoch):
        group = wrapper.optimizer.param_groups[0]
        seen.append((group["lr"], group["betas"][0]))
        wrapper.optimizer.step()
        for one in every:
            one.step()
    assert seen[0] == pytest.approx((1e-4, 0.95))
    assert seen[8 * per_epoch] == pytest.approx((1e-3, 0.85), rel=1e-3)
    assert seen[-1] == pytest.approx((1e-8, 0.95), rel=1e-3, abs=1e-7)


def test_heat_maps_begin_where_the_configuration_says(models):
    head = copy.deepcopy(small(config()).model.pts_bbox_head)
    settings = {"train_cfg": None, "test_cfg": None}
    repaired, stock = (
        models.build({**head, **settings, "type": kind})
        for kind in ("LimaCenterHead", "CenterHead")
    )
    biases = {}
    for name, built in (("repaired", repaired), ("stock", stock)):
        built.init_weights()
        biases[name] = torch.cat([task.heatmap[-1].bias for task in built.task_heads])
    assert torch.all(biases["repaired"] == -2.19)
    assert torch.all(biases["stock"].abs() < 0.1)  # the bug that is repaired is still there
