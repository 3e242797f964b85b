"""nuScenes: what wrong input gets."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lima_bench.common.errors import UserError
from lima_bench.datasets.api import open_dataset
from lima_bench.datasets.nuscenes.reader import NuScenes
from lima_bench.datasets.sample import IGNORE, Frame
from lima_bench.datasets.world.build import build_world
from lima_bench.datasets.world.drives import NuScenesDrive
from lima_bench.datasets.world.recording import Recording
from lima_bench.datasets.world.spec import WorldSpec

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


def test_truncated_scan(copied: Path) -> None:
    dataset = NuScenes()
    frame = dataset.frames(copied, "val")[1]
    path = scan_file(copied, frame)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(UserError, match=r"truncated.*no multiple of 20") as error:
        dataset.load(frame)
    assert error.value.where == str(path)
    path.unlink()
    with pytest.raises(UserError, match="missing"):
        dataset.load(frame)


def test_empty_scan(copied: Path) -> None:
    dataset = NuScenes()
    frame = dataset.frames(copied, "val")[1]
    path = scan_file(copied, frame)
    path.write_bytes(b"")
    with pytest.raises(UserError, match="empty") as error:
        dataset.load(frame)
    assert error.value.where == str(path)


def test_missing_split_folder(copied: Path) -> None:
    dataset = NuScenes()
    frame = dataset.frames(copied, "val")[0]
    shutil.rmtree(copied / "samples/LIDAR_TOP")
    with pytest.raises(UserError, match="missing") as error:
        dataset.load(frame)
    assert "samples/LIDAR_TOP" in error.value.where
    shutil.rmtree(copied / "v1.0-synth")
    with pytest.raises(UserError, match=r"v1\.0-trainval"):
        dataset.frames(copied, "val")


def test_variants_read_differently() -> None:
    """Public text leaves label lists open here, which columns name: there is one reading."""
    assert NuScenes.card.variants == {}
    with pytest.raises(UserError, match="no card variant"):
        open_dataset("nuscenes:mini")


def test_world_is_written_and_every_class_shows(tmp_path: Path) -> None:
    own = NuScenesDrive(
        train_scenes=1, pretrain_scenes=1, pretrain_keyframes=3, val_scenes=1, val_keyframes=3,
        azimuths=320, image_height=14, image_width=24,
    )  # fmt: skip
    root = build_world(WorldSpec(nuscenes=own), tmp_path, datasets=("nuscenes",))
    dataset = NuScenes()
    for split in ("train", "val"):
        counts = np.zeros(256, dtype=np.int64)
        for frame in dataset.frames(root / "nuscenes", split):
            counts += np.bincount(dataset.load(frame).labels, minlength=256)
        assert (counts[:16] > 0).all(), (split, counts[:16])


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
