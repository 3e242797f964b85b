"""SemanticSTF: what was written is read; five columns, consecutive ids, weather by list."""

import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lima_bench.common.errors import UserError
from lima_bench.datasets.api import open_dataset
from lima_bench.datasets.label_shares import resolve
from lima_bench.datasets.sample import IGNORE
from lima_bench.datasets.semantickitti.reader import SemanticKitti
from lima_bench.datasets.semanticstf.raw_ids import INVALID, RAW
from lima_bench.datasets.semanticstf.reader import SemanticStf
from lima_bench.datasets.semanticstf.writer import write_recording, write_tables
from lima_bench.datasets.world.build import build_world
from lima_bench.datasets.world.drives import SemanticStfDrive
from lima_bench.datasets.world.labels import SCORED_19, Label
from lima_bench.datasets.world.recording import Recording
from lima_bench.datasets.world.spec import WorldSpec

Written = tuple[Path, dict[str, list[Recording]]]
WEATHERS = ("snow", "dense_fog", "light_fog", "rain")
COUNTS = {"train": 5, "val": 4, "test": 2}


@pytest.fixture(scope="module")
def written(drive: Callable[..., Recording], tmp_path_factory: pytest.TempPathFactory) -> Written:
    """A data root of eleven single frames."""
    root = tmp_path_factory.mktemp("data") / "semanticstf"
    drives: dict[str, list[Recording]] = {}
    for split, count in COUNTS.items():
        for i in range(count):
            whole = drive(f"2018-02-03_20-48-{35 + i}_00{i}00", split, cameras=(), seed=i)
            one = replace(whole, moments=whole.moments[:1], air=WEATHERS[i % 4])
            drives.setdefault(split, []).append(one)
    parts = [write_recording(d, root) for split in drives for d in drives[split]]
    write_tables(parts, root, pretrain=())
    return root, drives


@pytest.fixture
def copied(written: Written, tmp_path: Path) -> Path:
    """A copy that a test may break."""
    return Path(shutil.copytree(written[0], tmp_path / "semanticstf"))


# --- what was written


def test_reads_what_was_written(written: Written) -> None:
    root, drives = written
    dataset = SemanticStf()
    for split, recordings in drives.items():
        frames = dataset.frames(root, split)
        assert [f.id for f in frames] == [f"{split}/{d.name}" for d in recordings]
        assert len({f.sequence for f in frames}) == len(frames)  # no two belong together
        for frame, recording in zip(frames, recordings, strict=True):
            sample, scan = dataset.load(frame), recording.moments[0].scan
            np.testing.assert_array_equal(sample.points, scan.points)
            np.testing.assert_array_equal(sample.intensity, np.rint(scan.intensity * 255))
            np.testing.assert_array_equal(sample.labels, SCORED_19[scan.label])
            assert sample.unknown_labels == {}
            assert sample.condition == ("" if split == "train" else recording.air)
            assert sample.lidar_to_global is None and sample.cameras == ()
    time_s = dataset.frames(root, "val")[1].timestamp_s
    assert np.datetime64(int(time_s), "s") == np.datetime64("2018-02-03T20:48:36")


def test_files_are_those_of_the_released_set(written: Written) -> None:
    """Five columns and int32 labels; four columns would still divide some files evenly."""
    root, drives = written
    scan = drives["val"][0].moments[0].scan
    name = drives["val"][0].name
    rows = np.fromfile(root / f"val/velodyne/{name}.bin", "<f4").reshape(-1, 5)
    assert len(rows) == len(scan.points) and rows[:, 3].max() > 1
    labels = np.fromfile(root / f"val/labels/{name}.label", "<i4")
    np.testing.assert_array_equal(labels, RAW[scan.label])
    assert set(labels.tolist()) == set(range(21))
    assert (root / "val/val.txt").read_text().splitlines()[0] == f"{name},snow"
    assert (root / "semanticstf.yaml").is_file() and not (root / "train/train.txt").exists()


def test_label_map_is_total() -> None:
    card = SemanticStf.card
    assert card.labels == {0: IGNORE, **{raw: raw - 1 for raw in range(1, 20)}, INVALID: IGNORE}
    assert card.class_names == SemanticKitti.card.class_names
    assert [card.raw_names[raw] for raw in (1, 8, 19)] == ["car", "motorcyclist", "traffic-sign"]
    assert (card.remap(np.arange(21, 1 << 16)) == IGNORE).all()
    np.testing.assert_array_equal(card.remap(RAW), SCORED_19)
    for label in (Label.FOG, Label.SNOW, Label.RAIN):
        assert RAW[label] == INVALID


def test_ids_are_not_those_of_semantickitti() -> None:
    """Raw 10 is parking here and car there: the wrong map gives no error, only wrong scores."""
    raw = np.arange(1, 20)
    wrong = SemanticKitti.card.remap(raw)
    assert (wrong != SemanticStf.card.remap(raw)).all()


def test_half_of_the_labels(written: Written) -> None:
    dataset = SemanticStf()
    frames = dataset.frames(written[0], "train")
    half = resolve(dataset.card, frames, "50%")
    assert half.convention == "stride" and list(half.frames) == list(frames[::2])
    assert len(resolve(dataset.card, frames, "100%").frames) == 5


# --- weather


def test_weather_of_any_folder_that_lists_it(copied: Path) -> None:
    dataset = SemanticStf()
    stem = dataset.frames(copied, "train")[2].id.partition("/")[2]
    (copied / "train/train.txt").write_text(f"{stem}, rain\n\n")
    weathers = [dataset.load(f).condition for f in dataset.frames(copied, "train")]
    assert weathers == ["", "", "rain", "", ""]
    (copied / "val/val.txt").unlink()
    assert {dataset.load(f).condition for f in dataset.frames(copied, "val")} == {""}


@pytest.mark.parametrize(
    ("line", "message"),
    [("a_frame", "not \"name,weather\""), ("a_frame,hail", 'no weather "hail"'),
     ("a_frame,desne_fog", 'Did you mean "dense_fog"'), (",snow", "not \"name,weather\"")],
)  # fmt: skip
def test_broken_weather_list(copied: Path, line: str, message: str) -> None:
    path = copied / "val/val.txt"
    path.write_text(path.read_text() + line)
    with pytest.raises(UserError, match=message) as error:
        SemanticStf().frames(copied, "val")
    assert error.value.where == f"{path}:5"


# --- wrong input


def test_missing_root_tells_remedy(tmp_path: Path) -> None:
    for root in (tmp_path / "nowhere", tmp_path):
        for call in (lambda r: SemanticStf().frames(r, "train"), SemanticStf().manifest):
            with pytest.raises(UserError, match="LIMA_BENCH_DATA") as error:
                call(root)
            assert error.value.where == str(root) and "velodyne" in error.value.how


def test_missing_split_folder(copied: Path) -> None:
    shutil.rmtree(copied / "test")
    with pytest.raises(UserError, match="None of the 1 sequences of SemanticSTF test"):
        SemanticStf().frames(copied, "test")
    shutil.rmtree(copied / "val/velodyne")
    with pytest.raises(UserError, match="no scans here") as error:
        SemanticStf().frames(copied, "val")
    assert error.value.where == str(copied / "val/velodyne")
    assert len(SemanticStf().frames(copied, "train")) == 5


def test_unknown_split_names_the_nearest(written: Written) -> None:
    with pytest.raises(UserError, match='Did you mean "train"'):
        SemanticStf().frames(written[0], "trian")


def scan_of(root: Path, frame_id: str) -> Path:
    folder, _, stem = frame_id.partition("/")
    return root / folder / "velodyne" / f"{stem}.bin"


def test_truncated_scan(copied: Path) -> None:
    frame = SemanticStf().frames(copied, "val")[1]
    path = scan_of(copied, frame.id)
    path.write_bytes(path.read_bytes()[:-4])  # a whole number, but no whole point
    with pytest.raises(UserError, match=r"truncated.*no multiple of 20") as error:
        SemanticStf().load(frame)
    assert error.value.where == str(path)


def test_empty_scan(copied: Path) -> None:
    frame = SemanticStf().frames(copied, "val")[1]
    scan_of(copied, frame.id).write_bytes(b"")
    with pytest.raises(UserError, match="empty"):
        SemanticStf().load(frame)


def test_points_that_are_not_numbers(copied: Path) -> None:
    frame = SemanticStf().frames(copied, "val")[0]
    rows = np.fromfile(scan_of(copied, frame.id), "<f4").reshape(-1, 5)
    rows[[3, 7], [0, 2]] = np.nan, np.inf
    rows.tofile(scan_of(copied, frame.id))
    with pytest.raises(UserError, match=f"2 of {len(rows)} points are not numbers"):
        SemanticStf().load(frame)


def test_labels_of_another_length(copied: Path) -> None:
    frame = SemanticStf().frames(copied, "val")[0]
    path = scan_of(copied, frame.id)
    path = path.parent.parent / "labels" / f"{path.stem}.label"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(UserError, match="labels of 4 bytes, but its scan has") as error:
        SemanticStf().load(frame)
    assert error.value.where == str(path)
    path.unlink()
    with pytest.raises(UserError, match="label file is missing"):
        SemanticStf().load(frame)
    shutil.rmtree(path.parent)  # as where labels are not published
    assert SemanticStf().load(frame).labels is None


def test_unknown_raw_ids_are_counted_and_ignored(copied: Path) -> None:
    frame = SemanticStf().frames(copied, "val")[0]
    path = copied / "val/labels" / f"{frame.id.partition('/')[2]}.label"
    raw = np.fromfile(path, "<i4")
    raw[:4] = [40, 40, 252, 21]  # SemanticKITTI's road and moving car
    raw.tofile(path)
    sample = SemanticStf().load(frame)
    assert sample.unknown_labels == {40: 2, 252: 1, 21: 1}
    assert sample.labels is not None and (sample.labels[:4] == IGNORE).all()


def test_manifest_notices_changes(copied: Path) -> None:
    dataset = SemanticStf()
    seen = {dataset.manifest(copied)}
    path = copied / "val/val.txt"
    path.write_text(path.read_text().replace("snow", "rain"))
    seen.add(dataset.manifest(copied))
    next((copied / "test/labels").iterdir()).unlink()
    seen.add(dataset.manifest(copied))
    moved = copied.rename(copied.parent / "elsewhere")
    assert len(seen) == 3 and dataset.manifest(moved) in seen


def test_frames_travel_between_processes(written: Written) -> None:
    frame = pickle.loads(pickle.dumps(SemanticStf().frames(written[0], "val")[0]))
    assert SemanticStf().load(frame).condition == "snow"


def test_variants_read_differently(written: Written) -> None:
    """Papers may have scored val or test; a suite always asks for val."""
    root = written[0]
    default, other = open_dataset("semanticstf"), open_dataset("semanticstf:test")
    assert {f.id.split("/")[0] for f in default.frames(root, "val")} == {"val"}
    assert {f.id.split("/")[0] for f in other.frames(root, "val")} == {"test"}
    assert other.frames(root, "train") == default.frames(root, "train")
    assert other.card.title != default.card.title and other.card.protocol == "assumed"


def test_refuses_what_the_format_cannot_say(
    drive: Callable[..., Recording], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="stand alone"):
        write_recording(drive("2018-02-03_20-48-35_00000", cameras=()), tmp_path)
    assert not list(tmp_path.iterdir())


# --- the world


def test_world_is_written_and_every_class_shows(tmp_path: Path) -> None:
    own = SemanticStfDrive(train_frames=2, val_frames=4, test_frames=1, azimuths=120)
    root = build_world(WorldSpec(semanticstf=own), tmp_path, datasets=("semanticstf",))
    dataset = SemanticStf()
    loaded = [dataset.load(f) for f in dataset.frames(root / "semanticstf", "val")]
    assert {s.condition for s in loaded} == set(dataset.card.conditions)
    shown = np.concatenate([s.labels for s in loaded if s.labels is not None])
    assert set(shown.tolist()) - {IGNORE} == set(range(19))
    for frame, sample in zip(dataset.frames(root / "semanticstf", "val"), loaded, strict=True):
        stem = frame.id.partition("/")[2]
        raw = np.fromfile(root / f"semanticstf/val/labels/{stem}.label", "<i4")
        in_air = float((raw == INVALID).mean())
        least = {"dense_fog": 0.1, "light_fog": 0.02, "snow": 0.01, "rain": 0.005}
        assert least[sample.condition] < in_air < 0.5, sample.condition
    assert len(dataset.frames(root / "semanticstf", "train")) == 2
    assert len(dataset.frames(root / "semanticstf", "test")) == 1
