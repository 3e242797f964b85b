"""A detector of mmdetection3d over a few metres, what it is fed, and a checkpoint of ours."""

import copy

import numpy as np
import torch

from lima_bench.downstream.mmdet3d.__main__ import CONFIGS
from lima_bench.lima.backbones.catalogue import build_backbone
from lima_bench.lima.backbones.sparse.norm import BatchNorm
from lima_bench.lima.bounded import voxelise_bounded
from lima_bench.lima.checkpoint import save_student
from lima_bench.lima.recipes import GridBounds, VoxelSettings
from lima_bench.lima.student import Student

SIDE, REACH, MOST = 128, 6.4, 200
"""Cells along x and y of a small grid of 0.1 m; where it ends, metres; peaks that are looked at."""

STOCK = {
    "voxelnet": {"block_type": "conv_module"},
    "voxelnet_residual": {
        "block_type": "basicblock",
        "encoder_channels": ((16, 16, 32), (32, 32, 64), (64, 64, 128), (128, 128)),
        "encoder_paddings": ((0, 0, 1), (0, 0, 1), (0, 0, [0, 1, 1]), (0, 0)),
    },
}
"""mmdetection3d's SparseEncoder: its own defaults, and its stock nuScenes configuration."""


def config(name="centerpoint_voxel01_5ch.py"):
    from mmengine.config import Config

    return Config.fromfile(CONFIGS / name)


def small(cfg):
    """The same detector over a few metres."""
    cfg = copy.deepcopy(cfg)
    reach, model = [-REACH, -REACH, -5.0, REACH, REACH, 3.0], cfg.model
    model.data_preprocessor.voxel_layer.point_cloud_range = reach
    model.pts_middle_encoder.sparse_shape = [41, SIDE, SIDE]
    model.pts_bbox_head.bbox_coder.pc_range = reach[:2]
    model.pts_bbox_head.bbox_coder.max_num = MOST  # no more than there are cells
    model.train_cfg.pts.point_cloud_range = reach
    model.train_cfg.pts.grid_size = [SIDE, SIDE, 40]
    model.test_cfg.pts.pc_range = reach[:2]
    return cfg


BOXES = [  # x, y, z of the middle, length, width, height, yaw, velocity; label
    ([1.0, 2.0, -0.5, 4.5, 1.9, 1.6, 0.4, 3.0, 1.0], 0),
    ([-3.0, -2.6, -0.3, 2.0, 0.8, 1.5, -1.2, 0.0, 0.5], 6),
    ([4.1, -4.2, -0.6, 0.7, 0.7, 1.8, 2.0, 1.0, 0.0], 8),
    ([-4.5, 4.1, -0.9, 0.5, 0.5, 1.0, 0.0, 0.0, 0.0], 9),
]


def frames(seed=0, channels=5):
    """Voxels of two frames and their boxes, which move from one frame to the other."""
    rng = np.random.default_rng(seed)
    clouds, boxes = [], []
    for frame in (0, 1):
        found = np.array([box for box, _ in BOXES], dtype=np.float32)
        found[:, :2] += 0.9 * frame
        boxes.append(found)
        inside = [box[:3] + rng.uniform(-0.5, 0.5, (80, 3)) * box[[3, 3, 5]] * 0.8 for box in found]
        ground = rng.uniform((-REACH, -REACH, -1.7), (REACH, REACH, -1.5), (300, 3))
        clouds.append(np.concatenate([*inside, ground]).astype(np.float32))
    xyz = np.concatenate(clouds)
    rest = rng.uniform(0, 1, (len(xyz), channels - 3))
    features = np.column_stack((xyz, rest)).astype(np.float32)
    bounds = GridBounds(lower=(-REACH, -REACH, -5.0), upper=(REACH, REACH, 3.0), spare_layers=1)
    grid = VoxelSettings(kind="cartesian", size=(0.1, 0.1, 0.2), rounding="floor", bounds=bounds)
    cloud = np.repeat([0, 1], [len(c) for c in clouds])
    return voxelise_bounded(xyz, features, cloud, grid, n_clouds=2), boxes


def as_inputs(voxels, boxes):
    """What a detector of mmdetection3d takes behind its voxel layer, which is compiled."""
    from mmdet3d.structures import Det3DDataSample, LiDARInstance3DBoxes
    from mmengine.structures import InstanceData

    samples = []
    for found in boxes:
        truth = InstanceData()
        tensor, middle = torch.from_numpy(found), (0.5, 0.5, 0.5)
        truth.bboxes_3d = LiDARInstance3DBoxes(tensor, box_dim=9, origin=middle)
        truth.labels_3d = torch.tensor([label for _, label in BOXES])
        sample = Det3DDataSample(metainfo={"box_type_3d": LiDARInstance3DBoxes})
        sample.gt_instances_3d = truth
        samples.append(sample)
    fed = {
        "voxels": voxels.features[:, None],  # one point a voxel, so that its mean is the feature
        "num_points": torch.ones(len(voxels.features)),
        "coors": voxels.coords[:, [0, 3, 2, 1]].int(),
    }
    return {"points": None, "voxels": fed, "imgs": None}, samples


def ours(tmp_path, name, channels, seed=0):
    """A checkpoint of ours whose statistics suit the frames; at the start outputs are nothing."""
    torch.manual_seed(seed)
    student = Student(build_backbone(name, channels, bn_momentum=0.1))
    norms = [module for module in student.modules() if isinstance(module, BatchNorm)]
    for norm in norms:
        norm.momentum = 1.0
        torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
        torch.nn.init.uniform_(norm.bias, -0.2, 0.2)
    with torch.no_grad():
        student.train().backbone.bird_eye(frames(channels=channels)[0])
    path = tmp_path / f"{name}.safetensors"
    save_student(path, student, {"backbone": name})
    return path


def n_parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())
