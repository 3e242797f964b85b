"""Level b: in mmdetection3d itself, with no compiled operator; level c: beside its own encoder.

Each test skips, with its reason, where the packages are absent.
"""

import copy

import numpy as np
import pytest
import torch

from lima_bench.datasets.nuscenes.reader import NuScenes
from lima_bench.downstream.mmdet3d.__main__ import CONFIGS
from lima_bench.downstream.mmdet3d.convert import PREFIX, from_mmdet3d, to_mmdet3d
from lima_bench.lima.backbones.catalogue import build_backbone
from lima_bench.lima.backbones.sparse.norm import BatchNorm
from lima_bench.lima.bounded import voxelise_bounded
from lima_bench.lima.checkpoint import load_student, save_student
from lima_bench.lima.recipes import GridBounds, VoxelSettings
from lima_bench.lima.student import Student
from tests.downstream.mmdet3d.mm_here import mmdet3d_or_skip, spconv_on_cpu, spconv_or_skip

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


@pytest.fixture(scope="module")
def models():
    """The registry, with our plug-in and everything else in it."""
    mmdet3d_or_skip()
    from mmdet3d.registry import MODELS
    from mmengine.registry import init_default_scope

    init_default_scope("mmdet3d")
    import lima_bench.downstream.mmdet3d.plugin  # noqa: F401

    return MODELS


@pytest.fixture
def spconv():
    """mmdetection3d with spconv, which its own encoder needs."""
    spconv_or_skip()
    with spconv_on_cpu():
        yield


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


# Level b: mmengine, mmcv (or mmcv-lite), mmdet and mmdet3d.


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


FACTS = NuScenes.card.detection


def our_head(cfg):
    from lima_bench.downstream.detection.centerpoint.head import CenterPointHead
    from lima_bench.downstream.detection.centerpoint.settings import (
        CenterPointRecipe,
        CenterPointSettings,
    )
    from lima_bench.downstream.detection.head import MapGrid

    nms = {"kind": "circle", "squared_m": tuple(cfg.model.test_cfg.pts.min_radius)}
    head = CenterPointSettings.model_validate({"score": 0.02, "best": MOST, "nms": nms})
    grid = MapGrid((-REACH, -REACH), (0.8, 0.8), (SIDE // 8, SIDE // 8))
    return CenterPointHead(
        512, CenterPointRecipe.model_validate({"head": head, "length": {"steps": 1}}), FACTS, grid
    )


THEIR_NAMES = {
    "offset": "reg", "height": "height", "size": "dim", "rotation": "rot", "velocity": "vel",
    "heatmap": "heatmap",
}  # fmt: skip
CLASSES = (
    "car", "truck", "construction_vehicle", "bus", "trailer", "barrier", "motorcycle", "bicycle",
    "pedestrian", "traffic_cone",
)  # fmt: skip
"""Labels of mmdetection3d's configuration; ours are the rows of the card."""


def maps_of(head, seed=0):
    """Maps of every group, with our names; parts of neighbouring cells, as a network's are."""
    torch.manual_seed(seed)
    features = torch.randn(2, 512, SIDE // 8, SIDE // 8)
    with torch.no_grad():
        return head.eval()(features)


def as_theirs(maps):
    """Copies: it writes into what it is given."""
    return tuple([{THEIR_NAMES[n]: t.clone() for n, t in group.items()}] for group in maps)


def test_losses_are_those_of_our_head(models):
    from lima_bench.downstream.detection.boxes import Truth

    cfg = small(config())
    theirs, head = models.build(cfg.model).pts_bbox_head, our_head(cfg)
    _, boxes = frames()
    _, samples = as_inputs(frames()[0], boxes)
    label = torch.tensor([FACTS.names.index(CLASSES[label]) for _, label in BOXES])
    truth = [Truth(torch.from_numpy(found), label) for found in boxes]
    maps = maps_of(head)
    runs = []
    for side in ("ours", "theirs"):
        own = tuple({n: t.clone().requires_grad_() for n, t in group.items()} for group in maps)
        if side == "ours":
            loss = head.loss(own, truth)
            heat, box = loss.terms["heatmap"], loss.terms["box"]
        else:
            found = theirs.loss_by_feat(as_theirs(own), [s.gt_instances_3d for s in samples])
            heat = sum(v for n, v in found.items() if n.endswith("heatmap"))
            box = sum(v for n, v in found.items() if n.endswith("bbox"))
        (heat + box).backward()
        runs.append((heat, box, [t.grad for group in own for t in group.values()]))
    (heat, box, gradients), (their_heat, their_box, their_gradients) = runs
    assert heat > 0.1 and box > 0.1
    torch.testing.assert_close(heat, their_heat, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(box, their_box, rtol=1e-5, atol=1e-5)
    for mine, other in zip(gradients, their_gradients, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-6)


def test_boxes_are_those_of_our_head(models):
    from mmdet3d.structures import LiDARInstance3DBoxes

    cfg = small(config())
    cfg.model.pts_bbox_head.bbox_coder.score_threshold = 0.02
    theirs, head = models.build(cfg.model).pts_bbox_head, our_head(cfg)
    maps = maps_of(head, seed=1)
    found = head.decode(maps)
    metas = [{"box_type_3d": LiDARInstance3DBoxes}] * 2
    wanted = theirs.predict_by_feat(as_theirs(maps), metas)
    for mine, other in zip(found, wanted, strict=True):
        assert len(mine.score) == len(other.scores_3d) > 20
        boxes = torch.cat([other.bboxes_3d.gravity_center, other.bboxes_3d.tensor[:, 3:]], 1)
        label = torch.tensor([FACTS.names.index(CLASSES[n]) for n in other.labels_3d.tolist()])
        order = torch.argsort(other.scores_3d, descending=True, stable=True)
        torch.testing.assert_close(mine.score, other.scores_3d[order], rtol=1e-5, atol=1e-6)
        assert torch.equal(mine.label, label[order])
        torch.testing.assert_close(mine.boxes, boxes[order], rtol=1e-4, atol=1e-4)


# Level c: CPU spconv too.


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
