"""nuScenes: the official kit opens what the writer wrote and agrees with our reader."""

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from lima_bench.datasets.nuscenes.reader import NuScenes
from lima_bench.datasets.sample import IGNORE
from lima_bench.datasets.world.recording import Recording

Written = tuple[Path, list[Recording]]


@pytest.fixture
def copied(nuscenes_root: Written, tmp_path: Path) -> Path:
    """A copy that a test may break."""
    return Path(shutil.copytree(nuscenes_root[0], tmp_path / "nuscenes"))


def edit(path: Path, change: Callable[[list], list | None]) -> None:
    rows = json.loads(path.read_text())
    path.write_text(json.dumps(change(rows) or rows))


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


def test_devkit_agrees_on_velocities_over_long_gaps(copied: Path) -> None:
    """One-sided beyond 1.5 s and centred beyond 3 s tell nothing."""
    kit = pytest.importorskip("nuscenes.nuscenes")
    seconds = {"scene-0009": (0, 1.6, 2.9), "scene-0005": (0, 1.4, 3.1)}

    def stretch(rows: list) -> None:
        for scene, scene_token in scenes.items():
            own = sorted((r for r in rows if r["scene_token"] == scene_token),
                         key=lambda row: row["timestamp"])  # fmt: skip
            for row, second in zip(own, seconds.get(scene, (0, 1, 2)), strict=True):
                row["timestamp"] = own[0]["timestamp"] + int(second * 1e6)

    tables = copied / "v1.0-synth"
    scenes = {r["name"]: r["token"] for r in json.loads((tables / "scene.json").read_text())}
    edit(tables / "sample.json", stretch)
    devkit = kit.NuScenes("v1.0-synth", str(copied), verbose=False)
    dataset, told = NuScenes(), []
    for frame in dataset.frames(copied, "train"):
        sample = dataset.load(frame)
        assert sample.boxes is not None
        _, boxes, _ = devkit.get_sample_data(frame.id)
        theirs = np.array([devkit.box_velocity(box.token) for box in boxes])
        theirs = (theirs @ sample.lidar_to_global[:3, :3])[:, :2]
        np.testing.assert_allclose(sample.boxes.velocity, theirs, atol=1e-6)
        told.append(bool(np.isfinite(theirs).all()))
    assert told == [False, True, True, True, False, False]


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
