"""nuScenes: what was written is read, in the order that label shares depend on."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lima_bench.common.errors import UserError
from lima_bench.datasets.images import read_image
from lima_bench.datasets.nuscenes.annotations import inside
from lima_bench.datasets.nuscenes.reader import NuScenes
from lima_bench.datasets.nuscenes.writer import write_recording, write_tables
from lima_bench.datasets.sample import IGNORE, Boxes
from lima_bench.datasets.world.labels import NUSCENES_RAW, SCORED_16, Label
from lima_bench.datasets.world.recording import Recording

Written = tuple[Path, list[Recording]]


@pytest.fixture
def copied(nuscenes_root: Written, tmp_path: Path) -> Path:
    """A copy that a test may break."""
    return Path(shutil.copytree(nuscenes_root[0], tmp_path / "nuscenes"))


def edit(path: Path, change: Callable[[list], list | None]) -> None:
    rows = json.loads(path.read_text())
    path.write_text(json.dumps(change(rows) or rows))


def test_reads_what_was_written(nuscenes_root: Written) -> None:
    root, drives = nuscenes_root
    dataset = NuScenes()
    frames = dataset.frames(root, "train")
    moments = [m for d in drives if d.split == "train" for m in d.moments]
    assert len(frames) == len(moments)
    for frame, moment in zip(frames, moments, strict=True):
        sample, scan = dataset.load(frame), moment.scan
        assert sample.frame is frame
        assert frame.timestamp_s == pytest.approx(scan.timestamp_us * 1e-6, abs=1e-6)
        np.testing.assert_array_equal(sample.points, scan.points)
        np.testing.assert_array_equal(sample.intensity, np.rint(scan.intensity * 255))
        np.testing.assert_array_equal(sample.ring, scan.ring)
        np.testing.assert_array_equal(sample.labels, SCORED_16[scan.label])
        np.testing.assert_array_equal(sample.moving, scan.moving)
        assert sample.unknown_labels == {}
        np.testing.assert_allclose(
            sample.lidar_to_global, scan.ego_to_global @ scan.lidar_to_ego, atol=1e-9
        )


def test_reads_written_cameras(nuscenes_root: Written) -> None:
    root, drives = nuscenes_root
    dataset = NuScenes()
    frames = dataset.frames(root, "val")
    ids = set()
    for frame, moment in zip(frames, drives[1].moments, strict=True):
        cameras = dataset.load(frame).cameras
        assert [camera.name for camera in cameras] == ["CAM_FRONT", "CAM_BACK"]  # the card's order
        for camera in cameras:
            picture = next(p for p in moment.pictures if p.camera == camera.name)
            np.testing.assert_array_equal(camera.intrinsic, picture.intrinsic)
            np.testing.assert_allclose(
                camera.camera_to_global, picture.ego_to_global @ picture.camera_to_ego, atol=1e-9
            )
            pixels = read_image(camera)
            assert pixels.shape == (48, 80, 3) and pixels.dtype == np.uint8
            assert np.abs(pixels.astype(int) - picture.pixels).mean() < 3  # JPEG
            ids.add(camera.id)
    assert len(ids) == 6


def test_reads_written_boxes(nuscenes_root: Written) -> None:
    root, drives = nuscenes_root
    dataset = NuScenes()
    for i, frame in enumerate(dataset.frames(root, "val")):
        sample, moment = dataset.load(frame), drives[1].moments[i]
        boxes = sample.boxes
        assert boxes is not None and sample.lidar_to_global is not None
        turn = sample.lidar_to_global[:3, :3]
        for b, truth in enumerate(moment.annotations):
            centre = sample.lidar_to_global @ [*boxes.centre[b], 1]
            np.testing.assert_allclose(centre[:3], truth.centre, atol=1e-9)
            np.testing.assert_allclose(boxes.size[b], truth.size)
            heading = turn @ [np.cos(boxes.yaw[b]), np.sin(boxes.yaw[b]), 0]
            np.testing.assert_allclose(
                np.arctan2(np.sin(np.arctan2(heading[1], heading[0]) - truth.yaw), 1), 0, atol=1e-3
            )
            # the car tilts by 0.01 rad, so a little of a velocity is lost along z
            np.testing.assert_allclose(
                np.linalg.norm(boxes.velocity[b]), np.linalg.norm(truth.velocity), rtol=1e-3
            )
            assert boxes.category[b] == truth.category
            assert boxes.moving[b] == truth.attribute.endswith(("moving", "with_rider"))
            assert boxes.n_points[b] == truth.n_lidar_points
            assert boxes.n_radar[b] == 0
    assert len(set(boxes.instance)) == len(moment.annotations)


def test_reads_radar_points(copied: Path) -> None:
    """The world has no RADAR; nuScenes counts its points beside those of the LiDAR."""
    (table,) = copied.glob("*/sample_annotation.json")
    counts: dict[str, int] = {}

    def count(rows: list) -> None:
        for number, row in enumerate(rows):
            row["num_radar_pts"] = counts[row["token"]] = 100 + number

    edit(table, count)
    dataset, found = NuScenes(), []
    for split in ("train", "val"):
        for frame in dataset.frames(copied, split):
            boxes = dataset.load(frame).boxes
            assert boxes is not None and boxes.n_radar.dtype == np.int64
            found += boxes.n_radar.tolist()
    assert sorted(found) == sorted(counts.values())


def test_moving_spares_the_road_under_a_moving_car(nuscenes_root: Written) -> None:
    """The fixture puts one road point inside a moving box."""
    root, drives = nuscenes_root
    sample = NuScenes().load(NuScenes().frames(root, "val")[0])
    assert sample.boxes is not None and sample.moving is not None
    hit = inside(sample.points.astype(float), sample.boxes, sample.boxes.moving, 0.1)
    road = drives[1].moments[0].scan.label == Label.ROAD
    assert (hit & road).sum() == 1 and not (sample.moving & road).any()


def test_inside_is_what_the_corners_say() -> None:
    """A point is in a turned box where all six faces have it behind them."""
    rng = np.random.default_rng(0)
    n = 5
    zeros, ones = np.zeros((n, 2)), np.ones(n, dtype=bool)
    boxes = Boxes(
        centre=rng.uniform(-6, 6, (n, 3)),
        size=rng.uniform(2, 6, (n, 3)),
        yaw=rng.uniform(-4, 4, n),
        velocity=zeros,
        category=("car",) * n,
        instance=("",) * n,
        moving=ones,
        n_points=ones.astype(np.int64),
        n_radar=ones.astype(np.int64),
    )
    which = np.array([True, False, True, True, False])
    points = rng.uniform(-9, 9, (3000, 3))
    expected = np.zeros(len(points), dtype=bool)
    for b in np.flatnonzero(which):
        cos, sin = np.cos(boxes.yaw[b]), np.sin(boxes.yaw[b])
        for axis, normal in enumerate(([cos, sin, 0], [-sin, cos, 0], [0, 0, 1])):
            depth = np.abs((points - boxes.centre[b]) @ normal) - boxes.size[b, axis] / 2 - 0.1
            behind = depth <= 0 if axis == 0 else behind & (depth <= 0)
        expected |= behind
    found = inside(points, boxes, which, 0.1)
    assert 50 < found.sum() < 2000
    np.testing.assert_array_equal(found, expected)
    assert not inside(points, boxes, np.zeros(n, dtype=bool), 0.1).any()


def test_scenes_come_in_file_order(nuscenes_root: Written) -> None:
    """SLidR's 1 % depends on the order of scene.json; sorting by name changes it."""
    root, _ = nuscenes_root
    frames = NuScenes().frames(root, "train")
    assert list(dict.fromkeys(f.sequence for f in frames)) == ["scene-0009", "scene-0005"]
    assert [f.index for f in frames] == [0, 1, 2, 0, 1, 2]
    assert len({f.id for f in frames}) == 6


def test_rows_may_come_in_any_order(copied: Path) -> None:
    """Only scene.json's order means something; sweeps never pass for keyframes."""
    dataset = NuScenes()
    before = [dataset.load(frame) for frame in dataset.frames(copied, "train")]
    for table in ("sample", "sample_data", "ego_pose", "calibrated_sensor", "sample_annotation"):
        edit(copied / f"v1.0-synth/{table}.json", lambda rows: rows[::-1])
    after = [dataset.load(frame) for frame in dataset.frames(copied, "train")]
    assert [s.frame for s in before] == [s.frame for s in after]
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one.points, other.points)
        np.testing.assert_array_equal(one.lidar_to_global, other.lidar_to_global)
        assert [c.id for c in one.cameras] == [c.id for c in other.cameras]
        assert one.boxes is not None and other.boxes is not None
        np.testing.assert_array_equal(one.boxes.centre, other.boxes.centre[::-1])


def test_splits_of_the_root_win(nuscenes_root: Written) -> None:
    root, _ = nuscenes_root
    dataset = NuScenes()
    assert {f.sequence for f in dataset.frames(root, "pretrain")} == {"scene-0005"}
    with pytest.raises(UserError, match="no nuscenes split") as error:
        dataset.frames(root, "mini_train")  # scene names of the world may equal published ones
    assert "Known: pretrain, train, val" in str(error.value)


def test_writing_twice_gives_equal_bytes(drive: Callable[..., Recording], tmp_path: Path) -> None:
    for name in ("a", "b"):
        rows = write_recording(drive("scene-0001"), tmp_path / name)
        write_tables([rows], tmp_path / name, pretrain=["scene-0001"])
    files = sorted(
        p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file()
    )
    assert len(files) > 20
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file
    assert NuScenes().manifest(tmp_path / "a") == NuScenes().manifest(tmp_path / "b")


def test_frames_without_pictures(drive: Callable[..., Recording], tmp_path: Path) -> None:
    drives = [drive("scene-0001", cameras=()), drive("scene-0002", seed=1)]
    write_tables([write_recording(d, tmp_path) for d in drives], tmp_path, pretrain=())
    dataset = NuScenes()
    assert [len(dataset.load(f).cameras) for f in dataset.frames(tmp_path, "train")] == [0] * 3 + [
        2
    ] * 3


def test_label_map_is_total() -> None:
    card = NuScenes.card
    assert set(card.labels) == set(card.raw_names) == set(range(32))
    assert set(card.labels.values()) - {IGNORE} == set(range(len(card.classes)))
    every = np.arange(1 << 16)
    assert np.isin(card.remap(every), [*range(16), IGNORE]).all()
    assert (card.remap(every[32:]) == IGNORE).all()
    np.testing.assert_array_equal(card.remap(NUSCENES_RAW), SCORED_16)
