"""SemanticKITTI: what was written is read, real recordings give known counts."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lima_bench.datasets.images import read_image
from lima_bench.datasets.rigid import inverse
from lima_bench.datasets.sample import IGNORE
from lima_bench.datasets.semantickitti.reader import SemanticKitti
from lima_bench.datasets.semantickitti.writer import write_recording
from lima_bench.datasets.splits import IncompleteData
from lima_bench.datasets.world.labels import KITTI_MOVING_RAW, KITTI_RAW
from lima_bench.datasets.world.recording import LidarScan, Recording
from lima_bench.lima.pairs import image_points, project

Written = tuple[Path, list[Recording]]


def raw_ids(scan: LidarScan) -> np.ndarray:
    return np.where(scan.moving, KITTI_MOVING_RAW[scan.label], KITTI_RAW[scan.label])


@pytest.fixture
def copied(semantickitti_root: Written, tmp_path: Path) -> Path:
    """A copy that a test may break."""
    return Path(shutil.copytree(semantickitti_root[0], tmp_path / "semantickitti"))


@pytest.fixture
def sequence(copied: Path) -> Path:
    return copied / "dataset" / "sequences" / "08"


# --- what was written


def test_reads_what_was_written(semantickitti_root: Written) -> None:
    root, drives = semantickitti_root
    dataset = SemanticKitti()
    frames = dataset.frames(root, "val")
    assert [frame.id for frame in frames] == ["08/000000", "08/000001", "08/000002"]
    first = drives[1].moments[0].scan
    start = np.linalg.inv(first.ego_to_global @ first.lidar_to_ego)
    for frame, moment in zip(frames, drives[1].moments, strict=True):
        sample, scan = dataset.load(frame), moment.scan
        assert frame.timestamp_s == pytest.approx((scan.timestamp_us - first.timestamp_us) * 1e-6)
        np.testing.assert_array_equal(sample.points, scan.points)
        np.testing.assert_allclose(sample.intensity, scan.intensity, atol=0.0051 + 0.01)
        assert sample.intensity.max() <= np.float32(0.99)
        np.testing.assert_array_equal(sample.labels, dataset.card.remap(raw_ids(scan)))
        assert sample.unknown_labels == {}
        moves = scan.moving & (KITTI_MOVING_RAW != KITTI_RAW)[scan.label]
        np.testing.assert_array_equal(sample.moving, moves)
        assert moves.any()
        pose = start @ scan.ego_to_global @ scan.lidar_to_ego
        np.testing.assert_allclose(sample.lidar_to_global, pose, atol=1e-9)


def test_reads_written_camera(semantickitti_root: Written) -> None:
    root, drives = semantickitti_root
    dataset = SemanticKitti()
    first = drives[1].moments[0].scan
    start = np.linalg.inv(first.ego_to_global @ first.lidar_to_ego)
    for frame, moment in zip(dataset.frames(root, "val"), drives[1].moments, strict=True):
        (camera,) = dataset.load(frame).cameras
        (picture,) = moment.pictures
        assert camera.name == "image_2" and camera.id == f"{frame.id}/image_2"
        np.testing.assert_allclose(camera.intrinsic, picture.intrinsic)
        np.testing.assert_allclose(
            camera.camera_to_global,
            start @ picture.ego_to_global @ picture.camera_to_ego,
            atol=1e-9,
        )
        np.testing.assert_array_equal(read_image(camera), picture.pixels)


def test_instances_lie_in_the_high_half(semantickitti_root: Written) -> None:
    root, drives = semantickitti_root
    values = np.fromfile(root / "dataset/sequences/03/labels/000001.label", "<u4")
    scan = drives[0].moments[1].scan
    np.testing.assert_array_equal(values >> 16, scan.instance)
    np.testing.assert_array_equal(values & 0xFFFF, raw_ids(scan))
    assert (values & 0xFFFF).max() > 255  # a byte would lose the moving classes


def test_both_layouts(copied: Path) -> None:
    before = [f.id for f in SemanticKitti().frames(copied, "train")]
    (copied / "dataset" / "sequences").rename(copied / "sequences")
    assert [f.id for f in SemanticKitti().frames(copied, "train")] == before


def test_projection_is_p2_tr(semantickitti_root: Written) -> None:
    """The chain through the global frame equals the documented P2 . Tr . x."""
    root, _ = semantickitti_root
    sample = SemanticKitti().load(SemanticKitti().frames(root, "train")[2])
    lines = (root / "dataset/sequences/03/calib.txt").read_text().splitlines()
    entry = {k: np.array(v.split(), float).reshape(3, 4) for k, v in (x.split(":") for x in lines)}
    assert set(entry) == {"P0", "P1", "P2", "P3", "Tr"}
    tr = np.vstack([entry["Tr"], [0, 0, 0, 1]])
    homogeneous = np.column_stack([sample.points.astype(np.float64), np.ones(len(sample.points))])
    pixel = homogeneous @ tr.T @ entry["P2"].T
    ours, depth = image_points(sample, sample.cameras[0])
    ahead = pixel[:, 2] > 1
    assert ahead.sum() > 20
    np.testing.assert_allclose(depth, pixel[:, 2], atol=1e-6)
    np.testing.assert_allclose(ours[ahead], (pixel[:, :2] / pixel[:, 2:])[ahead], atol=1e-4)


def test_label_map_is_total() -> None:
    card = SemanticKitti.card
    assert set(card.labels) == set(card.raw_names) and len(card.labels) == 34
    assert set(card.labels.values()) - {IGNORE} == set(range(19))
    assert (card.remap(np.setdiff1d(np.arange(1 << 16), list(card.labels))) == IGNORE).all()
    # Moving ids mean what the still ones mean, though their order differs (253 is bicyclist).
    for raw in card.moving_raw:
        still = card.raw_names[raw].removeprefix("moving-")
        (twin,) = [i for i, name in card.raw_names.items() if name == still]
        assert card.labels[raw] == card.labels[twin], still
    assert [card.labels[i] for i in (253, 254, 1, 52, 99, 60)] == [6, 5, IGNORE, IGNORE, IGNORE, 8]
    named = {name: i for i, name in enumerate(card.class_names)}
    for raw, name in card.raw_names.items():
        if name in named:
            assert card.labels[raw] == named[name]


def test_splits_and_test_sequences(semantickitti_root: Written, tmp_path: Path) -> None:
    card = SemanticKitti.card
    assert card.splits["train"] == ("00", "01", "02", "03", "04", "05", "06", "07", "09", "10")
    assert card.splits["val"] == ("08",) and card.splits["test"][-1] == "21"
    source = semantickitti_root[0] / "dataset/sequences/08"
    shutil.copytree(source, tmp_path / "sequences/21", ignore=shutil.ignore_patterns("labels"))
    with pytest.warns(IncompleteData, match="1 of 11 sequences"):
        frames = SemanticKitti().frames(tmp_path, "test")
    sample = SemanticKitti().load(frames[0])
    assert sample.labels is None and sample.moving is None and sample.unknown_labels == {}


# --- what the format cannot say


def test_refuses_what_the_format_cannot_say(
    drive: Callable[..., Recording], tmp_path: Path
) -> None:
    late = drive("00", cameras=(("image_2", 30_000, 0.0),))
    with pytest.raises(ValueError, match="one pose a scan"):
        write_recording(late, tmp_path)
    good = drive("00", cameras=(("image_2", 0, 0.0),))
    some = (*good.moments[:2], replace(good.moments[2], pictures=()))
    with pytest.raises(ValueError, match="for all scans or for none"):
        write_recording(replace(good, moments=some), tmp_path)
    huge = replace(good.moments[0].scan, instance=good.moments[0].scan.instance + (1 << 16))
    with pytest.raises(ValueError, match="16 bits"):
        write_recording(replace(good, moments=(replace(good.moments[0], scan=huge),)), tmp_path)
    assert not list(tmp_path.iterdir())


# --- real recordings


def test_real_recording(samples: Path, tmp_path: Path) -> None:
    """Histogram, instance bits and moving ids of a scan whose sequence is not named."""
    folder = tmp_path / "sequences" / "08"
    folder.mkdir(parents=True)
    source = samples / "semantickitti" / "spvnas_scan"
    for part in ("velodyne", "labels"):
        (folder / part).symlink_to(source / part)
    sample = SemanticKitti().load(SemanticKitti().frames(tmp_path, "val")[0])
    assert sample.points.shape == (123389, 3)
    assert sample.intensity.mean() == pytest.approx(0.284, abs=5e-4)
    names, ids = SemanticKitti.card.class_names, sample.labels
    assert ids is not None and sample.moving is not None
    counts = {names[i]: int(n) for i, n in enumerate(np.bincount(ids[ids != IGNORE])) if n}
    assert counts == {
        "car": 1534, "bicycle": 20, "person": 161, "road": 20975, "parking": 84,
        "sidewalk": 30092, "building": 2126, "fence": 531, "vegetation": 24514, "trunk": 3978,
        "terrain": 30925, "pole": 413, "traffic-sign": 1112,
    }  # fmt: skip
    assert (ids == IGNORE).sum() == 6924
    assert sample.moving.sum() == 990 + 138
    assert sample.unknown_labels == {}
    values = np.fromfile(source / "labels/000000.label", "<u4")
    assert sorted(set(values >> 16)) == [0, 1, 2, 3, 9, 15, 24, 25, 194, 195, 196, 198]


def test_real_unlabelled_scans(samples: Path, tmp_path: Path) -> None:
    folder = tmp_path / "sequences" / "08"
    folder.mkdir(parents=True)
    (folder / "velodyne").symlink_to(samples / "semantickitti" / "two_scans" / "velodyne")
    dataset = SemanticKitti()
    loaded = [dataset.load(frame) for frame in dataset.frames(tmp_path, "val")]
    assert [len(sample.points) for sample in loaded] == [124668, 124605]
    assert all(s.labels is None and s.lidar_to_global is None for s in loaded)


def test_real_camera_chain(samples: Path, tmp_path: Path) -> None:
    """A KITTI frame that was cut to the image: every point must fall into it."""
    source = samples / "kitti" / "frame_000008"
    info = json.loads((source / "info.json").read_text())["data_list"][0]["images"]["CAM2"]
    p2, to_camera_2 = np.array(info["cam2img"])[:3], np.array(info["lidar2cam"])
    folder = tmp_path / "sequences" / "08"
    for part, file in (("velodyne", "000008.bin"), ("image_2", "000008.png")):
        (folder / part).mkdir(parents=True)
        (folder / part / file.replace("8", "0")).symlink_to(source / file)
    lines = [f"{k}: {' '.join(map(repr, m[:3].ravel().tolist()))}" for k, m in
             (("P2", p2), ("Tr", to_camera_2))]  # fmt: skip
    (folder / "calib.txt").write_text("\n".join(lines))
    (folder / "poses.txt").write_text("1 0 0 0 0 1 0 0 0 0 1 0\n")
    sample = SemanticKitti().load(SemanticKitti().frames(tmp_path, "val")[0])
    camera = sample.cameras[0]
    assert (camera.width, camera.height) == (1242, 375)
    places, depth = image_points(sample, camera)
    assert len(places) == 17238 and (depth > 0).all()
    assert ((places > -0.5) & (places < [1242, 375])).all()
    assert len(project(sample, rounding="round")) > 17000
    shift = (inverse(camera.camera_to_global) @ sample.lidar_to_global)[:3, 3] - to_camera_2[:3, 3]
    np.testing.assert_allclose(p2[:, :3] @ shift, p2[:, 3], atol=1e-6)
