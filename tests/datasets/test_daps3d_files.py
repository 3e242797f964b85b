"""DAPS-3D: folders and files of every documented kind, and how the world is seen from a robot."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from lima_bench.common.errors import UserError
from lima_bench.datasets.api import open_dataset
from lima_bench.datasets.daps3d.reader import Daps3d
from lima_bench.datasets.label_shares import resolve
from lima_bench.datasets.world.drive import drive as record_drive
from lima_bench.datasets.world.drives import Daps3dDrive
from lima_bench.datasets.world.expedition import expedition_of
from lima_bench.datasets.world.labels import Label
from lima_bench.datasets.world.recording import Recording
from lima_bench.datasets.world.spec import WorldSpec, named_spec

Written = tuple[Path, dict[str, Recording]]
DAPS2 = ("38-18_7_72_90", "42-48_10_78_90", "44-18_11_15_32")
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


def replace_scan(sequence: Path, rows: np.ndarray, labels: np.ndarray) -> None:
    (sequence / "clouds/000000.bin").write_bytes(rows.astype("<f4").tobytes())
    (sequence / "labels/000000.label").write_bytes(labels.astype("<i4").tobytes())


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


def test_half_is_the_first_sequence_or_every_second_scan(daps3d_root: Written) -> None:
    root, _ = daps3d_root
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
    assert {path.suffix for sample in after for path in dataset.files(sample.frame)} == {".npy"}
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
