"""What the past lends by voxel and by projection, against the specification point by point."""

import numpy as np
import pytest
import torch

from lima_bench.lima.align import PlacedCloud, voxel_rows
from lima_bench.lima.batch import PairIndex
from lima_bench.lima.company import company_of
from lima_bench.lima.cross_view import observe
from lima_bench.lima.methods.cards.lima import LimaSettings
from lima_bench.lima.methods.lima import Lima
from lima_bench.lima.occlusion import nearest_depths, shown
from lima_bench.lima.recall import glance, recalled
from lima_bench.lima.synthetic import IMAGE_SIZE, alone, random_drive
from lima_bench.lima.synthetic_batch import collate
from lima_bench.lima.views import plan_views


def _glances(settings, points=200):
    """Two frames of a drive as one batch, whose features are exact in half precision."""
    scans = random_drive("a", frames=2, points=points)
    plan = plan_views(Lima, settings, [one.input for one in alone(scans)], np.random.default_rng(0))
    assert not company_of(Lima, settings).offsets
    batch = collate(scans, plan, dtype=torch.float64)
    grids = batch.images.grids.half().double()
    return batch, grids, [glance(batch, number, grids, settings) for number in (0, 1)]


def _lent(settings):
    """{point of the second frame: what the first lends it}."""
    batch, grids, (then, ours) = _glances(settings)
    past = recalled(ours, 0, then.keyframe(), settings)
    sight = past.sight.unpacked(torch.float64)
    features = sight.features(0, len(sight)).numpy()
    rows = past.rows.tolist()
    assert past.age == 1 and len(rows) == len(ours.xyz)
    return batch, grids, {point: features[row] for point, row in enumerate(rows) if row >= 0}


def _unified(batch, grids, scan):
    """{point of the scan: mean of its cameras' features}."""
    start, stop = batch.scans[scan].start, batch.scans[scan].stop
    kept = (batch.pairs.point >= start) & (batch.pairs.point < stop)
    columns = (batch.pairs.point - start, batch.pairs.image, batch.pairs.row, batch.pairs.col)
    pairs = PairIndex(*(column[kept] for column in columns))
    sight = observe(grids, pairs, IMAGE_SIZE, "mean")
    features = sight.features(0, len(sight)).numpy()
    return dict(zip(sight.point.tolist(), features, strict=True))


def test_a_voxel_lends_the_mean_of_its_past_points():
    settings = LimaSettings(align="voxel", voxel_m=4.0)
    batch, grids, lent = _lent(settings)
    seen = _unified(batch, grids, 0)
    then, now = (batch.xyz[scan.start : scan.stop].double().numpy() for scan in batch.scans)
    carry = np.linalg.inv(batch.scans[1].lidar_to_global) @ batch.scans[0].lidar_to_global.numpy()
    cells = {}
    for point, feature in seen.items():
        place = carry[:3, :3] @ then[point] + carry[:3, 3]
        cells.setdefault(tuple(np.floor(place / 4.0)), []).append(feature)
    expected = {
        point: np.mean(cells[cell], axis=0)
        for point, cell in enumerate(map(tuple, np.floor(now / 4.0)))
        if cell in cells
    }
    assert lent.keys() == expected.keys()
    assert 20 < len(lent) < len(now)
    assert max(map(len, cells.values())) > 1
    for point, feature in lent.items():
        np.testing.assert_allclose(feature, expected[point], rtol=1e-12)


def test_the_largest_of_cameras_is_averaged_over_a_voxel():
    """``max`` unifies cameras of a point; points of a voxel are averaged all the same."""
    _, _, (then, _) = _glances(LimaSettings(align="voxel", cva="max"))
    features = then.now.features(0, len(then.now))
    found = then.now.averaged(torch.zeros(len(then.now), dtype=torch.int64), 1)
    torch.testing.assert_close(found.features(0, 1)[0], features.mean(0))


@pytest.mark.parametrize("cva", ["mean", "off", "nearest_center"])
def test_projection_reads_the_past_images_where_the_point_would_be(cva):
    settings = LimaSettings(align="reproject", cva=cva)
    batch, grids, lent = _lent(settings)
    lenses = batch.images.lenses
    images = [n for n, scan in enumerate(lenses.scan.tolist()) if scan == 0]
    ours = batch.scans[1]
    expected, height, width = {}, *IMAGE_SIZE
    for point, place in enumerate(batch.xyz[ours.start : ours.stop].double().numpy()):
        pairs = []
        for image in images:
            to_global = (
                batch.scans[0].lidar_to_global.numpy() @ lenses.camera_to_lidar[image].numpy()
            )
            moved = np.linalg.inv(to_global) @ ours.lidar_to_global.numpy() @ [*place, 1]
            pixel = lenses.intrinsic[image].numpy() @ moved[:3]
            u, v = pixel[:2] / pixel[2]
            if moved[2] > 1 and 0 < u < width - 1 and 0 < v < height - 1:
                pairs.append((0, image, round(v), round(u)))
        if pairs:
            index = PairIndex(*torch.tensor(pairs).T)
            expected[point] = observe(grids, index, IMAGE_SIZE, cva).features(0, 1)[0].numpy()
    assert lent.keys() == expected.keys()
    assert len(lent) > 10
    for point, feature in lent.items():
        np.testing.assert_allclose(feature, expected[point], rtol=1e-10)


def test_what_is_kept_for_projection_is_images_in_half_precision():
    _, grids, (then, _) = _glances(LimaSettings(align="reproject"))
    frame = then.keyframe()
    assert frame.sight.grids.dtype == torch.float16 and len(frame.xyz) == 0
    assert torch.equal(frame.sight.grids, grids[:3].half().flatten(0, 2))
    _, grids, (_, now) = _glances(LimaSettings(align="reproject"))
    assert torch.equal(now.keyframe().sight.grids, grids[3:].half().flatten(0, 2))


def _image(values):
    return torch.tensor(values)


def test_points_behind_the_nearest_of_their_cell_are_hidden():
    camera, row, col = _image([0, 0, 0, 1]), _image([0, 7, 8, 0]), _image([0, 7, 0, 0])
    depth = torch.tensor([10.0, 11.5, 11.5, 50.0])
    nearest = nearest_depths(camera, row, col, depth, (2, 12, 20))
    assert nearest.shape == (2, 2, 3)
    assert nearest[0, 0, 0] == 10 and nearest[0, 1, 0] == 11.5 and nearest[1, 1, 2].isinf()
    assert shown(nearest, camera, row, col, depth).tolist() == [True, False, True, True]
    nearer = torch.tensor([10.0, 10.9, 11.5, 50.0])
    assert shown(nearest, camera, row, col, nearer).all()


def _wall():
    """Two points on one ray of the first camera, and one beside them."""
    scan = random_drive("a", frames=1, points=3)[0]
    xyz = np.array([[4, 0, 0], [12, 0.1, 0], [12, 4, 0]], np.float32)
    point, camera = np.arange(3), np.zeros(3, np.int64)
    ahead, right, down = xyz[:, 0], -xyz[:, 1], -xyz[:, 2]
    row, col = np.rint(24 * down / ahead + 7.5), np.rint(24 * right / ahead + 11.5)
    pairs = type(scan.pairs)(point, camera, row.astype(np.int64), col.astype(np.int64))
    return type(scan)(
        "a", 0, xyz, scan.pose, pairs, scan.grids, scan.superpixels, np.zeros(3, np.int64)
    )


@pytest.mark.parametrize("align", ["nn", "voxel", "reproject"])
@pytest.mark.parametrize(("occlusion", "seen"), [("none", [0, 1, 2]), ("zbuffer", [0, 2])])
def test_hidden_points_are_not_seen_and_lend_nothing(occlusion, seen, align):
    settings = LimaSettings(align=align, occlusion=occlusion, voxel_m=0.05, radius_m=0.05)
    batch = collate([_wall()], dtype=torch.float64)
    ours = glance(batch, 0, batch.images.grids, settings)
    assert ours.now.point.tolist() == seen
    past = recalled(ours, 0, ours.keyframe(), settings)
    assert torch.nonzero(past.rows >= 0).squeeze(1).tolist() == seen


def test_stray_points_far_away_find_their_voxels():
    past = PlacedCloud(np.array([[4e8, -3e8, 1e7], [1, 1, 1], [1.2, 1, 1]], np.float32), np.eye(4))
    now = PlacedCloud(np.array([[4e8, -3e8, 1e7], [-1, 1, 1], [1.3, 1, 1]], np.float32), np.eye(4))
    group, rows, n_groups = voxel_rows(now, past, 0.5)
    assert n_groups == 2 and group[1] == group[2] != group[0]
    assert rows.tolist() == [group[0], -1, group[1]]


@pytest.mark.parametrize(("now", "then"), [(0, 3), (3, 0), (0, 0)])
def test_empty_clouds_share_no_voxel(now, then):
    clouds = [PlacedCloud(np.ones((n, 3), np.float32), np.eye(4)) for n in (now, then)]
    group, rows, n_groups = voxel_rows(*clouds, 0.5)
    assert len(group) == then and rows.tolist() == [-1] * now and n_groups == min(then, 1)
