"""RELLIS-3D: what was written is read, a real frame gives known counts."""

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lima_bench.common.errors import UserError
from lima_bench.datasets.api import PixelLabelled, open_dataset
from lima_bench.datasets.images import read_image
from lima_bench.datasets.label_shares import resolve
from lima_bench.datasets.rellis3d.expedition import SEQUENCES
from lima_bench.datasets.rellis3d.raw_ids import IMAGE_RAW, RAW
from lima_bench.datasets.rellis3d.reader import Rellis3d
from lima_bench.datasets.rellis3d.writer import BRIGHTEST
from lima_bench.datasets.rigid import inverse
from lima_bench.datasets.sample import IGNORE, Frame, Sample
from lima_bench.datasets.world.build import build_world
from lima_bench.datasets.world.drives import Rellis3dDrive
from lima_bench.datasets.world.recording import LidarScan, Moment, Recording
from lima_bench.datasets.world.spec import WorldSpec
from lima_bench.lima.pairs import project

Written = tuple[Path, list[Recording]]
RINGS = 32


def in_file_order(scan: LidarScan) -> np.ndarray:
    return np.argsort(scan.column * RINGS + (RINGS - 1 - scan.ring))


def check(sample: Sample, moment: Moment) -> None:
    """The sample is what the moment showed."""
    scan = moment.scan
    order = in_file_order(scan)
    np.testing.assert_array_equal(sample.points, scan.points[order])
    np.testing.assert_allclose(
        sample.intensity, scan.intensity[order] * BRIGHTEST / 65535, atol=0.51 / 65535
    )
    np.testing.assert_array_equal(sample.labels, Rellis3d.card.remap(RAW[scan.label[order]]))
    assert sample.n_dropped == RINGS * len(scan.beams.azimuths_rad) - len(scan.points)
    assert sample.unknown_labels == {}
    pose = scan.ego_to_global @ scan.lidar_to_ego
    np.testing.assert_allclose(sample.lidar_to_global, pose, atol=1e-8)


# --- what was written


def test_reads_what_was_written(rellis3d_root: Written) -> None:
    root, drives = rellis3d_root
    dataset = Rellis3d()
    lists = {
        "train": [("00000", 0, drives[1]), ("00001", 0, drives[0])],
        "val": [("00000", 3, drives[2])],
        "test": [("00001", 3, drives[3])],
    }
    lists["pretrain"] = lists["train"]
    for split, parts in lists.items():
        frames = dataset.frames(root, split)
        assert [frame.id for frame in frames] == [
            f"{name}/{first + i:06}" for name, first, _ in parts for i in range(3)
        ]
        assert [frame.index for frame in frames] == [0, 1, 2] * len(parts)
        moments = [moment for _, _, part in parts for moment in part.moments]
        for frame, moment in zip(frames, moments, strict=True):
            check(dataset.load(frame), moment)


def test_reads_written_camera_and_its_labels(rellis3d_root: Written) -> None:
    root, drives = rellis3d_root
    dataset = Rellis3d()
    for frame, moment in zip(dataset.frames(root, "val"), drives[2].moments, strict=True):
        (camera,) = dataset.load(frame).cameras
        (picture,) = moment.pictures
        assert camera.id == f"{frame.id}/pylon_camera_node"
        assert camera.image.name.startswith(f"frame{frame.id[-6:]}-1700000")
        np.testing.assert_allclose(camera.intrinsic, picture.intrinsic)
        np.testing.assert_allclose(
            camera.camera_to_global, picture.ego_to_global @ picture.camera_to_ego, atol=1e-8
        )
        off = read_image(camera).astype(int) - picture.pixels
        assert np.abs(off).mean() < 3  # JPEG
        assert isinstance(dataset, PixelLabelled)
        raw = dataset.pixel_labels(frame)
        np.testing.assert_array_equal(raw, IMAGE_RAW[picture.label])


def test_rows_stand_as_in_the_real_file(rellis3d_root: Written) -> None:
    """A row a beam, column after column, the highest beam first; light without an echo stays."""
    root, drives = rellis3d_root
    scan = drives[1].moments[0].scan
    rows = np.fromfile(root / "00000/os1_cloud_node_kitti_bin/000000.bin", "<f4").reshape(-1, 4)
    labels = np.fromfile(root / "00000/os1_cloud_node_semantickitti_label_id/000000.label", "<u4")
    assert len(rows) == len(labels) == RINGS * 90
    table = rows.reshape(90, RINGS, 4)
    np.testing.assert_array_equal(table[scan.column, RINGS - 1 - scan.ring, :3], scan.points)
    nothing = ~rows[:, :3].any(axis=1)
    assert not labels[nothing].any()
    # As in the real scan: 86 % of its rows without an echo have an intensity.
    assert 0.5 < (rows[nothing, 3] > 0).mean() < 1


def test_lists_name_two_files_a_line(rellis3d_root: Written) -> None:
    lines = (rellis3d_root[0] / "pt_val.lst").read_text().splitlines()
    assert lines[0].split() == [
        "00000/os1_cloud_node_kitti_bin/000003.bin",
        "00000/os1_cloud_node_semantickitti_label_id/000003.label",
    ]
    assert len(lines) == 3


def test_label_map_is_total() -> None:
    card = Rellis3d.card
    assert set(card.labels) == set(card.raw_names) and len(card.labels) == 20
    assert set(card.labels.values()) - {IGNORE} == set(range(14))
    assert (card.remap(np.setdiff1d(np.arange(1 << 16), list(card.labels))) == IGNORE).all()
    for raw, name in card.raw_names.items():
        expected = card.class_names.index(name) if name in card.class_names else IGNORE
        assert card.labels[raw] == expected, name
    # Third-party loaders print other ids (1 = grass): raw ids are sparse.
    assert [card.labels[i] for i in (1, 3, 19, 23, 34)] == [IGNORE, 0, 8, 9, 13]
    assert not card.unknown(RAW) and not card.unknown(IMAGE_RAW)
    assert set(card.remap(RAW)) == {*range(14), IGNORE}
    assert card.metric == "rellis3d"  # the official mean is over 15, void included


def test_image_ids_are_merged() -> None:
    """The image table knows ids that scans do not have."""
    raw = np.array([[29, 30, 32], [3, 6, 7]])
    np.testing.assert_array_equal(Rellis3d().pixel_classes(raw), [[0, 0, 3], [0, 3, IGNORE]])
    assert Rellis3d.card.unknown(raw) == {29: 1, 30: 1, 32: 1}


def test_variants_read_differently(rellis3d_root: Written) -> None:
    root, drives = rellis3d_root
    assert open_dataset("rellis3d:test").card.roles == {"val": "test"}
    fine = open_dataset("rellis3d:classes19")
    assert len(fine.card.classes) == 19 and fine.card.metric == "strict"
    frame = fine.frames(root, "val")[0]
    labels, coarse = fine.load(frame).labels, Rellis3d().load(frame).labels
    assert labels is not None and coarse is not None
    scan = drives[2].moments[0].scan
    raw = RAW[scan.label[in_file_order(scan)]]
    names = [fine.card.raw_names[int(i)] for i in raw[raw != 0]]
    assert [fine.card.class_names[i] for i in labels[raw != 0]] == names
    assert {"object", "asphalt", "building"} <= set(names)
    # Whatever the fourteen classes are, the nineteen call them the same.
    known = coarse != IGNORE
    assert [Rellis3d.card.class_names[i] for i in coarse[known]] == [
        fine.card.class_names[i] for i in labels[known]
    ]
    with pytest.raises(UserError, match='Did you mean "classes19"'):
        open_dataset("rellis3d:clases19")


def test_shares_stride_over_the_sorted_list(rellis3d_root: Written) -> None:
    frames = Rellis3d().frames(rellis3d_root[0], "train")
    chosen = resolve(Rellis3d.card, frames, "50%")
    assert chosen.convention == "stride"
    assert [f.id for f in chosen.frames] == ["00000/000000", "00000/000002", "00001/000001"]


def test_frames_travel_between_processes(rellis3d_root: Written) -> None:
    dataset = Rellis3d()
    frame = dataset.frames(rellis3d_root[0], "val")[1]
    arrived = pickle.loads(pickle.dumps(frame))
    assert arrived == frame
    check(dataset.load(arrived), rellis3d_root[1][2].moments[1])


# --- the built-in world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five sequences of one frame in each list."""
    tiny = Rellis3dDrive(
        train_scans=1,
        val_scans=1,
        test_scans=1,
        azimuths=96,
        image_height=60,
        image_width=96,
        max_range_m=40.0,
    )
    folder = tmp_path_factory.mktemp("world")
    return build_world(WorldSpec(rellis3d=tiny), folder, datasets=("rellis3d",)) / "rellis3d"


def test_world_is_written_and_every_class_shows(world: Path) -> None:
    dataset = Rellis3d()
    for split in ("train", "val", "test", "pretrain"):
        frames = dataset.frames(world, split)
        assert tuple(frame.sequence for frame in frames) == SEQUENCES
        samples = [dataset.load(frame) for frame in frames]
        for sample in samples:
            assert sample.labels is not None and len(sample.cameras) == 1
            assert (np.bincount(sample.labels, minlength=256)[:14] > 0).all(), split
            assert sample.n_dropped + len(sample.points) == 64 * 96
            assert 0.3 < sample.n_dropped / (64 * 96) < 0.6  # 41 % in the real scan
        labels = np.concatenate([sample.labels for sample in samples])
        shares = np.bincount(labels, minlength=256)[:14] / len(labels)
        grass, tree, bush = (Rellis3d.card.class_names.index(n) for n in ("grass", "tree", "bush"))
        assert shares[grass] > 0.3 and shares[[grass, tree, bush]].sum() > 0.75


def test_points_and_pixels_of_the_world_agree(world: Path) -> None:
    """The pairing that a real frame shows holds in the world."""
    dataset = Rellis3d()
    frames = dataset.frames(world, "val")
    assert np.mean([agreement(dataset, dataset.load(frame), frame) for frame in frames]) > 0.7


def agreement(dataset: Rellis3d, sample: Sample, frame: Frame) -> float:
    """Share of scored points whose pixel is of their class."""
    raw = dataset.pixel_labels(frame)
    assert raw is not None and sample.labels is not None
    pairs = project(sample, rounding="round")
    points, pixels = sample.labels[pairs.point], dataset.pixel_classes(raw)[pairs.row, pairs.col]
    known = points != IGNORE
    return float((points == pixels)[known].mean())


# --- a real recording


@pytest.fixture
def real(samples: Path, tmp_path: Path) -> Path:
    """The public frame as a data root; it has no pose, so one is made up."""
    source, folder = samples / "rellis3d/frame_000104", tmp_path / "00000"
    folder.mkdir()
    for part in source.iterdir():
        if part.name != "calibration":
            (folder / part.name).symlink_to(part)
    for text in ("camera_info.txt", "transforms.yaml"):
        (folder / text).symlink_to(source / "calibration" / text)
    (folder / "poses.txt").write_text(105 * "1 0 0 0 0 1 0 0 0 0 1 0\n")
    line = (
        "00000/os1_cloud_node_kitti_bin/000104.bin "
        "00000/os1_cloud_node_semantickitti_label_id/000104.label\n"
    )
    (tmp_path / "pt_train.lst").write_text(line)
    return tmp_path


def test_real_recording(real: Path) -> None:
    dataset = Rellis3d()
    (frame,) = dataset.frames(real, "pretrain")
    assert frame.id == "00000/000104" and frame.timestamp_s == pytest.approx(10.4)
    sample = dataset.load(frame)
    assert sample.n_dropped == 53_364 and len(sample.points) == 131_072 - 53_364
    assert sample.intensity.max() == pytest.approx(0.0115, abs=5e-5)
    names, ids = dataset.card.class_names, sample.labels
    assert ids is not None and sample.unknown_labels == {}
    counts = {names[i]: int(n) for i, n in enumerate(np.bincount(ids[ids != IGNORE])) if n}
    assert counts == {
        "grass": 18040, "tree": 17872, "person": 1310, "fence": 595, "bush": 3360,
        "concrete": 20242, "puddle": 1269, "mud": 100,
    }  # fmt: skip
    assert (ids == IGNORE).sum() == 14_920
    (camera,) = sample.cameras
    assert read_image(camera).shape == (1200, 1920, 3)


def test_real_pixels_agree_with_points(real: Path) -> None:
    """The transform takes the camera to the Ouster: its inverse brings points into the image."""
    dataset = Rellis3d()
    (frame,) = dataset.frames(real, "train")
    sample, raw = dataset.load(frame), dataset.pixel_labels(frame)
    assert raw is not None and raw.shape == (1200, 1920)
    assert sorted(set(raw.ravel())) == [3, 4, 7, 8, 9, 17, 18, 19, 31, 33]
    assert sample.labels is not None
    pairs = project(sample, rounding="round")
    assert (sample.labels[pairs.point] != IGNORE).sum() == len(pairs) == 7_415
    assert agreement(dataset, sample, frame) == pytest.approx(0.773, abs=5e-4)
    turned = replace(
        sample.cameras[0], camera_to_global=inverse(sample.cameras[0].camera_to_global)
    )
    wrong = replace(sample, cameras=(turned,))
    assert agreement(dataset, wrong, frame) == pytest.approx(3e-4, abs=5e-5)


def test_real_rows_cycle_through_the_rings(samples: Path) -> None:
    """The PLY file of the same scan has what the KITTI-style file leaves out."""
    source = samples / "rellis3d/frame_000104"
    (path,) = (source / "os1_cloud_node_ply").glob("*.ply")
    body = path.read_bytes().split(b"end_header\n", 1)[1]
    fields = [("xyz", "<f4", 3), ("i", "<f4"), ("t", "<u4"), ("reflectivity", "<u2"),
              ("ring", "u1"), ("noise", "<u2"), ("range", "<u4")]  # fmt: skip
    ply = np.frombuffer(body, np.dtype(fields))
    rows = np.fromfile(source / "os1_cloud_node_kitti_bin/000104.bin", "<f4").reshape(-1, 4)
    np.testing.assert_array_equal(ply["xyz"], rows[:, :3])
    np.testing.assert_array_equal((ply["i"] / 65535).astype("<f4"), rows[:, 3])
    np.testing.assert_array_equal(ply["ring"], np.arange(131_072) % 64)
    echo = rows[:, :3].any(axis=1)
    np.testing.assert_array_equal(echo, ply["range"] > 0)
    assert (rows[~echo, 3] > 0).mean() == pytest.approx(0.864, abs=5e-4)
    rise = rows[:, 2] / np.linalg.norm(rows[:, :3], axis=1).clip(1e-6)
    high, low = (np.median(np.degrees(rise[echo & (ply["ring"] == k)])) for k in (0, 63))
    assert high > 15 and low < -15
