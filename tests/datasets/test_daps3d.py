"""DAPS-3D: what was written is read; its two parts never pass for one another."""

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from lima_bench.common.errors import UserError
from lima_bench.datasets.api import open_dataset
from lima_bench.datasets.daps3d.raw_ids import RAW, RAW_DAPS1
from lima_bench.datasets.daps3d.reader import Daps3d
from lima_bench.datasets.daps3d.writer import write_recording, write_tables
from lima_bench.datasets.label_shares import resolve
from lima_bench.datasets.sample import IGNORE, Sample
from lima_bench.datasets.world.build import build_world
from lima_bench.datasets.world.drive import drive as record_drive
from lima_bench.datasets.world.drives import Daps3dDrive
from lima_bench.datasets.world.expedition import expedition_of
from lima_bench.datasets.world.labels import Label
from lima_bench.datasets.world.recording import LidarScan, Recording
from lima_bench.datasets.world.spec import WorldSpec, named_spec

Written = tuple[Path, dict[str, Recording]]
DAPS2 = ("38-18_7_72_90", "42-48_10_78_90", "44-18_11_15_32")
SPLITS = {"daps-1/08": "val", f"daps-2/{DAPS2[2]}": "val"}
TINY = WorldSpec(daps3d=Daps3dDrive(daps1_scans=2, daps2_scans=2, azimuths=60, max_range_m=40.0))

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*sequences of DAPS-1:lima_bench.datasets.splits.IncompleteData"
)


@pytest.fixture(scope="module")
def written(drive: Callable[..., Recording], tmp_path_factory: pytest.TempPathFactory) -> Written:
    """A data root of both parts, and what was written there by name."""
    root = tmp_path_factory.mktemp("data") / "daps3d"
    names = ("daps-1/00", "daps-1/08", *(f"daps-2/{name}" for name in DAPS2))
    drives = {
        name: drive(name, SPLITS.get(name, "train"), cameras=(), seed=seed)
        for seed, name in enumerate(names)
    }
    write_tables([write_recording(d, root) for d in drives.values()], root, pretrain=())
    return root, drives


@pytest.fixture
def copied(written: Written, tmp_path: Path) -> Path:
    """A copy that a test may break."""
    return Path(shutil.copytree(written[0], tmp_path / "daps3d"))


@pytest.fixture
def sequence(copied: Path) -> Path:
    return copied / "daps-2" / "data" / DAPS2[2]


def is_of(sample: Sample, scan: LidarScan, labels: np.ndarray) -> None:
    np.testing.assert_array_equal(sample.points, scan.points)
    np.testing.assert_array_equal(sample.intensity, np.rint(scan.intensity * 255))
    np.testing.assert_array_equal(sample.labels, labels)
    assert sample.points.dtype == sample.intensity.dtype == np.float32
    assert sample.unknown_labels == {} and sample.n_dropped == 0
    assert sample.cameras == () and sample.lidar_to_global is None and sample.moving is None


def replace_scan(sequence: Path, rows: np.ndarray, labels: np.ndarray) -> None:
    (sequence / "clouds/000000.bin").write_bytes(rows.astype("<f4").tobytes())
    (sequence / "labels/000000.label").write_bytes(labels.astype("<i4").tobytes())


# --- what was written


@pytest.mark.parametrize(
    ("name", "raw", "part", "wanted"),
    [
        ("daps3d", RAW, "daps-2", {"train": DAPS2[:2], "val": DAPS2[2:]}),
        ("daps3d:daps1", RAW_DAPS1, "daps-1", {"train": ("00",), "val": ("08",)}),
    ],
)
def test_reads_what_was_written(
    written: Written, name: str, raw: np.ndarray, part: str, wanted: dict[str, tuple[str, ...]]
) -> None:
    root, drives = written
    dataset = open_dataset(name)
    for split, sequences in wanted.items():
        frames = dataset.frames(root, split)
        moments = [m for sequence in sequences for m in drives[f"{part}/{sequence}"].moments]
        assert [f.sequence for f in frames] == [s for s in sequences for _ in range(3)]
        assert [f.index for f in frames] == [0, 1, 2] * len(sequences)
        for frame, moment in zip(frames, moments, strict=True):
            sample = dataset.load(frame)
            is_of(sample, moment.scan, dataset.card.remap(raw[moment.scan.label]))
            seen = set(sample.labels.tolist()) - {IGNORE}
            assert seen == set(range(len(dataset.card.classes)))
        assert frames[0].id == f"{part.replace('-', '')}/{sequences[0]}/000000"


def test_layout_is_the_documented_one(written: Written) -> None:
    root, drives = written
    scan = drives["daps-1/00"].moments[1].scan
    rows = np.fromfile(root / "daps-1/data/00/clouds/000001.bin", "<f4").reshape(-1, 4)
    np.testing.assert_array_equal(rows[:, :3], scan.points)
    assert rows[:, 3].max() <= 255 and (rows[:, 3] == np.rint(rows[:, 3])).all()
    labels = np.fromfile(root / "daps-1/data/00/labels/000001.label", "<i4")
    assert set(labels.tolist()) == {0, 10, 30, 40, 50}  # all that occurs in DAPS-1
    other = np.fromfile(root / f"daps-2/data/{DAPS2[0]}/labels/000001.label", "<i4")
    assert {30, 31, 32, 48, 72, 70, 71, 80, 81} <= set(other.tolist()) and other.max() <= 99
    settings = yaml.safe_load((root / "daps-1/params.yml").read_text())
    assert settings["sensor"]["type"] == "spherical"
    assert settings["img_prop"] == {"width": 90, "height": 32}  # of the sensor in this test
    assert not (root / "splits.json").exists()


def test_nothing_is_for_pretraining(written: Written, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no cameras"):
        write_tables([], tmp_path, pretrain=["daps-1/00"])


# --- classes


@pytest.mark.parametrize("name", ["daps3d", "daps3d:daps1", "daps3d:daps2-vehicle"])
def test_label_map_is_total(name: str) -> None:
    card = open_dataset(name).card
    assert set(card.raw_names) == set(card.labels)
    everything = np.arange(1 << 16)
    ids = card.remap(everything)
    listed = np.array(sorted(card.labels))
    assert (np.delete(ids, listed) == IGNORE).all()
    members = {
        name: {raw for raw, train_id in card.labels.items() if train_id == i}
        for i, name in enumerate(card.class_names)
    }
    vehicle = {10, 11, 13, 15, 16, 18, 20, 252, 256, 257, 258, 259}
    assert members["human"] == {30, 31, 32, 253, 254, 255}
    assert members["surface"] == {40, 44, 48, 49, 60, 72}
    assert members["obstacle"] == {50, 51, 70, 71, 80, 81}
    ignored = {r for r, i in card.labels.items() if i == IGNORE}
    if name == "daps3d":
        assert "vehicle" not in members and ignored == {0, 1, 52, 99} | vehicle
    else:
        assert members["vehicle"] == vehicle and ignored == {0, 1, 52, 99}
        assert card.class_names == ("vehicle", "human", "surface", "obstacle")


def test_every_class_of_the_world_has_an_id() -> None:
    for name, raw in (("daps3d", RAW), ("daps3d:daps2-vehicle", RAW), ("daps3d:daps1", RAW_DAPS1)):
        card = open_dataset(name).card
        assert not card.unknown(raw)
        assert set(card.remap(raw)) == {*range(len(card.classes)), IGNORE}
    four = open_dataset("daps3d:daps1").card
    np.testing.assert_array_equal(four.remap(RAW_DAPS1), four.remap(RAW))


def test_unknown_raw_ids_are_counted_and_ignored(copied: Path, sequence: Path) -> None:
    path = sequence / "labels/000000.label"
    values = np.fromfile(path, "<i4")
    values[:3] = [250, 250, 12]
    values.tofile(path)
    sample = Daps3d().load(Daps3d().frames(copied, "val")[0])
    assert sample.unknown_labels == {250: 2, 12: 1}
    assert sample.labels is not None and (sample.labels[:3] == IGNORE).all()


def test_instances_in_the_high_half_are_masked(copied: Path, sequence: Path) -> None:
    dataset = Daps3d()
    frame = dataset.frames(copied, "val")[0]
    before = dataset.load(frame)
    path = sequence / "labels/000000.label"
    values = np.fromfile(path, "<i4") | np.int32(-1 << 31) | np.int32(77 << 16)
    assert (values < 0).all()
    values.tofile(path)
    after = dataset.load(frame)
    np.testing.assert_array_equal(after.labels, before.labels)
    assert after.unknown_labels == {}


# --- the two parts


def test_variants_read_differently(written: Written) -> None:
    root, _ = written
    names = ("daps3d", "daps3d:daps1", "daps3d:daps2-vehicle")
    readers = [open_dataset(name) for name in names]
    assert [r.card.title for r in readers] == ["DAPS-2", "DAPS-1", "DAPS-2, 4 classes"]
    assert all(r.card.protocol == "assumed" for r in readers)
    second, first, four = ({f.id for f in r.frames(root, "train")} for r in readers)
    assert second == four and not first & second
    assert {i.split("/")[0] for i in first} == {"daps1"}
    manifests = [r.manifest(root) for r in readers]
    assert manifests[0] == manifests[2] != manifests[1]
    three, _, with_vehicle = (r.load(r.frames(root, "val")[-1]).labels for r in readers)
    assert three is not None and with_vehicle is not None
    np.testing.assert_array_equal(three, np.where(with_vehicle == 0, IGNORE, with_vehicle) - (
        with_vehicle != 0) * (with_vehicle != IGNORE))  # fmt: skip
    with pytest.raises(UserError, match='Did you mean "daps1"'):
        open_dataset("daps3d:daps-1")


def test_published_sequences() -> None:
    first = open_dataset("daps3d:daps1").card.splits
    assert first["val"] == ("08",)
    assert first["train"] == ("00", "01", "02", "03", "04", "05", "06", "07", "09", "10")


@pytest.mark.parametrize("hyphen", ["daps-1", "daps1"])
def test_folder_with_and_without_hyphen(copied: Path, hyphen: str) -> None:
    dataset = open_dataset("daps3d:daps1")
    ids = [frame.id for frame in dataset.frames(copied, "train")]
    (copied / "daps-1").rename(copied / hyphen)
    assert [frame.id for frame in dataset.frames(copied, "train")] == ids
    (copied / "daps-2").rename(copied / "daps2")
    assert len(Daps3d().frames(copied, "train")) == 6


def test_both_folders_at_once(copied: Path) -> None:
    shutil.copytree(copied / "daps-2", copied / "daps2")
    with pytest.raises(UserError, match="daps-2 and daps2 both lie here"):
        Daps3d().frames(copied, "train")


def test_half_is_the_first_sequence_or_every_second_scan(written: Written) -> None:
    root, _ = written
    dataset = Daps3d()
    frames = dataset.frames(root, "train")
    half, full = (resolve(dataset.card, frames, share) for share in ("50%", "100%"))
    assert half.name == "50%@sequence"
    assert {frame.sequence for frame in half.frames} == {DAPS2[0]} and len(half.frames) == 3
    assert full.frames == tuple(frames)
    assert resolve(dataset.card, frames, "100%@sequence").frames == tuple(frames)
    other = open_dataset("daps3d:daps1")
    frames = other.frames(root, "train")
    half = resolve(other.card, frames, "50%")
    assert half.name == "50%@stride" and half.frames == tuple(frames[::2])


def test_splits_file_of_a_part(copied: Path) -> None:
    (copied / "daps-2" / "splits.json").write_text(f'{{"train": ["{DAPS2[2]}"]}}')
    assert {f.sequence for f in Daps3d().frames(copied, "train")} == {DAPS2[2]}
    assert len(open_dataset("daps3d:daps1").frames(copied, "train")) == 3


# --- file types


def test_scans_and_labels_as_npy(copied: Path, sequence: Path) -> None:
    dataset = Daps3d()
    before = [dataset.load(frame) for frame in dataset.frames(copied, "val")]
    for path in (sequence / "clouds").glob("*.bin"):
        np.save(path.with_suffix(".npy"), np.fromfile(path, "<f4").reshape(-1, 4).astype("<f8"))
        path.unlink()
    for path in (sequence / "labels").glob("*.label"):
        np.save(path.with_suffix(".npy"), np.fromfile(path, "<i4"))
        path.unlink()
    after = [dataset.load(frame) for frame in dataset.frames(copied, "val")]
    for one, other in zip(before, after, strict=True):
        assert one.frame.id == other.frame.id
        np.testing.assert_array_equal(one.points, other.points)
        np.testing.assert_array_equal(one.intensity, other.intensity)
        np.testing.assert_array_equal(one.labels, other.labels)


def test_one_scan_twice(copied: Path, sequence: Path) -> None:
    np.save(sequence / "clouds/000001.npy", np.zeros((3, 4)))
    with pytest.raises(UserError, match=r"000001\.bin lies beside this file"):
        Daps3d().frames(copied, "val")


def test_scans_come_by_number(copied: Path, sequence: Path) -> None:
    for part in ("clouds", "labels"):
        for old, new in (("000000", "10"), ("000001", "9"), ("000002", "100")):
            path = next((sequence / part).glob(f"{old}.*"))
            path.rename(path.with_stem(new))
    assert [f.id.split("/")[-1] for f in Daps3d().frames(copied, "val")] == ["9", "10", "100"]
    (sequence / "clouds/9.bin").rename(sequence / "clouds/a.bin")
    names = [f.id.split("/")[-1] for f in Daps3d().frames(copied, "val")]
    assert names == ["10", "100", "a"]


def test_beams_without_a_return_are_dropped_and_counted(copied: Path, sequence: Path) -> None:
    rows = np.array([[0, 0, 0, 7], [1, 2, 3, 4], [0, 0, 0, 0], [0, 0, -1, 5]], np.float32)
    replace_scan(sequence, rows, np.array([0, 30, 40, 48]))
    sample = Daps3d().load(Daps3d().frames(copied, "val")[0])
    assert sample.n_dropped == 2
    assert sample.points.tolist() == [[1, 2, 3], [0, 0, -1]]
    assert sample.labels is not None and sample.labels.tolist() == [0, 1]
    assert sample.intensity.tolist() == [4, 5]
    replace_scan(sequence, np.zeros((4, 4)), np.zeros(4))
    with pytest.raises(UserError, match="empty"):
        Daps3d().load(Daps3d().frames(copied, "val")[0])


# --- wrong input


def test_missing_root_tells_remedy(written: Written, tmp_path: Path) -> None:
    for root in (tmp_path / "nowhere", tmp_path):
        for name, folder in (("daps3d", "daps-2"), ("daps3d:daps1", "daps-1")):
            for ask in (
                open_dataset(name).manifest,
                lambda r, n=name: open_dataset(n).frames(r, "val"),
            ):
                with pytest.raises(UserError, match="LIMA_BENCH_DATA") as error:
                    ask(root)
                assert f"{folder}/data/<sequence>/clouds" in error.value.how


def test_missing_split_folder(copied: Path, sequence: Path) -> None:
    shutil.rmtree(sequence / "clouds")
    with pytest.raises(UserError, match="no scans here") as error:
        Daps3d().frames(copied, "val")
    assert error.value.where == str(sequence / "clouds")
    shutil.rmtree(sequence)
    with pytest.raises(UserError, match="None of the 1 sequences of DAPS-2 val"):
        Daps3d().frames(copied, "val")


def test_truncated_scan(copied: Path, sequence: Path) -> None:
    frame = Daps3d().frames(copied, "val")[1]
    path = sequence / "clouds/000001.bin"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(UserError, match=r"truncated.*no multiple of 16") as error:
        Daps3d().load(frame)
    assert error.value.where == str(path)
    path.unlink()
    with pytest.raises(UserError, match="scan is missing"):
        Daps3d().load(frame)


def test_empty_scan(copied: Path, sequence: Path) -> None:
    replace_scan(sequence, np.zeros((0, 4)), np.zeros(0))
    with pytest.raises(UserError, match="empty") as error:
        Daps3d().load(Daps3d().frames(copied, "val")[0])
    assert error.value.where == str(sequence / "clouds/000000.bin")


def test_points_that_are_not_numbers(copied: Path, sequence: Path) -> None:
    for strange in (np.nan, np.inf):
        replace_scan(sequence, np.array([[1, 2, 3, 4], [1, strange, 3, 4]]), np.array([40, 40]))
        with pytest.raises(UserError, match="1 of 2 points are not numbers"):
            Daps3d().load(Daps3d().frames(copied, "val")[0])


def test_labels_of_another_length(copied: Path, sequence: Path) -> None:
    frame = Daps3d().frames(copied, "val")[0]
    path = sequence / "labels/000000.label"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(UserError, match="labels of 4 bytes, but its scan has") as error:
        Daps3d().load(frame)
    assert error.value.where == str(path)
    path.unlink()
    with pytest.raises(UserError, match="label file is missing") as error:
        Daps3d().load(frame)
    assert error.value.where == str(path)


def test_unknown_split_names_the_nearest(written: Written) -> None:
    with pytest.raises(UserError, match='Did you mean "val"'):
        Daps3d().frames(written[0], "vall")


def test_manifest_notices_changes(copied: Path, sequence: Path) -> None:
    dataset = Daps3d()
    seen = [dataset.manifest(copied)]
    other = open_dataset("daps3d:daps1").manifest(copied)
    (copied / "daps-2/params.yml").write_text("sensor: another\n")
    seen.append(dataset.manifest(copied))
    (copied / "daps-2/splits.json").write_text(f'{{"val": ["{DAPS2[2]}"]}}')
    seen.append(dataset.manifest(copied))
    (sequence / "labels/000000.label").unlink()
    seen.append(dataset.manifest(copied))
    assert len(set(seen)) == 4
    assert open_dataset("daps3d:daps1").manifest(copied) == other
    moved = copied.rename(copied.parent / "elsewhere")
    assert dataset.manifest(moved) == seen[-1]


def test_frames_travel_between_processes(written: Written) -> None:
    dataset = Daps3d()
    frame = dataset.frames(written[0], "val")[1]
    twin = pickle.loads(pickle.dumps(frame))
    assert twin == frame
    np.testing.assert_array_equal(Daps3d().load(twin).points, dataset.load(frame).points)


# --- the world


def test_world_is_written_and_every_class_shows(tmp_path: Path) -> None:
    root = build_world(TINY, tmp_path, datasets=("daps3d",)) / "daps3d"
    for name, part in (("daps3d", "daps-2"), ("daps3d:daps1", "daps-1")):
        dataset = open_dataset(name)
        settings = yaml.safe_load((root / part / "params.yml").read_text())
        assert settings["sensor"]["fov_up"] == 45 and settings["sensor"]["fov_down"] == -45
        assert settings["img_prop"] == {"width": 60, "height": 64}
        for split, trips in dataset.card.splits.items():
            frames = dataset.frames(root, split)
            assert list(dict.fromkeys(f.sequence for f in frames)) == list(trips)
            samples = [dataset.load(frame) for frame in frames]
            labels = np.concatenate([s.labels for s in samples if s.labels is not None])
            counts = np.bincount(labels, minlength=256)[: len(dataset.card.classes)]
            assert len(samples) == 2 * len(trips) and counts.min() >= 5, counts
            assert not any(sample.unknown_labels for sample in samples)


def test_the_sensor_is_low_and_looks_up_and_down() -> None:
    for index, part in ((0, "daps-1"), (10, "daps-2")):
        recording = record_drive(TINY, "daps3d", "train", index)
        assert recording.name.startswith(part)
        scan = recording.moments[0].scan
        away = np.linalg.norm(scan.points, axis=1)
        elevation = np.degrees(np.arcsin(scan.points[:, 2] / away))
        assert 20 < elevation.max() < 50 and -50 < elevation.min() < -40
        assert scan.points[away < 3, 2].min() == pytest.approx(-1.0, abs=0.2)
        assert np.median(away) < 6
        way = [moment.scan.ego_to_global[:2, 3] for moment in recording.moments]
        assert 0.3 < np.linalg.norm(way[1] - way[0]) < 1.6  # metres in a second: on foot


def test_the_robot_keeps_to_the_path() -> None:
    """Of what lies within a step of it in DAPS-2; in DAPS-1 it is where KITTI's car was."""
    below = {"daps-1": np.zeros(len(Label)), "daps-2": np.zeros(len(Label))}
    for split, index in (("train", 0), ("train", 5), ("train", 10), ("train", 11), ("val", 1)):
        recording = record_drive(TINY, "daps3d", split, index)
        for moment in recording.moments:
            near = np.linalg.norm(moment.scan.points[:, :2], axis=1) < 1.2
            counts = np.bincount(moment.scan.label[near], minlength=len(Label))
            below[recording.name[:6]] += counts / counts.sum()
    road = [Label.ROAD, Label.LANE_MARKING]
    assert below["daps-2"][Label.SIDEWALK] > 3 and below["daps-2"][road].sum() < 1
    assert below["daps-1"][Label.SIDEWALK] == 0 and below["daps-1"][road].sum() > 3.5


def test_profiles_have_every_sequence() -> None:
    for profile in ("embedded", "smoke"):
        names = [trip.name for trip in expedition_of(named_spec(profile), "daps3d").trips]
        assert len(names) == len(set(names)) == 11 + 3
