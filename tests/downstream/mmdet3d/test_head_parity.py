"""Level b: losses and boxes of mmdetection3d's head are those of ours."""

import torch

from lima_bench.datasets.nuscenes.reader import NuScenes
from tests.downstream.mmdet3d.small_detector import (
    BOXES,
    MOST,
    REACH,
    SIDE,
    as_inputs,
    config,
    frames,
    small,
)

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
