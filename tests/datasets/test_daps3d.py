"""DAPS-3D: what was written is read; its two parts never pass for one another."""

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from lima_bench.common.errors import UserError
from lima_bench.datasets.api import open_dataset
from lima_bench.datasets.daps3d.raw_ids import RAW, RAW_DAPS1
from lima_bench.datasets.daps3d.reader import Daps3d
from lima_bench.datasets.daps3d.writer import write_tables
from lima_bench.datasets.sample import IGNORE, Sample
from lima_bench.datasets.world.build import build_world
from lima_bench.datasets.world.drives import Daps3dDrive
from lima_bench.datasets.world.recording import LidarScan, Recording
from lima_bench.datasets.world.spec import WorldSpec

Written = tuple[Path, dict[str, Recording]]
DAPS2 = ("38-18_7_72_90", "42-48_10_78_90", "44-18_11_15_32")
SPLITS = {"daps-1/08": "val", f"daps-2/{DAPS2[2]}": "val"}
TINY = WorldSpec(daps3d=Daps3dDrive(daps1_scans=2, daps2_scans=2, azimuths=60, max_range_m=40.0))

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*sequences of DAPS-1:lima_bench.datasets.splits.IncompleteData"
)


@pytest.fixture
def copied(daps3d_root: Written, tmp_path: Path) -> Path:
    """A copy that a test may break."""
    return Path(shutil.copytree(daps3d_root[0], tmp_path / "daps3d"))


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
    daps3d_root: Written, name: str, raw: np.ndarray, part: str, wanted: dict[str, tuple[str, ...]]
) -> None:
    root, drives = daps3d_root
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


def test_layout_is_the_documented_one(daps3d_root: Written) -> None:
    root, drives = daps3d_root
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
    frame = open_dataset("daps3d:daps1").frames(root, "train")[1]
    assert Daps3d().files(frame) == [
        root / "daps-1/data/00/clouds/000001.bin", root / "daps-1/data/00/labels/000001.label",
    ]  # fmt: skip


def test_nothing_is_for_pretraining(daps3d_root: Written, tmp_path: Path) -> None:
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


def test_variants_read_differently(daps3d_root: Written) -> None:
    root, _ = daps3d_root
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


# --- wrong input


def test_missing_root_tells_remedy(daps3d_root: Written, tmp_path: Path) -> None:
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


def test_unknown_split_names_the_nearest(daps3d_root: Written) -> None:
    with pytest.raises(UserError, match='Did you mean "val"'):
        Daps3d().frames(daps3d_root[0], "vall")


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


def test_frames_travel_between_processes(daps3d_root: Written) -> None:
    dataset = Daps3d()
    frame = dataset.frames(daps3d_root[0], "val")[1]
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
