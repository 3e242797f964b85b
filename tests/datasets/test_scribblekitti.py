"""ScribbleKITTI: scribbles teach, dense labels judge, scans may lie in SemanticKITTI's root."""

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lima_bench.common.errors import UserError
from lima_bench.datasets.api import open_dataset
from lima_bench.datasets.label_shares import resolve
from lima_bench.datasets.sample import IGNORE
from lima_bench.datasets.scribblekitti.raw_ids import MOVING_RAW, RAW
from lima_bench.datasets.scribblekitti.reader import ScribbleKitti
from lima_bench.datasets.scribblekitti.scribbles import scribbled
from lima_bench.datasets.scribblekitti.writer import write_recording, write_tables
from lima_bench.datasets.semantickitti.reader import SemanticKitti
from lima_bench.datasets.splits import IncompleteData
from lima_bench.datasets.world.build import build_world
from lima_bench.datasets.world.drives import ScribbleKittiDrive
from lima_bench.datasets.world.recording import LidarScan, Recording
from lima_bench.datasets.world.spec import WorldSpec

Written = tuple[Path, list[Recording]]
TINY = WorldSpec(
    scribblekitti=ScribbleKittiDrive(train_scans=2, val_scans=2, azimuths=90, max_range_m=40.0)
)

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*sequences of ScribbleKITTI:lima_bench.datasets.splits.IncompleteData"
)


def raw_ids(scan: LidarScan) -> np.ndarray:
    return np.where(scan.moving, MOVING_RAW[scan.label], RAW[scan.label])


@pytest.fixture(scope="module")
def written(drive: Callable[..., Recording], tmp_path_factory: pytest.TempPathFactory) -> Written:
    """A data root of two sequences and what was written there."""
    root = tmp_path_factory.mktemp("data") / "scribblekitti"
    drives = [drive("03", cameras=(), seed=4), drive("08", "val", cameras=(), seed=5)]
    write_tables([write_recording(d, root) for d in drives], root, pretrain=())
    with pytest.raises(ValueError, match="no images"):
        write_tables([], root, pretrain=["03"])
    return root, drives


@pytest.fixture
def copied(written: Written, tmp_path: Path) -> Path:
    """A copy that a test may break."""
    return Path(shutil.copytree(written[0], tmp_path / "scribblekitti"))


@pytest.fixture
def apart(copied: Path) -> Path:
    """The same data in two roots: scribbles alone, everything else in SemanticKITTI's."""
    base = copied.parent / "semantickitti" / "dataset" / "sequences"
    for name in ("03", "08"):
        shutil.copytree(
            copied / "sequences" / name, base / name, ignore=shutil.ignore_patterns("scribbles")
        )
        for part in ("velodyne", "labels"):
            shutil.rmtree(copied / "sequences" / name / part, ignore_errors=True)
        for text in ("calib.txt", "poses.txt", "times.txt"):
            (copied / "sequences" / name / text).unlink()
    shutil.rmtree(copied / "sequences" / "08")
    return copied


# --- what was written


@pytest.mark.parametrize(("split", "place"), [("train", 0), ("val", 1)])
def test_reads_what_was_written(written: Written, split: str, place: int) -> None:
    root, drives = written
    dataset, recording = ScribbleKitti(), drives[place]
    frames = dataset.frames(root, split)
    assert [f.id for f in frames] == [f"{recording.name}/00000{i}" for i in range(3)]
    first, marks = recording.moments[0].scan, scribbled(recording)
    start = np.linalg.inv(first.ego_to_global @ first.lidar_to_ego)
    for i, (frame, moment) in enumerate(zip(frames, recording.moments, strict=True)):
        sample, scan = dataset.load(frame), moment.scan
        assert frame.timestamp_s == pytest.approx((scan.timestamp_us - first.timestamp_us) * 1e-6)
        np.testing.assert_array_equal(sample.points, scan.points)
        np.testing.assert_allclose(sample.intensity, scan.intensity, atol=0.0051 + 0.01)
        pose = start @ scan.ego_to_global @ scan.lidar_to_ego
        np.testing.assert_allclose(sample.lidar_to_global, pose, atol=1e-9)
        labels = dataset.card.remap(raw_ids(scan))
        if split == "train":
            labels = np.where(marks[i], labels, IGNORE)
            assert sample.moving is None
        else:
            np.testing.assert_array_equal(
                sample.moving, np.isin(raw_ids(scan), dataset.card.moving_raw)
            )
        np.testing.assert_array_equal(sample.labels, labels)
        assert sample.unknown_labels == {} and sample.cameras == ()


def test_scribbles_for_training_dense_labels_for_validation(written: Written) -> None:
    root, _ = written
    assert not list(root.rglob("03/labels")) and not list(root.rglob("08/scribbles"))
    values = np.fromfile(root / "sequences/03/scribbles/000001.label", "<u4")
    assert (values == 0).mean() > 0.5 and values.max() < 1 << 16
    dense = np.fromfile(root / "sequences/08/labels/000001.label", "<u4")
    assert (dense == 0).mean() < 0.05 and dense.max() >= 1 << 16


def test_training_never_reads_dense_labels(copied: Path) -> None:
    """Whoever has SemanticKITTI has dense labels of the train sequences too."""
    dataset = ScribbleKitti()
    before = [dataset.load(f).labels for f in dataset.frames(copied, "train")]
    scribbles = copied / "sequences/03/scribbles"
    shutil.copytree(scribbles, copied / "sequences/03/labels")
    for path in (copied / "sequences/03/labels").iterdir():
        path.write_bytes(np.full(path.stat().st_size // 4, 10, "<u4").tobytes())
    after = [dataset.load(f).labels for f in dataset.frames(copied, "train")]
    np.testing.assert_equal(after, before)


def test_label_map_is_total() -> None:
    card, kitti = ScribbleKitti.card, SemanticKitti.card
    assert (card.labels, card.classes) == (kitti.labels, kitti.classes)
    assert set(card.labels) == set(card.raw_names)
    assert (card.remap(np.setdiff1d(np.arange(1 << 16), list(card.labels))) == IGNORE).all()
    assert set(card.remap(RAW)) == {*range(19), IGNORE} and card.splits["val"] == ("08",)
    assert not card.unknown(RAW) and not card.unknown(MOVING_RAW)
    assert card.splits["train"] == kitti.splits["train"]
    assert card.label_shares == {"default": "slidr-stride"}


# --- two roots


def test_scans_may_lie_in_the_sibling_root(written: Written, apart: Path) -> None:
    dataset = ScribbleKitti()
    for split in ("train", "val"):
        together, parted = (dataset.frames(root, split) for root in (written[0], apart))
        assert together == parted
        for one, other in zip(together, parted, strict=True):
            for name in ("points", "labels", "lidar_to_global"):
                np.testing.assert_array_equal(
                    getattr(dataset.load(one), name), getattr(dataset.load(other), name)
                )


def test_a_link_to_semantickitti_with_scribbles_in_it(copied: Path, tmp_path: Path) -> None:
    copied.rename(tmp_path / "semantickitti")
    copied.symlink_to("semantickitti")
    dataset = ScribbleKitti()
    assert len(dataset.frames(copied, "train")) == len(dataset.frames(copied, "val")) == 3


def test_own_scans_come_first(copied: Path, written: Written) -> None:
    """A sibling may be another world: scans and labels of one sequence never mix."""
    sibling = copied.parent / "semantickitti" / "dataset" / "sequences" / "08"
    shutil.copytree(copied / "sequences" / "08", sibling)
    for path in sibling.glob("*/*"):
        path.write_bytes(b"")
    dataset = ScribbleKitti()
    sample = dataset.load(dataset.frames(copied, "val")[0])
    assert len(sample.points) == len(written[1][1].moments[0].scan.points)


def test_says_what_is_looked_for_where(apart: Path) -> None:
    dataset = ScribbleKitti()
    sibling = apart.parent / "semantickitti"
    shutil.rmtree(sibling / "dataset/sequences/08/labels")
    with pytest.raises(UserError, match=r"no dense labels of sequence 08.*\n.*odometry_labels"):
        dataset.frames(apart, "val")
    shutil.rmtree(apart / "sequences/03/scribbles")
    with pytest.raises(UserError, match="no scribbles of sequence 03") as error:
        dataset.frames(apart, "train")
    assert error.value.where == str(apart / "sequences/03/scribbles")
    shutil.rmtree(sibling)
    with pytest.raises(UserError, match="no scans") as error:
        dataset.frames(apart, "train")
    assert str(sibling) in error.value.how


# --- wrong input


def test_missing_root_tells_remedy(tmp_path: Path) -> None:
    for root in (tmp_path / "scribblekitti", tmp_path):
        with pytest.raises(UserError, match="LIMA_BENCH_DATA") as error:
            ScribbleKitti().frames(root, "train")
        assert "sequences/00/scribbles/000000.label" in error.value.how
        assert "semantickitti" in error.value.how
        with pytest.raises(UserError, match="LIMA_BENCH_DATA"):
            ScribbleKitti().manifest(root)


def test_missing_split_folder(copied: Path) -> None:
    shutil.rmtree(copied / "sequences/08")
    with pytest.raises(UserError, match="None of the 1 sequences of ScribbleKITTI val"):
        ScribbleKitti().frames(copied, "val")
    with pytest.warns(IncompleteData, match="1 of 10 sequences"):
        ScribbleKitti().frames(copied, "train")


def test_unknown_split_names_the_nearest(written: Written) -> None:
    with pytest.raises(UserError, match='Did you mean "train"'):
        ScribbleKitti().frames(written[0], "trian")


def test_truncated_scan(copied: Path) -> None:
    dataset = ScribbleKitti()
    frame = dataset.frames(copied, "train")[1]
    path = copied / "sequences/03/velodyne/000001.bin"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(UserError, match=r"truncated.*no multiple of 16") as error:
        dataset.load(frame)
    assert error.value.where == str(path)


def test_empty_scan(copied: Path) -> None:
    dataset = ScribbleKitti()
    frame = dataset.frames(copied, "val")[0]
    path = copied / "sequences/08/velodyne/000000.bin"
    path.write_bytes(b"")
    with pytest.raises(UserError, match="empty"):
        dataset.load(frame)


def test_points_that_are_not_numbers(copied: Path) -> None:
    dataset = ScribbleKitti()
    frame = dataset.frames(copied, "val")[0]
    path = copied / "sequences/08/velodyne/000000.bin"
    rows = np.fromfile(path, "<f4").reshape(-1, 4)
    rows[[3, 7], [0, 2]] = np.nan, np.inf
    rows.tofile(path)
    with pytest.raises(UserError, match=f"2 of {len(rows)} points are not numbers"):
        dataset.load(frame)


@pytest.mark.parametrize(("split", "folder"), [("train", "03/scribbles"), ("val", "08/labels")])
def test_labels_of_another_length(copied: Path, split: str, folder: str) -> None:
    dataset = ScribbleKitti()
    frame = dataset.frames(copied, split)[0]
    path = copied / "sequences" / folder / "000000.label"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(UserError, match="labels of 4 bytes, but its scan has") as error:
        dataset.load(frame)
    assert error.value.where == str(path)
    path.unlink()
    with pytest.raises(UserError, match="label file is missing"):
        dataset.load(frame)


def test_unknown_raw_ids_are_counted_and_ignored(copied: Path) -> None:
    path = copied / "sequences/03/scribbles/000000.label"
    values = np.fromfile(path, "<u4")
    values[:3] = [(7 << 16) | 250, 250, 12]
    values.tofile(path)
    sample = ScribbleKitti().load(ScribbleKitti().frames(copied, "train")[0])
    assert sample.unknown_labels == {250: 2, 12: 1}
    assert sample.labels is not None and (sample.labels[:3] == IGNORE).all()


def test_manifest_notices_changes(copied: Path) -> None:
    dataset = ScribbleKitti()
    seen = [dataset.manifest(copied)]
    (copied / "sequences/03/scribbles/000000.label").unlink()
    seen.append(dataset.manifest(copied))
    poses = copied / "sequences/03/poses.txt"
    poses.write_text(poses.read_text().replace("1", "2", 1))
    seen.append(dataset.manifest(copied))
    (copied / "splits.json").write_text('{"train": ["03"]}')
    seen.append(dataset.manifest(copied))
    assert len(set(seen)) == 4
    moved = copied.rename(copied.parent / "elsewhere")
    assert dataset.manifest(moved) == seen[-1]


def test_manifest_notices_changes_of_the_sibling(apart: Path) -> None:
    dataset = ScribbleKitti()
    before = dataset.manifest(apart)
    (apart.parent / "semantickitti/dataset/sequences/08/labels/000001.label").unlink()
    assert dataset.manifest(apart) != before


def test_frames_travel_between_processes(apart: Path) -> None:
    for split in ("train", "val"):
        frame = pickle.loads(pickle.dumps(ScribbleKitti().frames(apart, split)[0]))
        assert ScribbleKitti().load(frame).points.shape[1] == 3


def test_variants_read_differently(copied: Path) -> None:
    """A card without a reading of its own would train on other scans under the same name."""
    plain, lists = open_dataset("scribblekitti"), open_dataset("scribblekitti:lasermix")
    frames = plain.frames(copied, "train")
    folder = copied / "label_shares" / "lasermix-list"
    folder.mkdir(parents=True)
    (folder / "semantickitti_50pct.txt").write_text("/sequences/03/velodyne/000001.bin\n")
    chosen = [
        [f.id for f in resolve(d.card, frames, "50%", lists=folder.parent).frames]
        for d in (plain, lists)
    ]
    assert chosen == [["03/000000", "03/000002"], ["03/000001"]]
    assert plain.card.title != lists.card.title


# --- the world


def test_world_is_written_and_every_class_shows(tmp_path: Path) -> None:
    root = build_world(TINY, tmp_path, datasets=("scribblekitti",)) / "scribblekitti"
    dataset = ScribbleKitti()
    for split, n_frames in (("train", 20), ("val", 2)):
        frames = dataset.frames(root, split)
        assert len(frames) == n_frames
        samples = [dataset.load(frame) for frame in frames]
        assert not any(sample.unknown_labels for sample in samples)
        labels = np.concatenate([sample.labels for sample in samples])
        assert set(range(19)) <= set(labels)
        assert (0.06 < (labels != IGNORE).mean() < 0.10) == (split == "train")
