"""nuScenes: reads what was written, agrees with the official kit, counts real recordings."""

import json
import pickle
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from lima_bench.common.errors import UserError
from lima_bench.datasets.images import read_image
from lima_bench.datasets.nuscenes.annotations import inside
from lima_bench.datasets.nuscenes.reader import NuScenes
from lima_bench.datasets.nuscenes.writer import write_recording, write_tables
from lima_bench.datasets.rigid import inverse
from lima_bench.datasets.sample import IGNORE, Frame, Sample
from lima_bench.datasets.splits import IncompleteData
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


def scan_file(root: Path, frame: Frame) -> Path:
    rows = json.loads((root / "v1.0-synth/sample_data.json").read_text())
    return root / next(row["filename"] for row in rows if row["token"] == frame.id)


# --- what was written


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
    assert len(set(boxes.instance)) == len(moment.annotations)


def test_moving_spares_the_road_under_a_moving_car(nuscenes_root: Written) -> None:
    """The fixture puts one road point inside a moving box."""
    root, drives = nuscenes_root
    sample = NuScenes().load(NuScenes().frames(root, "val")[0])
    assert sample.boxes is not None and sample.moving is not None
    hit = inside(sample.points.astype(float), sample.boxes, sample.boxes.moving, 0.1)
    road = drives[1].moments[0].scan.label == Label.ROAD
    assert (hit & road).sum() == 1 and not (sample.moving & road).any()


def test_scenes_come_in_file_order(nuscenes_root: Written) -> None:
    """SLidR's 1 % depends on the order of scene.json; sorting by name changes it."""
    root, _ = nuscenes_root
    frames = NuScenes().frames(root, "train")
    assert list(dict.fromkeys(f.sequence for f in frames)) == ["scene-0009", "scene-0005"]
    assert [f.index for f in frames] == [0, 1, 2, 0, 1, 2]
    assert len({f.id for f in frames}) == 6


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


# --- the official kit


@pytest.fixture(scope="module")
def devkit(nuscenes_root: Written):
    kit = pytest.importorskip("nuscenes.nuscenes")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return kit.NuScenes("v1.0-synth", str(nuscenes_root[0]), verbose=False)


def test_devkit_agrees_on_scans_and_labels(nuscenes_root: Written, devkit) -> None:
    from nuscenes.utils.data_classes import LidarPointCloud
    from nuscenes.utils.data_io import load_bin_file

    root, _ = nuscenes_root
    dataset = NuScenes()
    assert len(devkit.scene) == 3 and len(devkit.sample) == 9
    for frame in dataset.frames(root, "train"):
        ours = dataset.load(frame)
        theirs = LidarPointCloud.from_file(devkit.get_sample_data_path(frame.id)).points.T
        np.testing.assert_array_equal(ours.points, theirs[:, :3])
        np.testing.assert_array_equal(ours.intensity, theirs[:, 3])
        file = devkit.get("lidarseg", frame.id)["filename"]
        raw = load_bin_file(str(root / file))
        np.testing.assert_array_equal(ours.labels, dataset.card.remap(raw))
        scene = devkit.get("sample", devkit.get("sample_data", frame.id)["sample_token"])
        assert devkit.get("scene", scene["scene_token"])["name"] == frame.sequence


def test_devkit_agrees_on_boxes_and_velocity(nuscenes_root: Written, devkit) -> None:
    root, _ = nuscenes_root
    dataset = NuScenes()
    for frame in dataset.frames(root, "train"):
        sample = dataset.load(frame)
        _, theirs, _ = devkit.get_sample_data(frame.id)
        ours = sample.boxes
        assert ours is not None and len(theirs) == len(ours.category) == 6
        for b, box in enumerate(theirs):
            np.testing.assert_allclose(ours.centre[b], box.center, atol=1e-6)
            np.testing.assert_allclose(ours.size[b], np.array(box.wlh)[[1, 0, 2]])
            front = box.orientation.rotation_matrix[:, 0]
            assert np.cos(ours.yaw[b] - np.arctan2(front[1], front[0])) == pytest.approx(1)
            assert ours.category[b] == box.name
            velocity = devkit.box_velocity(box.token) @ sample.lidar_to_global[:3, :3]
            np.testing.assert_allclose(ours.velocity[b], velocity[:2], atol=1e-6)


def test_devkit_agrees_on_the_sensor_chain(nuscenes_root: Written, devkit) -> None:
    from nuscenes.utils.geometry_utils import transform_matrix
    from pyquaternion import Quaternion

    root, _ = nuscenes_root
    dataset = NuScenes()
    camera = dataset.load(dataset.frames(root, "val")[2]).cameras[1]
    row = devkit.get("sample_data", camera.id)
    assert row["channel"] == camera.name == "CAM_BACK"
    chain = [
        transform_matrix(part["translation"], Quaternion(part["rotation"]))
        for part in (
            devkit.get("ego_pose", row["ego_pose_token"]),
            devkit.get("calibrated_sensor", row["calibrated_sensor_token"]),
        )
    ]
    np.testing.assert_allclose(camera.camera_to_global, chain[0] @ chain[1], atol=1e-9)


def test_sweeps_belong_to_the_next_keyframe(nuscenes_root: Written, devkit) -> None:
    """The chain of scans runs through sweeps and keyframes in order of time."""
    root, _ = nuscenes_root
    row = devkit.get("sample_data", NuScenes().frames(root, "val")[0].id)
    times, keys, samples = [], [], []
    while True:
        assert (root / row["filename"]).is_file()
        times.append(row["timestamp"])
        keys.append(row["is_key_frame"])
        samples.append(row["sample_token"])
        if not row["next"]:
            break
        row = devkit.get("sample_data", row["next"])
    assert keys == [True, False, True, False, True] and times == sorted(times)
    assert samples[1] == samples[2] and samples[3] == samples[4]


def test_devkit_shares_the_label_map() -> None:
    utils = pytest.importorskip("nuscenes.eval.lidarseg.utils")

    names = NuScenes.card.raw_names
    kit = SimpleNamespace(
        lidarseg_idx2name_mapping=names,
        lidarseg_name2idx_mapping={name: i for i, name in names.items()},
    )
    theirs = utils.LidarsegClassMapper(kit).fine_idx_2_coarse_idx_mapping
    ours = {raw: 0 if i == IGNORE else i + 1 for raw, i in NuScenes.card.labels.items()}
    assert ours == theirs


def test_devkit_shares_the_splits() -> None:
    splits = pytest.importorskip("nuscenes.utils.splits").create_splits_scenes()
    for name in ("train", "val", "test", "mini_train", "mini_val"):
        assert sorted(NuScenes.card.splits[name]) == sorted(splits[name])
    assert len(NuScenes.card.splits["pretrain"]) == 600
    assert set(NuScenes.card.splits["pretrain"]) < set(splits["train"])


def test_label_map_is_total() -> None:
    card = NuScenes.card
    assert set(card.labels) == set(card.raw_names) == set(range(32))
    assert set(card.labels.values()) - {IGNORE} == set(range(len(card.classes)))
    every = np.arange(1 << 16)
    assert np.isin(card.remap(every), [*range(16), IGNORE]).all()
    assert (card.remap(every[32:]) == IGNORE).all()
    np.testing.assert_array_equal(card.remap(NUSCENES_RAW), SCORED_16)


# --- wrong input


def test_missing_root_tells_remedy(tmp_path: Path) -> None:
    for root in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(UserError, match="LIMA_BENCH_DATA") as error:
            NuScenes().frames(root, "train")
        assert str(root) in str(error.value) and "v1.0-trainval" in error.value.how
    with pytest.raises(UserError, match="LIMA_BENCH_DATA"):
        NuScenes().manifest(tmp_path / "nowhere")


def test_unknown_split_names_the_nearest(nuscenes_root: Written) -> None:
    with pytest.raises(UserError, match='Did you mean "train"'):
        NuScenes().frames(nuscenes_root[0], "trian")


def test_listed_scene_that_is_not_there(copied: Path) -> None:
    (copied / "splits.json").write_text('{"train": ["scene-0008"]}')
    with pytest.raises(UserError, match=r'no sequence "scene-0008".*Did you mean "scene-0009"'):
        NuScenes().frames(copied, "train")


def test_truncated_file_tells_which(copied: Path) -> None:
    dataset = NuScenes()
    frame = dataset.frames(copied, "val")[1]
    path = scan_file(copied, frame)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(UserError, match=r"truncated.*no multiple of 20") as error:
        dataset.load(frame)
    assert error.value.where == str(path)
    path.write_bytes(b"")
    with pytest.raises(UserError, match="empty"):
        dataset.load(frame)
    path.unlink()
    with pytest.raises(UserError, match="missing"):
        dataset.load(frame)


def test_points_that_are_not_numbers(copied: Path) -> None:
    dataset = NuScenes()
    frame = dataset.frames(copied, "val")[0]
    rows = np.fromfile(scan_file(copied, frame), "<f4").reshape(-1, 5)
    rows[[3, 7], [0, 2]] = np.nan, np.inf
    rows.tofile(scan_file(copied, frame))
    with pytest.raises(UserError, match=f"2 of {len(rows)} points are not numbers"):
        dataset.load(frame)


def test_labels_of_another_length(copied: Path) -> None:
    dataset = NuScenes()
    frame = dataset.frames(copied, "val")[0]
    path = copied / f"lidarseg/v1.0-synth/{frame.id}_lidarseg.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match="labels of 1 bytes, but its scan has") as error:
        dataset.load(frame)
    assert error.value.where == str(path)


def test_unknown_raw_ids_are_counted_and_ignored(copied: Path) -> None:
    dataset = NuScenes()
    frame = dataset.frames(copied, "val")[0]
    path = copied / f"lidarseg/v1.0-synth/{frame.id}_lidarseg.bin"
    raw = np.fromfile(path, "u1")
    raw[:5] = [41, 41, 41, 42, 43]  # nuScenes-C
    raw.tofile(path)
    sample = dataset.load(frame)
    assert sample.unknown_labels == {41: 3, 42: 1, 43: 1}
    assert sample.labels is not None and (sample.labels[:5] == IGNORE).all()


def test_classes_must_be_the_cards(copied: Path) -> None:
    def swap(rows: list) -> None:
        rows[25]["index"], rows[26]["index"] = 26, 25

    edit(copied / "v1.0-synth/category.json", swap)
    with pytest.raises(UserError, match=r'Class 26 is "flat.other" here but "flat.sidewalk"'):
        NuScenes().frames(copied, "train")


def test_classes_from_before_lidarseg(copied: Path) -> None:
    path = copied / "v1.0-synth/category.json"
    edit(path, lambda rows: [{k: v for k, v in r.items() if k != "index"} for r in rows])
    with pytest.raises(UserError, match="before lidarseg"):
        NuScenes().frames(copied, "train")
    (copied / "v1.0-synth/lidarseg.json").unlink()
    dataset = NuScenes()
    sample = dataset.load(dataset.frames(copied, "train")[0])
    assert sample.labels is None and sample.unknown_labels == {}


@pytest.mark.parametrize(
    ("table", "content", "message"),
    [
        ("ego_pose", None, "table ego_pose is missing"),
        ("sample", '[{"token": ', "not JSON"),
        ("sample", '[{"token": "x"}]', "lacks the field 'scene_token'"),
        ("ego_pose", "[]", "have no ego pose"),
        ("sample_data", "[]", "keyframes have no LIDAR_TOP"),
        ("scene", '"scenes"', "list of rows"),
    ],
)
def test_broken_tables(copied: Path, table: str, content: str | None, message: str) -> None:
    path = copied / f"v1.0-synth/{table}.json"
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(UserError, match=message) as error:
        NuScenes().frames(copied, "train")
    assert table in error.value.where


def test_poses_that_jump(copied: Path) -> None:
    frame = NuScenes().frames(copied, "val")[1]

    def jump(rows: list) -> None:
        row = next(r for r in rows if r["token"] == frame.id)
        row["translation"][0] += 100.0

    edit(copied / "v1.0-synth/ego_pose.json", jump)
    with pytest.raises(UserError, match=r"pose jumps by \d+\.\d m in 0\.50 s") as error:
        NuScenes().frames(copied, "val")
    assert "scene-0002" in error.value.where


def test_test_set_has_no_boxes(copied: Path) -> None:
    for table in ("sample_annotation", "instance"):
        (copied / f"v1.0-synth/{table}.json").write_text("[]")
    dataset = NuScenes()
    sample = dataset.load(dataset.frames(copied, "val")[0])
    assert sample.boxes is None and sample.moving is None and sample.labels is not None


def test_frames_travel_between_processes(nuscenes_root: Written) -> None:
    frame = pickle.loads(pickle.dumps(NuScenes().frames(nuscenes_root[0], "val")[0]))
    assert NuScenes().load(frame).points.shape[1] == 3


def test_manifest_notices_changes(copied: Path) -> None:
    dataset = NuScenes()
    before = dataset.manifest(copied)
    frame = dataset.frames(copied, "val")[0]
    path = scan_file(copied, frame)
    path.write_bytes(path.read_bytes() + bytes(20))
    after_size = dataset.manifest(copied)
    edit(copied / "v1.0-synth/ego_pose.json", lambda rows: rows[::-1])
    after_table = dataset.manifest(copied)
    (copied / "splits.json").write_text('{"train": []}')
    assert len({before, after_size, after_table, dataset.manifest(copied)}) == 4


def test_the_version_that_has_the_split(copied: Path) -> None:
    """mini and trainval may lie in one root; each split comes from where it is whole."""
    small = shutil.copytree(copied / "v1.0-synth", copied / "v1.0-mini")
    edit(small / "scene.json", lambda rows: rows[:1])
    edit(small / "sample.json", lambda rows: rows[:3])
    dataset = NuScenes()
    assert len(dataset.frames(copied, "train")) == 6
    (copied / "splits.json").write_text('{"train": ["scene-0009"]}')
    frames = dataset.frames(copied, "train")
    assert len(frames) == 3 and frames[0].handle["folder"] == small


# --- real recordings


@pytest.fixture(scope="module")
def real(samples: Path) -> Sample:
    dataset = NuScenes()
    with pytest.warns(IncompleteData, match="1 of 8 sequences of nuScenes mini_train"):
        (frame,) = dataset.frames(samples / "nuscenes" / "frame_ca9a282c", "mini_train")
    assert frame.sequence == "scene-0061"
    return dataset.load(frame)


def test_real_scan(real: Sample) -> None:
    assert real.points.shape == (34688, 3) and real.points.dtype == np.float32
    np.testing.assert_allclose(real.points.min(0), [-58.0, -96.3, -3.4], atol=0.06)
    assert real.intensity.mean() == pytest.approx(19.85, abs=0.01)
    np.testing.assert_array_equal(real.ring, np.tile(np.arange(32), 1084))
    assert (np.linalg.norm(real.points[:, :2], axis=1) < 1).sum() == 8220
    assert real.labels is None and real.moving is None


def test_real_pose_chain(real: Sample, samples: Path) -> None:
    path = samples / "nuscenes" / "frame_ca9a282c" / "info.json"
    images = json.loads(path.read_text())["data_list"][0]["images"]
    assert len(real.cameras) == 6
    for camera in real.cameras:
        ours = inverse(camera.camera_to_global) @ real.lidar_to_global
        np.testing.assert_allclose(ours, images[camera.name]["lidar2cam"], rtol=0, atol=1e-6)
        np.testing.assert_allclose(camera.intrinsic, images[camera.name]["cam2img"])
        assert read_image(camera).shape == (900, 1600, 3)


def test_real_boxes_contain_their_points(real: Sample) -> None:
    boxes = real.boxes
    assert boxes is not None and len(boxes.category) == 68
    points = real.points.astype(np.float64)
    counts = [inside(points, boxes, np.arange(68) == b, 0.0).sum() for b in range(68)]
    assert (np.array(counts) == boxes.n_points).sum() == 60
    assert np.isnan(boxes.velocity).all()  # one frame tells no velocity


def test_real_keyframe_alone_is_no_train_set(samples: Path) -> None:
    with pytest.raises(UserError, match="None of the 150 sequences of nuScenes val lies here"):
        NuScenes().frames(samples / "nuscenes" / "frame_ca9a282c", "val")
