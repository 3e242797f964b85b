"""Synth4D: what was written is read, for both sets and both ways to count classes."""

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lima_bench.common.errors import UserError
from lima_bench.datasets.api import open_dataset
from lima_bench.datasets.label_shares import resolve
from lima_bench.datasets.rigid import inverse
from lima_bench.datasets.sample import IGNORE
from lima_bench.datasets.splits import IncompleteData
from lima_bench.datasets.synth4d.expedition import SHARE_STRIDE, TOWNS
from lima_bench.datasets.synth4d.raw_ids import RAW
from lima_bench.datasets.synth4d.reader import Synth4d
from lima_bench.datasets.synth4d.writer import write_recording, write_tables
from lima_bench.datasets.world.build import build_world
from lima_bench.datasets.world.drive import drive as record_drive
from lima_bench.datasets.world.drives import Synth4dDrive
from lima_bench.datasets.world.expedition import expedition_of
from lima_bench.datasets.world.labels import Label
from lima_bench.datasets.world.recording import Recording
from lima_bench.datasets.world.spec import WorldSpec, named_spec

Written = tuple[Path, dict[str, Recording]]
NAMES = ("synth4d", "synth4d:kitti", "synth4d:raw22", "synth4d:kitti-raw22")
TINY = WorldSpec(
    synth4d=Synth4dDrive(
        train_frames=3, val_frames=1, kitti_frames=2, azimuths=90, max_range_m=40.0
    )
)


@pytest.fixture(scope="module")
def written(drive: Callable[..., Recording], tmp_path_factory: pytest.TempPathFactory) -> Written:
    """A data root of both sets, and what was written there by name."""
    root = tmp_path_factory.mktemp("data") / "synth4d"
    drives, parts = {}, []
    for set_name in ("nuscenes_synth", "kitti_synth"):
        for town in TOWNS:
            for split, first in (("train", 0), ("val", 3)):
                name = f"{set_name}/{town}/{first:06}"
                drives[name] = drive(name, split, cameras=(), seed=len(drives))
                parts.append(write_recording(drives[name], root))
    write_tables(parts, root, pretrain=())
    return root, drives


@pytest.fixture
def copied(written: Written, tmp_path: Path) -> Path:
    """A copy that a test may break; without the other set."""
    return Path(
        shutil.copytree(written[0], tmp_path / "synth4d", ignore=lambda _, names: {
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
def test_reads_what_was_written(written: Written, name: str) -> None:
    root, drives = written
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


def test_layout_is_the_documented_one(written: Written) -> None:
    root, drives = written
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
    (town / "labels/000000.npy").unlink()
    sample = Synth4d().load(Synth4d().frames(copied, "train")[0])
    assert sample.labels is not None and len(sample.labels) == len(sample.points)
    assert (sample.labels == IGNORE).all() and sample.unknown_labels == {}


# --- sets and files


def test_variants_read_differently(written: Written) -> None:
    root, _ = written
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


# --- lists of frames


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("kind", [list, tuple, np.array])
def test_lists_of_any_pickle(
    copied: Path, training: Path, protocol: int, kind: Callable[[list[str]], Any]
) -> None:
    lists = {"Town07": kind(["000002", "000000"]), np.str_("Town03"): kind(["000001"])}
    training.write_bytes(pickle.dumps(lists, protocol))
    ids = [frame.id for frame in Synth4d().frames(copied, "train")]
    assert ids == [f"nuscenes_synth/{name}" for name in
                   ("Town03/000001", "Town07/000000", "Town07/000002")]  # fmt: skip


def test_lists_of_numbers_and_of_json(copied: Path, town: Path, training: Path) -> None:
    training.write_bytes(pickle.dumps({"Town03": np.array([12, 7])}))
    assert [frame.id for frame in Synth4d().frames(copied, "train")] == [
        "nuscenes_synth/Town03/12", "nuscenes_synth/Town03/7",
    ]  # fmt: skip
    training.with_suffix(".json").write_text(json.dumps({"Town06": ["000001"]}))
    assert [f.sequence for f in Synth4d().frames(copied, "train")] == ["Town06"]
    training.unlink()
    assert [f.sequence for f in Synth4d().frames(copied, "train")] == ["Town06"]
    training.with_suffix(".json").write_text("{")
    with pytest.raises(UserError, match="not JSON"):
        Synth4d().frames(copied, "train")


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("made-by-a-pickle",)


def test_a_list_that_wants_code(
    copied: Path, training: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(copied)
    training.write_bytes(pickle.dumps({"Town03": [Evil()]}))
    with pytest.raises(UserError, match=r"wants \w+\.mkdir, which may run code") as error:
        Synth4d().frames(copied, "train")
    assert error.value.where == str(training) and "JSON" in error.value.how
    assert not (copied / "made-by-a-pickle").exists()


@pytest.mark.parametrize(
    "lists",
    [["Town03"], {"Town03": 5}, {"Town03": [1.5]}, {"Town03": [["000000"]]}, {"Town03": [None]},
     {"Town03": ["../Town06/velodyne/000000"]}, {"..": ["000000"]}, {"Town03": [""]}, 7,
     {"Town03": "000000"}],
)  # fmt: skip
def test_a_list_of_something_else(copied: Path, training: Path, lists: object) -> None:
    training.write_bytes(pickle.dumps(lists))
    with pytest.raises(UserError, match="no table of towns") as error:
        Synth4d().frames(copied, "train")
    assert error.value.where == str(training)


def test_a_list_of_another_town(copied: Path, training: Path) -> None:
    training.write_bytes(pickle.dumps({"Town01": ["000000"]}))
    with pytest.raises(UserError, match=r'no town "Town01"'):
        Synth4d().frames(copied, "train")


def test_shares_keep_every_tenth_of_the_list(written: Written) -> None:
    dataset = Synth4d()
    frames = dataset.frames(written[0], "train")
    tenth = resolve(dataset.card, frames, "10%")
    assert tenth.name == "10%@stride" and tenth.frames == tuple(frames[::10])


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


def test_objects_instead_of_numbers(copied: Path, town: Path) -> None:
    for part in ("labels", "velodyne"):
        np.save(town / part / "000000.npy", np.array([Evil()], dtype=object), allow_pickle=True)
        with pytest.raises(UserError, match="holds object, not numbers"):
            Synth4d().load(Synth4d().frames(copied, "train")[0])
    assert not Path("made-by-a-pickle").exists()


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


def test_frames_travel_between_processes(written: Written) -> None:
    dataset = Synth4d()
    frame = dataset.frames(written[0], "val")[1]
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


def test_towns_differ_and_are_clear() -> None:
    shares, descriptions = {}, set()
    for index, town in enumerate(TOWNS):
        recording = record_drive(TINY, "synth4d", "train", index)
        assert recording.name == f"nuscenes_synth/{town}/000000"
        labels = np.concatenate([RAW[m.scan.label] for m in recording.moments])
        shares[town] = np.bincount(labels, minlength=23) / len(labels)
        descriptions.add(recording.description.split(",")[0])
    assert descriptions <= {"sunny", "cloudy"}
    green, building = 22, 1
    assert shares["Town07"][green] > 2 * shares["Town10HD"][green]
    assert shares["Town10HD"][building] > 2 * shares["Town07"][building]


def test_beams_of_the_two_sets() -> None:
    trips = expedition_of(TINY, "synth4d").of("train")
    beams = {}
    for set_name in ("nuscenes_synth", "kitti_synth"):
        index = next(t.index for t in trips if t.name.startswith(set_name))
        scan = record_drive(TINY, "synth4d", "train", index).moments[0].scan
        beams[set_name] = len(scan.beams.elevations_rad)
        # A simulator's sensor: every point lies on its beam, none strays.
        tilt = np.arcsin(scan.points[:, 2] / np.linalg.norm(scan.points, axis=1))
        np.testing.assert_allclose(tilt, scan.beams.elevations_rad[scan.ring], atol=3e-4)
        assert not (scan.label == Label.NOISE).any()
        assert len(set(scan.ring.tolist())) > 0.6 * beams[set_name]
    assert beams == {"nuscenes_synth": 32, "kitti_synth": 64}


@pytest.mark.parametrize("profile", ["embedded", "smoke"])
def test_the_sparsest_share_shows_every_class(profile: str) -> None:
    """Trips that hold a frame of the 1 % share are drawn until every class is there."""
    trips = expedition_of(named_spec(profile), "synth4d").trips
    assert [t.index for t in trips if t.split == "train"] == list(
        range(sum(t.split == "train" for t in trips))
    )
    assert len({t.name for t in trips}) == len(trips)
    place = {"nuscenes_synth": 0, "kitti_synth": 0}
    for trip in trips:
        if trip.split == "train":
            name = trip.name.split("/")[0]
            chosen = range(-place[name] % SHARE_STRIDE, trip.keyframes, SHARE_STRIDE)
            assert trip.all_classes == (len(chosen) > 0)
            place[name] += trip.keyframes
        else:
            assert trip.all_classes
    assert place["nuscenes_synth"] >= SHARE_STRIDE
