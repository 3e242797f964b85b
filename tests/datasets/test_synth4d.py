"""Synth4D: what was written is read, for both sets and both ways to count classes."""

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from lima_bench.common.errors import UserError
from lima_bench.datasets.api import open_dataset
from lima_bench.datasets.rigid import inverse
from lima_bench.datasets.sample import IGNORE
from lima_bench.datasets.splits import IncompleteData
from lima_bench.datasets.synth4d.expedition import TOWNS
from lima_bench.datasets.synth4d.raw_ids import RAW
from lima_bench.datasets.synth4d.reader import Synth4d
from lima_bench.datasets.synth4d.writer import write_tables
from lima_bench.datasets.world.build import build_world
from lima_bench.datasets.world.drives import Synth4dDrive
from lima_bench.datasets.world.labels import Label
from lima_bench.datasets.world.recording import Recording
from lima_bench.datasets.world.spec import WorldSpec

Written = tuple[Path, dict[str, Recording]]
NAMES = ("synth4d", "synth4d:kitti", "synth4d:raw22", "synth4d:kitti-raw22")
TINY = WorldSpec(
    synth4d=Synth4dDrive(
        train_frames=3, val_frames=1, kitti_frames=2, azimuths=90, max_range_m=40.0
    )
)


@pytest.fixture
def copied(synth4d_root: Written, tmp_path: Path) -> Path:
    """A copy that a test may break; without the other set."""
    return Path(
        shutil.copytree(synth4d_root[0], tmp_path / "synth4d", ignore=lambda _, names: {
            name for name in names if name == "kitti_synth"
        })
    )  # fmt: skip


@pytest.fixture
def town(copied: Path) -> Path:
    return copied / "nuscenes_synth" / "Town03"


@pytest.fixture
def training(copied: Path) -> Path:
    return copied / "splits" / "nuscenes_synth" / "training_split.pkl"


# --- what was written


@pytest.mark.parametrize("name", NAMES)
def test_reads_what_was_written(synth4d_root: Written, name: str) -> None:
    root, drives = synth4d_root
    dataset = open_dataset(name)
    set_name = "kitti_synth" if "kitti" in name else "nuscenes_synth"
    for split, first in (("train", 0), ("val", 3)):
        frames = dataset.frames(root, split)
        assert [f.sequence for f in frames] == [town for town in TOWNS for _ in range(3)]
        assert [f.index for f in frames] == [0, 1, 2] * 4
        assert frames[0].id == f"{set_name}/Town03/{first:06}"
        for frame in frames:
            recording = drives[f"{set_name}/{frame.sequence}/{first:06}"]
            sample, scan = dataset.load(frame), recording.moments[frame.index].scan
            np.testing.assert_array_equal(sample.points, scan.points)
            np.testing.assert_array_equal(sample.intensity, scan.intensity)
            np.testing.assert_array_equal(sample.labels, dataset.card.remap(RAW[scan.label]))
            assert sample.points.dtype == sample.intensity.dtype == np.float32
            assert sample.unknown_labels == {} and sample.cameras == ()
            assert sample.lidar_to_global is None


def test_layout_is_the_documented_one(synth4d_root: Written) -> None:
    root, drives = synth4d_root
    scan = drives["kitti_synth/Town10HD/000003"].moments[2].scan
    folder = root / "kitti_synth" / "Town10HD"
    rows, labels, pose = (
        np.load(folder / part / "000005.npy", allow_pickle=False)
        for part in ("velodyne", "labels", "calib")
    )
    assert rows.shape == (len(scan.points), 4) and rows.dtype == np.float32
    assert labels.shape == (len(scan.points), 1) and set(labels.ravel()) <= set(range(23))
    np.testing.assert_allclose(pose, scan.ego_to_global @ scan.lidar_to_ego)
    assert np.isfinite(inverse(pose)).all()
    lists = pickle.loads((root / "splits/kitti_synth/validation_split.pkl").read_bytes())
    assert lists == {name: ["000003", "000004", "000005"] for name in TOWNS}


def test_nothing_is_for_pretraining(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no cameras"):
        write_tables([], tmp_path, pretrain=["Town03"])


# --- classes


@pytest.mark.parametrize("name", NAMES)
def test_label_map_is_total(name: str) -> None:
    card = open_dataset(name).card
    assert set(card.raw_names) == set(card.labels) == set(range(23))
    ids = card.remap(np.arange(1 << 16))
    assert (ids[23:] == IGNORE).all()
    if name.endswith("raw22"):
        np.testing.assert_array_equal(ids[1:23], np.arange(22))
        assert ids[0] == IGNORE
        assert card.class_names == tuple(card.raw_names[raw] for raw in range(1, 23))
        return
    members = {c: set(np.flatnonzero(ids == i)) for i, c in enumerate(card.class_names)}
    assert members == {
        "vehicle": {10}, "pedestrian": {4}, "road": {6, 7}, "sidewalk": {8}, "terrain": {22},
        "manmade": {1, 2, 5, 11, 12, 15, 16, 17}, "vegetation": {9},
    }  # fmt: skip
    assert set(np.flatnonzero(ids[:23] == IGNORE)) == {0, 3, 13, 14, 18, 19, 20, 21}


def test_every_class_of_the_world_has_an_id() -> None:
    names = open_dataset("synth4d").card.raw_names
    assert len(RAW) == len(Label) and set(RAW.tolist()) <= set(names)
    wanted = {
        Label.LANE_MARKING: "road line", Label.CURB: "sidewalk", Label.TRUNK: "vegetation",
        Label.RIDDEN_BICYCLE: "vehicle", Label.CONSTRUCTION_WORKER: "pedestrian",
        Label.ANIMAL: "dynamic", Label.TRAFFIC_LIGHT: "traffic light", Label.NOISE: "unlabelled",
    }  # fmt: skip
    assert {label: names[int(RAW[label])] for label in wanted} == wanted


def test_unknown_raw_ids_are_counted_and_ignored(copied: Path, town: Path) -> None:
    path = town / "labels/000000.npy"
    labels = np.load(path).astype(np.int32)
    labels[:3, 0] = (23, 99, 23)
    np.save(path, labels)
    sample = Synth4d().load(Synth4d().frames(copied, "train")[0])
    assert sample.unknown_labels == {23: 2, 99: 1}
    assert sample.labels is not None and (sample.labels[:3] == IGNORE).all()


def test_a_missing_label_file_is_all_ignored(copied: Path, town: Path) -> None:
    missing = town / "labels/000000.npy"
    missing.unlink()
    sample = Synth4d().load(Synth4d().frames(copied, "train")[0])
    assert Synth4d().files(sample.frame) == [town / "velodyne/000000.npy", missing]
    assert sample.labels is not None and len(sample.labels) == len(sample.points)
    assert (sample.labels == IGNORE).all() and sample.unknown_labels == {}


# --- sets and files


def test_variants_read_differently(synth4d_root: Written) -> None:
    root, _ = synth4d_root
    readers = [open_dataset(name) for name in NAMES]
    assert len({r.card.title for r in readers}) == 4
    assert [len(r.card.classes) for r in readers] == [7, 7, 22, 22]
    assert all(r.card.protocol == "assumed" for r in readers)
    ids = [[frame.id for frame in r.frames(root, "val")] for r in readers]
    assert ids[0] == ids[2] and ids[1] == ids[3] and not set(ids[0]) & set(ids[1])
    manifests = [r.manifest(root) for r in readers]
    assert manifests[0] == manifests[2] != manifests[1] == manifests[3]
    seven, _, every, _ = (r.load(r.frames(root, "val")[0]).labels for r in readers)
    assert seven is not None and every is not None
    assert (seven[every == 17] == IGNORE).all() and (every == 17).any()  # traffic light
    np.testing.assert_array_equal(every == 21, seven == 4)  # terrain


@pytest.mark.parametrize("dtype", ["<f4", "<f8"])
def test_scans_without_intensity(copied: Path, town: Path, dtype: str) -> None:
    path = town / "velodyne/000000.npy"
    rows = np.load(path)
    np.save(path, rows[:, :3].astype(dtype))
    sample = Synth4d().load(Synth4d().frames(copied, "train")[0])
    np.testing.assert_array_equal(sample.points, rows[:, :3])
    assert sample.points.dtype == np.float32
    assert (sample.intensity == 1).all() and sample.intensity.shape == (len(rows),)


def test_calib_is_not_read(copied: Path, town: Path) -> None:
    (town / "calib/000000.npy").write_bytes(b"whatever it holds")
    assert Synth4d().load(Synth4d().frames(copied, "train")[0]).points.size


# --- wrong input


def test_missing_root_tells_remedy(tmp_path: Path) -> None:
    for root in (tmp_path / "nowhere", tmp_path):
        for name, folder in (("synth4d", "nuscenes_synth"), ("synth4d:kitti", "kitti_synth")):
            dataset = open_dataset(name)
            with pytest.raises(UserError, match="LIMA_BENCH_DATA") as error:
                dataset.frames(root, "train")
            assert f"splits/{folder}/training_split.pkl" in error.value.how
            with pytest.raises(UserError, match="LIMA_BENCH_DATA"):
                dataset.manifest(root)


def test_missing_split_folder(copied: Path, town: Path, training: Path) -> None:
    with pytest.raises(UserError, match="There is no kitti_synth here"):
        open_dataset("synth4d:kitti").frames(copied, "train")
    shutil.rmtree(town / "labels")
    with pytest.raises(UserError, match="folder is missing") as error:
        Synth4d().frames(copied, "train")
    assert error.value.where == str(town / "labels")
    shutil.rmtree(town)
    with pytest.warns(IncompleteData, match="3 of 4 sequences"):
        frames = Synth4d().frames(copied, "train")
    assert {frame.sequence for frame in frames} == {"Town06", "Town07", "Town10HD"}
    shutil.rmtree(copied / "splits")
    with pytest.raises(UserError, match="list of frames is missing") as error, \
         pytest.warns(IncompleteData):  # fmt: skip
        Synth4d().frames(copied, "train")
    assert error.value.where == str(training) and "training_split.json" in error.value.how


def test_truncated_scan(copied: Path, town: Path) -> None:
    frame = Synth4d().frames(copied, "train")[0]
    path = town / "velodyne/000000.npy"
    whole = path.read_bytes()
    for content, what in ((whole[:-4], "truncated"), (whole[:50], "no whole .npy"), (b"", "npy")):
        path.write_bytes(content)
        with pytest.raises(UserError, match=what) as error:
            Synth4d().load(frame)
        assert error.value.where == str(path)
    path.unlink()
    with pytest.raises(UserError, match="scan is missing"):
        Synth4d().load(frame)


def test_empty_scan(copied: Path, town: Path) -> None:
    np.save(town / "velodyne/000000.npy", np.zeros((0, 4), np.float32))
    with pytest.raises(UserError, match="empty"):
        Synth4d().load(Synth4d().frames(copied, "train")[0])


def test_points_that_are_not_numbers(copied: Path, town: Path) -> None:
    path = town / "velodyne/000000.npy"
    rows = np.load(path)
    for strange in (np.nan, np.inf):
        rows[5, 2] = strange
        np.save(path, rows)
        with pytest.raises(UserError, match=f"1 of {len(rows)} points are not numbers"):
            Synth4d().load(Synth4d().frames(copied, "train")[0])


def test_labels_of_another_length(copied: Path, town: Path) -> None:
    path = town / "labels/000000.npy"
    labels = np.load(path)
    np.save(path, labels[:-1])
    with pytest.raises(UserError, match=f"{len(labels) - 1} labels, but its scan has") as error:
        Synth4d().load(Synth4d().frames(copied, "train")[0])
    assert error.value.where == str(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match="label file is truncated"):
        Synth4d().load(Synth4d().frames(copied, "train")[0])


def test_unknown_split_names_the_nearest(copied: Path) -> None:
    with pytest.raises(UserError, match='Did you mean "train"'):
        Synth4d().frames(copied, "trian")
    (copied / "splits.json").write_text('{"train": ["Town07"], "tests": ["Town03"]}')
    assert {f.sequence for f in Synth4d().frames(copied, "train")} == {"Town07"}
    with pytest.raises(UserError, match=r'no list of frames of synth4d split "tests"'):
        Synth4d().frames(copied, "tests")


def test_manifest_notices_changes(copied: Path, town: Path, training: Path) -> None:
    dataset = Synth4d()
    seen = [dataset.manifest(copied)]
    training.write_bytes(pickle.dumps({"Town03": ["000000"]}))
    seen.append(dataset.manifest(copied))
    training.with_suffix(".json").write_text('{"Town03": ["000000"]}')
    seen.append(dataset.manifest(copied))
    (copied / "splits.json").write_text('{"train": ["Town03"]}')
    seen.append(dataset.manifest(copied))
    (town / "labels/000002.npy").unlink()
    seen.append(dataset.manifest(copied))
    assert len(set(seen)) == 5
    moved = copied.rename(copied.parent / "elsewhere")
    assert dataset.manifest(moved) == seen[-1]


def test_frames_travel_between_processes(synth4d_root: Written) -> None:
    dataset = Synth4d()
    frame = dataset.frames(synth4d_root[0], "val")[1]
    twin = pickle.loads(pickle.dumps(frame))
    assert twin == frame
    np.testing.assert_array_equal(Synth4d().load(twin).points, dataset.load(frame).points)


# --- the world


def test_world_is_written_and_every_class_shows(tmp_path: Path) -> None:
    root = build_world(TINY, tmp_path, datasets=("synth4d",)) / "synth4d"
    for name, train, val in (("synth4d", 3, 1), ("synth4d:kitti", 2, 1)):
        dataset = open_dataset(name)
        for split, count in (("train", train), ("val", val)):
            frames = dataset.frames(root, split)
            assert [f.sequence for f in frames] == [t for t in TOWNS for _ in range(count)]
            samples = [dataset.load(frame) for frame in frames]
            labels = np.concatenate([s.labels for s in samples if s.labels is not None])
            counts = np.bincount(labels, minlength=256)[:7]
            assert counts.min() >= 5, counts
            assert not any(sample.unknown_labels for sample in samples)
