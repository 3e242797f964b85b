"""SynLiDAR: two label maps, no official split, frame numbers with gaps, no stray returns."""

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
from lima_bench.datasets.splits import IncompleteData
from lima_bench.datasets.synlidar.raw_ids import CROWD, FEMALE, MALE, PICK_UP, RAW
from lima_bench.datasets.synlidar.reader import SynLidar
from lima_bench.datasets.synlidar.writer import raw_ids, write_recording, write_tables
from lima_bench.datasets.world.build import build_world
from lima_bench.datasets.world.drives import SynLidarDrive
from lima_bench.datasets.world.labels import Label
from lima_bench.datasets.world.recording import Recording
from lima_bench.datasets.world.spec import WorldSpec

Written = tuple[Path, list[Recording]]
TINY = WorldSpec(synlidar=SynLidarDrive(train_scans=2, val_scans=2, azimuths=90, max_range_m=40.0))

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*sequences of SynLiDAR:lima_bench.datasets.splits.IncompleteData"
)


@pytest.fixture(scope="module")
def written(drive: Callable[..., Recording], tmp_path_factory: pytest.TempPathFactory) -> Written:
    """A data root of three sequences and what was written there."""
    root = tmp_path_factory.mktemp("synlidar")
    drives = [
        drive(name, split, cameras=(), seed=seed)
        for seed, (name, split) in enumerate((("01", "train"), ("12", "train"), ("04", "val")))
    ]
    write_tables([write_recording(d, root) for d in drives], root, pretrain=())
    return root, drives


@pytest.fixture
def copied(written: Written, tmp_path: Path) -> Path:
    """A copy that a test may break."""
    return Path(shutil.copytree(written[0], tmp_path / "synlidar"))


# --- what was written


@pytest.mark.parametrize(("split", "places"), [("train", (0, 1)), ("val", (2,))])
def test_reads_what_was_written(written: Written, split: str, places: tuple[int, ...]) -> None:
    root, drives = written
    dataset = SynLidar()
    frames = dataset.frames(root, split)
    names = [f"{drives[p].name}/{number:06}" for p in places for number in (0, 5, 10)]
    assert [f.id for f in frames] == names
    moments = [moment for p in places for moment in drives[p].moments]
    for frame, moment in zip(frames, moments, strict=True):
        sample, scan = dataset.load(frame), moment.scan
        kept = scan.label != Label.NOISE
        assert not kept.all()
        np.testing.assert_array_equal(sample.points, scan.points[kept])
        np.testing.assert_array_equal(sample.intensity, scan.intensity[kept])
        np.testing.assert_array_equal(sample.labels, dataset.card.remap(raw_ids(moment))[kept])
        assert sample.unknown_labels == {} and sample.cameras == ()
        assert sample.lidar_to_global is None and sample.moving is None


def test_frame_numbers_may_have_gaps(copied: Path) -> None:
    """The SubDataset's do: position and number of a scan are two things."""
    frames = SynLidar().frames(copied, "val")
    assert [(f.index, f.timestamp_s) for f in frames] == [(0, 0.0), (1, 0.5), (2, 1.0)]
    for part, suffix in (("velodyne", "bin"), ("labels", "label")):
        (copied / "04" / part / f"000005.{suffix}").unlink()
    assert [f.id for f in SynLidar().frames(copied, "val")] == ["04/000000", "04/000010"]


def test_both_layouts(copied: Path, written: Written) -> None:
    before = SynLidar().frames(copied, "train")
    (copied / "sequences").mkdir()
    for name in ("01", "04", "12"):
        (copied / name).rename(copied / "sequences" / name)
    (copied / "annotations.yaml").write_text("")  # as in the release; not a sequence
    assert SynLidar().frames(copied, "train") == before
    assert len(SynLidar().frames(copied, "val")) == 3


def test_label_map_is_total() -> None:
    card = SynLidar.card
    for name in ("", "cosmix", "gipso7"):
        variant = card.variant(name)
        assert set(variant.labels) == set(card.raw_names) == set(range(33))
        assert (variant.remap(np.arange(33, 1 << 16)) == IGNORE).all()
        assert set(variant.remap(np.arange(33))) == {*range(len(variant.classes)), IGNORE}
    assert not card.unknown(RAW)
    assert set(card.remap(RAW)) == {*range(19), IGNORE}
    assert card.classes == SemanticKitti.card.classes
    for raw, name in card.raw_names.items():
        if name in card.class_names:
            assert card.class_names[card.labels[raw]] == name
    # Sidewalk and parking, sign and pole are in another order than in SemanticKITTI.
    assert [card.labels[i] for i in (9, 10, 23, 24)] == [10, 9, 18, 17]


def test_pick_ups_and_crowds_part_the_maps() -> None:
    card = SynLidar.card
    other = card.variant("cosmix")
    assert card.labels[2] == card.class_names.index("truck")
    assert card.labels[15] == card.class_names.index("person")
    different = {raw for raw in card.labels if card.labels[raw] != other.labels[raw]}
    assert different == {2, 15} and other.labels[2] == other.labels[15] == IGNORE


def test_people_and_vans_have_names_of_their_own(written: Written) -> None:
    moment = written[1][0].moments[0]
    scan = moment.scan
    adult = next(box for box in moment.annotations if box.category.endswith("adult"))
    ours = scan.instance == adult.instance
    assert set(raw_ids(moment)[ours]) == {MALE if adult.instance % 2 else FEMALE}
    friend = replace(adult, instance=98, centre=adult.centre + np.array([0, 1.0, 0]))
    together = raw_ids(replace(moment, annotations=(*moment.annotations, friend)))
    assert set(together[ours]) == {CROWD}
    car = next(box for box in moment.annotations if box.category == "vehicle.car")
    van = replace(car, size=(5.2, 2.0, 2.1))
    boxes = tuple(van if box is car else box for box in moment.annotations)
    tall = raw_ids(replace(moment, annotations=boxes)) == PICK_UP
    assert not (raw_ids(moment) == PICK_UP).any()
    np.testing.assert_array_equal(tall, (scan.instance == car.instance) & (scan.label == Label.CAR))


def test_what_the_format_cannot_say(drive: Callable[..., Recording], tmp_path: Path) -> None:
    recording = drive("00", cameras=())
    with pytest.raises(ValueError, match=r"less than 0\.1 s apart"):
        write_recording(replace(recording, moments=recording.moments[:1] * 2), tmp_path)
    with pytest.raises(ValueError, match="no images"):
        write_tables([], tmp_path, pretrain=["00"])


# --- protocol


def test_there_is_no_official_split() -> None:
    card = SynLidar.card
    assert card.splits["val"] == ("00", "04", "07") and len(card.splits["train"]) == 10
    assert not set(card.splits["train"]) & set(card.splits["val"])
    assert card.protocol == "assumed" and any("no official" in line for line in card.assumed)
    assert card.label_shares == {"default": "stride"}
    assert card.variant("all13").splits == {"train": tuple(f"{i:02}" for i in range(13))}


def test_label_shares(written: Written) -> None:
    frames = SynLidar().frames(written[0], "train")
    share = resolve(SynLidar.card, frames[::-1], "50%")
    assert share.name == "50%@stride"
    assert [f.id for f in share.frames] == ["01/000000", "01/000010", "12/000005"]
    assert resolve(SynLidar.card, frames, "100%").frames == tuple(frames)


def test_variants_read_differently(copied: Path) -> None:
    path = copied / "04/labels/000000.label"
    values = np.fromfile(path, "<u4")
    values[:3] = [PICK_UP, CROWD, 9]
    values.tofile(path)
    seen = {}
    for name in ("", ":cosmix", ":gipso7"):
        dataset = open_dataset(f"synlidar{name}")
        labels = dataset.load(dataset.frames(copied, "val")[0]).labels
        assert labels is not None
        seen[name] = labels[:3].tolist()
    assert seen == {"": [3, 5, 10], ":cosmix": [IGNORE, IGNORE, 10], ":gipso7": [0, 1, 3]}
    everything = open_dataset("synlidar:all13")
    assert [f.sequence for f in everything.frames(copied, "train")[::3]] == ["01", "04", "12"]
    with pytest.raises(UserError, match='no synlidar split "val"'):
        everything.frames(copied, "val")


# --- wrong input


def test_missing_root_tells_remedy(tmp_path: Path) -> None:
    for root in (tmp_path / "nowhere", tmp_path):
        for call in (lambda root: SynLidar().frames(root, "train"), SynLidar().manifest):
            with pytest.raises(UserError, match="LIMA_BENCH_DATA") as error:
                call(root)
            assert "00/velodyne/000000.bin" in error.value.how


def test_missing_split_folder(copied: Path) -> None:
    shutil.rmtree(copied / "04")
    with pytest.raises(UserError, match="None of the 3 sequences of SynLiDAR val"):
        SynLidar().frames(copied, "val")
    with pytest.warns(IncompleteData, match="2 of 10 sequences"):
        SynLidar().frames(copied, "train")
    for path in (copied / "01/velodyne").iterdir():
        path.unlink()
    with pytest.raises(UserError, match="no scans here"):
        SynLidar().frames(copied, "train")


def test_unknown_split_names_the_nearest(written: Written) -> None:
    with pytest.raises(UserError, match='Did you mean "train"'):
        SynLidar().frames(written[0], "trian")


def test_truncated_scan(copied: Path) -> None:
    dataset = SynLidar()
    frame = dataset.frames(copied, "val")[1]
    path = copied / "04/velodyne/000005.bin"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(UserError, match=r"truncated.*no multiple of 16") as error:
        dataset.load(frame)
    assert error.value.where == str(path)


def test_empty_scan(copied: Path) -> None:
    dataset = SynLidar()
    frame = dataset.frames(copied, "val")[0]
    (copied / "04/velodyne/000000.bin").write_bytes(b"")
    with pytest.raises(UserError, match="empty") as error:
        dataset.load(frame)
    assert error.value.where == str(copied / "04/velodyne/000000.bin")


def test_points_that_are_not_numbers(copied: Path) -> None:
    dataset = SynLidar()
    frame = dataset.frames(copied, "val")[0]
    path = copied / "04/velodyne/000000.bin"
    rows = np.fromfile(path, "<f4").reshape(-1, 4)
    rows[[3, 7], [0, 2]] = np.nan, np.inf
    rows.tofile(path)
    with pytest.raises(UserError, match=f"2 of {len(rows)} points are not numbers"):
        dataset.load(frame)


def test_labels_of_another_length(copied: Path) -> None:
    dataset = SynLidar()
    frame = dataset.frames(copied, "val")[0]
    path = copied / "04/labels/000000.label"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(UserError, match="labels of 4 bytes, but its scan has") as error:
        dataset.load(frame)
    assert error.value.where == str(path)
    path.unlink()
    with pytest.raises(UserError, match="label file is missing"):
        dataset.load(frame)


def test_unknown_raw_ids_are_counted_and_ignored(copied: Path) -> None:
    """The high half is masked, though nothing says what lies there."""
    path = copied / "04/labels/000000.label"
    values = np.fromfile(path, "<u4")
    values[:4] = [(7 << 16) | 33, 33, 252, (9 << 16) | 8]
    values.tofile(path)
    sample = SynLidar().load(SynLidar().frames(copied, "val")[0])
    assert sample.unknown_labels == {33: 2, 252: 1}
    assert sample.labels is not None and sample.labels[:4].tolist() == [IGNORE] * 3 + [8]


def test_manifest_notices_changes(copied: Path) -> None:
    dataset = SynLidar()
    seen = {dataset.manifest(copied)}
    (copied / "04/labels/000000.label").unlink()
    seen.add(dataset.manifest(copied))
    path = copied / "01/velodyne/000000.bin"
    path.write_bytes(path.read_bytes() + bytes(16))
    seen.add(dataset.manifest(copied))
    (copied / "splits.json").write_text('{"train": ["01"]}')
    seen.add(dataset.manifest(copied))
    moved = copied.rename(copied.parent / "elsewhere")
    assert len(seen) == 4 and dataset.manifest(moved) in seen


def test_frames_travel_between_processes(written: Written) -> None:
    frame = pickle.loads(pickle.dumps(SynLidar().frames(written[0], "val")[0]))
    assert SynLidar().load(frame).points.shape[1] == 3


# --- the world


def test_world_is_written_and_every_class_shows(tmp_path: Path) -> None:
    root = build_world(TINY, tmp_path, datasets=("synlidar",)) / "synlidar"
    for name in ("synlidar", "synlidar:gipso7"):
        dataset = open_dataset(name)
        for split, n_frames in (("train", 20), ("val", 6)):
            frames = dataset.frames(root, split)
            assert len(frames) == n_frames
            assert [f.id[-6:] for f in frames[:2]] == ["000000", "000010"]
            samples = [dataset.load(frame) for frame in frames]
            assert not any(sample.unknown_labels for sample in samples)
            labels = np.concatenate([sample.labels for sample in samples])
            assert set(range(len(dataset.card.classes))) <= set(labels)
    raw = np.concatenate([np.fromfile(path, "<u4") for path in root.glob("*/labels/*")])
    assert set(raw) >= {PICK_UP, FEMALE, MALE, CROWD} and 0 not in raw
