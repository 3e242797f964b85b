"""SemanticKITTI: what wrong input gets."""

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from lima_bench.common.errors import UserError
from lima_bench.datasets.api import open_dataset
from lima_bench.datasets.sample import IGNORE
from lima_bench.datasets.semantickitti.reader import SemanticKitti
from lima_bench.datasets.world.build import build_world
from lima_bench.datasets.world.drives import SemanticKittiDrive
from lima_bench.datasets.world.recording import Recording
from lima_bench.datasets.world.spec import WorldSpec

Written = tuple[Path, list[Recording]]


@pytest.fixture
def copied(semantickitti_root: Written, tmp_path: Path) -> Path:
    """A copy that a test may break."""
    return Path(shutil.copytree(semantickitti_root[0], tmp_path / "semantickitti"))


@pytest.fixture
def sequence(copied: Path) -> Path:
    return copied / "dataset" / "sequences" / "08"


def test_missing_root_tells_remedy(tmp_path: Path) -> None:
    for root in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(UserError, match="LIMA_BENCH_DATA") as error:
            SemanticKitti().frames(root, "train")
        assert "velodyne/000000.bin" in error.value.how


def test_unknown_split_names_the_nearest(copied: Path) -> None:
    with pytest.raises(UserError, match='Did you mean "val"'):
        SemanticKitti().frames(copied, "vall")
    (copied / "splits.json").write_text('{"val": ["80"]}')
    with pytest.raises(UserError, match=r'no sequence "80".*Did you mean "08"'):
        SemanticKitti().frames(copied, "val")
    (copied / "splits.json").write_text('["08"]')
    with pytest.raises(UserError, match="object of lists of sequence names"):
        SemanticKitti().frames(copied, "val")


def test_truncated_scan(copied: Path, sequence: Path) -> None:
    dataset = SemanticKitti()
    frame = dataset.frames(copied, "val")[0]
    path = sequence / "velodyne/000000.bin"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(UserError, match=r"truncated.*no multiple of 16") as error:
        dataset.load(frame)
    assert error.value.where == str(path)


def test_labels_of_another_length(copied: Path, sequence: Path) -> None:
    dataset = SemanticKitti()
    frame = dataset.frames(copied, "val")[0]
    path = sequence / "labels/000000.label"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(UserError, match="labels of 4 bytes, but its scan has") as error:
        dataset.load(frame)
    assert error.value.where == str(path)
    path.unlink()
    with pytest.raises(UserError, match="label file is missing"):
        dataset.load(frame)


def test_unknown_raw_ids_are_counted_and_ignored(copied: Path, sequence: Path) -> None:
    path = sequence / "labels/000000.label"
    values = np.fromfile(path, "<u4")
    values[:3] = [(7 << 16) | 250, 250, 12]
    values.tofile(path)
    sample = SemanticKitti().load(SemanticKitti().frames(copied, "val")[0])
    assert sample.unknown_labels == {250: 2, 12: 1}
    assert sample.labels is not None and (sample.labels[:3] == IGNORE).all()


def test_absent_calibration(copied: Path, sequence: Path) -> None:
    (sequence / "calib.txt").write_text("P2: 1 2 3\n")
    with pytest.raises(UserError, match="P2: with twelve numbers is absent"):
        SemanticKitti().frames(copied, "val")
    (sequence / "calib.txt").unlink()
    with pytest.raises(UserError, match="calibration is absent") as error:
        SemanticKitti().frames(copied, "val")
    assert error.value.where == str(sequence / "calib.txt")


def test_scans_and_labels_alone_need_no_calibration(copied: Path, sequence: Path) -> None:
    for name in ("calib.txt", "poses.txt", "times.txt"):
        (sequence / name).unlink()
    shutil.rmtree(sequence / "image_2")
    frames = SemanticKitti().frames(copied, "val")
    assert [frame.timestamp_s for frame in frames] == [0.0, 0.1, 0.2]
    sample = SemanticKitti().load(frames[1])
    assert sample.lidar_to_global is None and sample.cameras == () and sample.labels is not None


def test_poses_that_jump(copied: Path, sequence: Path) -> None:
    path = sequence / "poses.txt"
    rows = np.loadtxt(path)
    rows[2, 3] += 50
    np.savetxt(path, rows)
    with pytest.raises(UserError, match=r"jumps by \d+\.\d m in 0\.50 s.*000001 and scan 000002"):
        SemanticKitti().frames(copied, "val")
    rows[1, 0] = 3.0
    np.savetxt(path, rows)
    with pytest.raises(UserError, match="pose of scan 000001 is not a rotation"):
        SemanticKitti().frames(copied, "val")


def test_poses_that_end_early(copied: Path, sequence: Path) -> None:
    (sequence / "times.txt").unlink()
    path = sequence / "poses.txt"
    path.write_text("\n".join(path.read_text().splitlines()[:2]))
    dataset = SemanticKitti()
    with pytest.raises(UserError, match="has 2 rows, none for scan 000002"):
        dataset.load(dataset.frames(copied, "val")[2])
    path.write_text("1 2 3\n")
    with pytest.raises(UserError, match="12 numbers here, this one has 3") as error:
        dataset.frames(copied, "val")
    assert error.value.where == f"{path}:1"


def test_missing_split_folder(copied: Path, sequence: Path) -> None:
    shutil.rmtree(sequence / "velodyne")
    with pytest.raises(UserError, match=r"no scans here.*\n.*data_odometry_velodyne"):
        SemanticKitti().frames(copied, "val")


def test_manifest_notices_changes(copied: Path, sequence: Path) -> None:
    dataset = SemanticKitti()
    seen = {dataset.manifest(copied)}
    path = sequence / "poses.txt"
    path.write_text(path.read_text().replace("1", "2", 1))
    seen.add(dataset.manifest(copied))
    (sequence / "labels/000000.label").unlink()
    seen.add(dataset.manifest(copied))
    moved = copied.rename(copied.parent / "elsewhere")
    assert len(seen) == 3 and dataset.manifest(moved) in seen


def test_empty_scan(copied: Path, sequence: Path) -> None:
    dataset = SemanticKitti()
    path = sequence / "velodyne/000000.bin"
    path.write_bytes(b"")
    with pytest.raises(UserError, match="empty") as error:
        dataset.load(dataset.frames(copied, "val")[0])
    assert error.value.where == str(path)


def test_points_that_are_not_numbers(copied: Path, sequence: Path) -> None:
    path = sequence / "velodyne/000000.bin"
    rows = np.fromfile(path, "<f4").reshape(-1, 4)
    rows[[1, 5], [2, 3]] = np.nan, -np.inf
    rows.tofile(path)
    dataset = SemanticKitti()
    with pytest.raises(UserError, match=f"2 of {len(rows)} points are not numbers") as error:
        dataset.load(dataset.frames(copied, "val")[0])
    assert error.value.where == str(path)


def test_frames_travel_between_processes(semantickitti_root: Written) -> None:
    frame = pickle.loads(pickle.dumps(SemanticKitti().frames(semantickitti_root[0], "val")[0]))
    assert SemanticKitti().load(frame).points.shape[1] == 3


def test_variants_read_differently() -> None:
    """Public text leaves nothing open here, so there is one reading."""
    assert SemanticKitti.card.variants == {} and SemanticKitti.card.protocol == "published"
    with pytest.raises(UserError, match="no card variant"):
        open_dataset("semantickitti:val09")


def test_world_is_written_and_every_class_shows(tmp_path: Path) -> None:
    own = SemanticKittiDrive(
        train_scans=2, val_scans=6, azimuths=240, image_height=20, image_width=64
    )
    root = build_world(WorldSpec(semantickitti=own), tmp_path, datasets=("semantickitti",))
    dataset = SemanticKitti()
    for split in ("train", "val"):
        counts = np.zeros(256, dtype=np.int64)
        for frame in dataset.frames(root / "semantickitti", split):
            counts += np.bincount(dataset.load(frame).labels, minlength=256)
        assert (counts[:19] > 0).all(), (split, counts[:19])
