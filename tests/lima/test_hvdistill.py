"""HVDistill against SLidR on the image plane, and against its definition on the ground."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError

from lima_bench.lima.backbones.catalogue import build_backbone
from lima_bench.lima.batch import Moment
from lima_bench.lima.bounded import voxelise_bounded
from lima_bench.lima.columns import KERNELS
from lima_bench.lima.methods.cards.hvdistill import HvdistillSettings
from lima_bench.lima.methods.cards.slidr import SlidrSettings
from lima_bench.lima.methods.hvdistill import Hvdistill
from lima_bench.lima.methods.slidr import Slidr
from lima_bench.lima.recipes import GridBounds, VoxelSettings
from lima_bench.lima.student import Student
from lima_bench.lima.synthetic import (
    GridTeacher,
    TinyStudent,
    alone,
    random_drive,
    without_pairs,
)
from lima_bench.lima.synthetic_batch import collate
from lima_bench.lima.views import ViewPlan, plan_views

LATE = Moment(step=9, steps_per_epoch=2, total_steps=10)
SMALL = {"width": 6, "inner": 8}


def _method(**settings):
    torch.manual_seed(0)
    chosen = HvdistillSettings(**{**SMALL, **settings})
    return Hvdistill(chosen, GridTeacher(), TinyStudent()).double()


def _scans(names="ab", points=40, index=0):
    return [random_drive(name, frames=3, points=points)[index] for name in names]


def _batch(scans=None, moment=LATE, **options):
    scans = scans or _scans()
    inputs = [one.input for one in alone(scans)]
    plan = plan_views(Hvdistill, HvdistillSettings(), inputs, np.random.default_rng(0))
    return collate(scans, plan, **{"dtype": torch.float64, "moment": moment, **options})


def _loss(method, batch, seed=1):
    torch.manual_seed(seed)  # of dropout
    return method(batch)


def test_the_image_plane_is_slidr():
    method, batch = _method(), _batch()
    slidr = Slidr(SlidrSettings(width=6), GridTeacher(), TinyStudent()).double()
    slidr.student.load_state_dict(method.student.state_dict())
    slidr.point_head.load_state_dict(method.point_head.state_dict())
    slidr.pixel_head.load_state_dict(method.pixel_head.state_dict())
    one, other = _loss(method, batch).terms["plane"], slidr(batch).total
    torch.testing.assert_close(one, other)
    for ours, theirs in zip(
        torch.autograd.grad(one, [*method.student.parameters(), method.pixel_head.weight]),
        torch.autograd.grad(other, [*slidr.student.parameters(), slidr.pixel_head.weight]),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


def _columns(columns, features, xyz, view):
    """By the book: (view, x, y, z) of each column and its feature, block by block."""
    places = [(v, *cell) for v, cell in zip(view, np.floor(xyz / 0.1).astype(int), strict=True)]
    for number, (kernel, convolution) in enumerate(zip(KERNELS, columns.convolutions, strict=True)):
        if number:
            norm = columns.norms[number - 1]
            features = F.batch_norm(features, None, None, norm.weight, norm.bias, training=True)
        blocks = {}
        for feature, (v, *place) in zip(features, places, strict=True):
            base = tuple(int(n) // k for n, k in zip(place, kernel, strict=True))
            i, j, k = (int(n) % s for n, s in zip(place, kernel, strict=True))
            sent = feature @ convolution.weight[i + kernel[0] * (j + kernel[1] * k)]
            blocks[v, *base] = blocks.get((v, *base), convolution.bias) + sent
        places = list(blocks)
        features = torch.stack([blocks[place] for place in places])
    return places, features


def _laid_out(batch, depth, context):
    """By the book: (view, x, y) to the sum of what all image cells send there."""
    lenses, (high, wide) = batch.images.lenses, batch.images.size
    images, n_depths, h, w = depth.shape
    numbers = np.stack(np.meshgrid(*map(np.arange, (images, n_depths, h, w)), indexing="ij"), -1)
    found = {}
    for image, n, row, col in numbers.reshape(-1, 4).tolist():
        pixel = np.array([col * (wide - 1) / (w - 1), row * (high - 1) / (h - 1), 1.0])
        ray = np.linalg.inv(lenses.intrinsic[image].numpy()) @ pixel * (1.0 + 0.5 * n)
        view = int(lenses.scan[image])
        moved = batch.motion[view].numpy() @ lenses.camera_to_lidar[image].numpy()
        x, y, z = (moved @ np.append(ray, 1.0))[:3]
        if -10 <= z < 10:
            cell = view, int(np.floor((x + 51.2) / 0.4)), int(np.floor((y + 51.2) / 0.4))
            found.setdefault(cell, []).append(
                depth[image, n, row, col] * context[image, :, row, col]
            )
    return {cell: torch.stack(parts).sum(0) for cell, parts in found.items()}


def test_value_and_gradients_on_the_ground_equal_the_definition(monkeypatch):
    method, batch = _method(), _batch(_scans(points=24))
    seen = {}
    ground = method._ground

    def spy(batch, lenses, cells, points, depth, context):
        seen.update(cells=cells, points=points, depth=depth, context=context)
        return ground(batch, lenses, cells, points, depth, context)

    monkeypatch.setattr(method, "_ground", spy)
    found = _loss(method, batch).terms["ground"]
    first = batch.voxels.first
    view, xyz = batch.view[first].tolist(), batch.voxels.xyz[first].numpy()
    places, features = _columns(method.columns, seen["points"], xyz, view)
    bev = _laid_out(batch, seen["depth"], seen["context"])
    nothing = torch.zeros(6, dtype=torch.float64)
    anchors = F.normalize(features, dim=1)
    reached = [bev.get((v, x + 128, y + 128), nothing) for v, x, y, _ in places]
    assert any(one.any() for one in reached)
    candidates = F.normalize(torch.stack(reached), dim=1)
    wanted = 0.25 * F.cross_entropy(anchors @ candidates.T / 0.07, torch.arange(len(anchors)))
    torch.testing.assert_close(found, wanted)
    weights = [p for p in method.parameters() if p.requires_grad]
    ours, theirs = (
        torch.autograd.grad(loss, weights, allow_unused=True, retain_graph=True)
        for loss in (found, wanted)
    )
    for one, other in zip(ours, theirs, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-9)


def test_depth_is_sixty_times_the_cross_entropy_of_its_bins(monkeypatch):
    method, batch = _method(), _batch()
    seen = {}
    network = method.depth_net.forward
    monkeypatch.setattr(
        method.depth_net, "forward", lambda *given: seen.setdefault("out", network(*given))
    )
    found = _loss(method, batch).terms["depth"]
    depth, _ = seen["out"]
    lenses, pairs = batch.images.lenses, batch.pairs
    pixels, cells = {}, {}
    for n, point in enumerate(pairs.point.tolist()):
        image = int(pairs.image[n])
        way = batch.xyz[point].double() - lenses.camera_to_lidar[image, :3, 3]
        place = image, int(pairs.row[n]), int(pairs.col[n])
        pixels[place] = float(way @ lenses.camera_to_lidar[image, :3, 2])
    for (image, row, col), ahead in pixels.items():
        cell = image, row // 4, col // 4
        cells[cell] = min(ahead, cells.get(cell, np.inf))
    terms = []
    for (image, row, col), ahead in cells.items():
        number = int(np.floor((ahead - 0.5) / 0.5)) - 1
        if 0 <= number < 118:
            p = depth[image, :, row, col]
            terms.append(F.binary_cross_entropy(p, F.one_hot(torch.tensor(number), 118).double()))
    assert terms
    torch.testing.assert_close(found, 60 * torch.stack(terms).mean())


def test_the_bridge_is_two_convolutions_of_upsampled_unit_embeddings():
    bridge = _method().bridge
    grids = torch.randn(3, 4, 6, 6, dtype=torch.float64, requires_grad=True)
    maps = F.interpolate(
        grids.permute(0, 3, 1, 2), scale_factor=4, mode="bilinear", align_corners=True
    )
    weight = bridge.patches.weight.view(12, 2, 2, 6).permute(0, 3, 1, 2)
    halved = F.conv2d(F.normalize(maps, dim=1), weight, bridge.patches.bias, stride=2)
    found, wanted = bridge(grids), bridge.rest(halved)
    torch.testing.assert_close(found, wanted)
    ours, theirs = (torch.autograd.grad(y.square().sum(), grids)[0] for y in (found, wanted))
    torch.testing.assert_close(ours, theirs)


def test_points_outside_the_box_do_not_say_how_far_it_is():
    scans = _scans()
    high = [replace(scan, xyz=scan.xyz + np.float32([0, 0, 20])) for scan in scans]
    assert _loss(_method(), _batch(high)).terms["depth"].item() == 0
    assert _loss(_method(), _batch(scans)).terms["depth"].item() > 0


def test_the_ground_counts_from_a_fifth_of_the_run_on():
    names = [list(_method()(_batch(moment=Moment(step, 2, 10))).terms) for step in (0, 1, 2, 9)]
    assert names == [["plane", "depth"]] * 2 + [["plane", "depth", "ground"]] * 2


def test_terms_reach_what_they_are_about():
    reached = {}
    for term in ("plane", "depth", "ground"):
        method = _method()
        _loss(method, _batch()).terms[term].backward()
        reached[term] = {
            ".".join(name.split(".")[: 2 if name.startswith("depth_net") else 1])
            for name, p in method.named_parameters()
            if p.grad is not None and p.grad.any()
        }
    images = {"pixel_head", "bridge", "depth_net.reduce", "depth_net.depth", "depth_net.depth_gate"}
    images |= {"depth_net.entries_norm"}
    assert reached["plane"] == {"student", "point_head", "pixel_head"}
    assert reached["depth"] == images
    points = {"student", "point_head", "columns"}
    assert reached["ground"] == images | points | {"depth_net.context", "depth_net.context_gate"}


def test_a_step_leaves_the_teacher_alone():
    method = _method()
    teacher = method.teacher.gain.clone()
    optimiser = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], lr=0.1)
    _loss(method, _batch()).total.backward()
    optimiser.step()
    assert torch.equal(method.teacher.gain, teacher)


def test_only_points_in_the_box_are_shown():
    scan = _scans("a")[0]
    xyz = scan.xyz.copy()
    xyz[:5] = [(51.3, 0, 0), (0, -51.3, 0), (0, 0, -5.1), (0, 0, 3.1), (51.1, -51.1, 2.9)]
    given = alone([replace(scan, xyz=xyz)])[0].input
    plan = Hvdistill.plan_views(HvdistillSettings(), [given], np.random.default_rng(0))
    (part,) = plan.views[0].parts
    assert part[1].tolist() == [4, *range(5, len(xyz))]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"depth_from_m": 60.0}, "depth_to_m"),
        ({"lowest_m": 3.0}, "lowest_m"),
        ({"half_extent_m": 51.3}, "whole number"),
        ({"lattice_m": 30.0}, "whole number"),
        ({"inner": 30}, "multiple of 4"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(changes, complaint):
    with pytest.raises(ValidationError, match=complaint):
        HvdistillSettings(**changes)


def test_teachers_of_any_grid_and_width_are_welcome():
    """The published sizes follow from those of a dilated ResNet-50."""
    teacher = GridTeacher(2048)
    method = Hvdistill(HvdistillSettings(), teacher, TinyStudent())
    assert method.bridge.patches.weight.shape == (128, 2 * 2 * 64)
    assert method.bridge.rest[2].weight.shape == (2048, 128, 3, 3)
    assert method.depth_net.context.weight.shape == (64, 256, 1, 1)
    assert method.bins.count == 118
    assert method.grid.side == 256
    assert method.bridge(torch.zeros(2, 3, 5, 64)).shape == (2, 2048, 3, 5)


@pytest.mark.parametrize("odd", ["unseen", "all unseen", "no segments", "one scan", "one image"])
def test_odd_batches_are_survived(odd):
    first, second = _scans()
    batch = {
        "unseen": lambda: _batch([without_pairs(first), second]),
        "all unseen": lambda: _batch([without_pairs(first), without_pairs(second)]),
        "no segments": _batch,
        "one scan": lambda: _batch([first]),
        "one image": lambda: collate(
            [first],
            ViewPlan(Hvdistill.plan_views(*_alone(first)).views, ((1,),)),
            dtype=torch.float64,
            moment=LATE,
        ),
    }[odd]()
    if odd == "no segments":
        nowhere = torch.full_like(batch.images.superpixels, -1)
        batch = replace(batch, images=replace(batch.images, superpixels=nowhere))
    method = _method()
    loss = _loss(method, batch)
    loss.total.backward()
    assert loss.total.isfinite()
    assert all(p.grad is None or p.grad.isfinite().all() for p in method.parameters())
    if odd in ("no segments", "all unseen"):
        assert loss.terms["plane"].item() == 0
    if odd == "all unseen":
        assert loss.terms["depth"].item() == 0


def _alone(scan):
    return HvdistillSettings(), [alone([scan])[0].input], np.random.default_rng(0)


def test_same_seed_same_loss():
    one, other = (_loss(_method(), _batch()).total.item() for _ in range(2))
    assert one == other


def test_a_run_that_was_saved_goes_on_as_if_it_had_not_been():
    steps = [_batch(_scans(index=n % 3), Moment(n, 2, 6)) for n in range(4)]
    whole = _run(_method(), steps)
    first = _method()
    losses = _run(first, steps[:2])
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    torch.manual_seed(9)
    second = Hvdistill(HvdistillSettings(**SMALL), GridTeacher(), TinyStudent()).double()
    second.load_state_dict(torch.load(file, weights_only=True))
    assert losses + _run(second, steps[2:]) == whole


def _run(method, steps):
    optimiser = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], lr=0.01)
    found = []
    for batch in steps:
        loss = _loss(method, batch, seed=batch.moment.step).total
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        found.append(loss.item())
    return found


def test_a_birds_eye_student_learns_by_the_same_code():
    batch = _batch(dtype=torch.float32)
    voxels = batch.voxels
    bounds = GridBounds(lower=(-25.6, -25.6, -5.0), upper=(25.6, 25.6, 3.0))
    settings = VoxelSettings(
        kind="cartesian", size=(0.2, 0.2, 0.2), rounding="floor", bounds=bounds
    )
    xyz = voxels.xyz.float().numpy()
    features = np.column_stack([xyz, np.ones(len(xyz), dtype=np.float32)])
    bounded = voxelise_bounded(
        xyz, features, batch.view.numpy(), settings, n_clouds=voxels.n_clouds
    )
    torch.manual_seed(0)
    student = Student(build_backbone("voxelnet", 4, bn_momentum=0.05))
    method = Hvdistill(HvdistillSettings(**SMALL), GridTeacher(), student)
    loss = _loss(method, replace(batch, voxels=bounded))
    loss.total.backward()
    assert loss.total.isfinite()
    assert all(p.grad is not None and p.grad.any() for p in student.parameters())
