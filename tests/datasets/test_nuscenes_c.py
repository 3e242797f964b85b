"""nuScenes-C: what was written is read, from the corrupted trees and the clean set's tables."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lima_bench.common.errors import UserError
from lima_bench.datasets.api import open_dataset
from lima_bench.datasets.corruptions.table import LEVEL_NAMES, NAMES, corrupted, noise_of
from lima_bench.datasets.nuscenes.names import lidar_token
from lima_bench.datasets.nuscenes.reader import NuScenes
from lima_bench.datasets.nuscenes_c.generate import write_corrupted
from lima_bench.datasets.nuscenes_c.layout import FOLDER, SPLITS
from lima_bench.datasets.nuscenes_c.reader import NuScenesC
from lima_bench.datasets.nuscenes_c.writer import clean_frame, write_recording, write_tables
from lima_bench.datasets.sample import IGNORE, Frame
from lima_bench.datasets.world.build import build_world
from lima_bench.datasets.world.drive import drive as drive_world
from lima_bench.datasets.world.drives import NuScenesCDrive, NuScenesDrive
from lima_bench.datasets.world.recording import Recording
from lima_bench.datasets.world.spec import WorldSpec

Written = tuple[Path, list[Recording]]


@pytest.fixture(scope="module")
def written(drive: Callable[..., Recording], tmp_path_factory: pytest.TempPathFactory) -> Written:
    """A data root of two scenes, not in order of their names, with tables of its own."""
    root = tmp_path_factory.mktemp("data") / "nuscenes_c"
    drives = [drive(name, "val", seed=i) for i, name in enumerate(("scene-0009", "scene-0002"))]
    write_tables([write_recording(d, root) for d in drives], root, pretrain=())
    return root, drives


@pytest.fixture
def copied(written: Written, tmp_path: Path) -> Path:
    """A copy that a test may break."""
    return Path(shutil.copytree(written[0], tmp_path / "nuscenes_c"))


def files_of(root: Path, frame: Frame) -> tuple[Path, Path]:
    """Scan and labels of a frame."""
    split, _, token = frame.id.partition("/")
    folder = root.joinpath(FOLDER, *SPLITS[split])
    rows = json.loads((root / "v1.0-synth/sample_data.json").read_text())
    name = next(row["filename"] for row in rows if row["token"] == token)
    return folder / name, folder / f"lidarseg/v1.0-trainval/{token}_lidarseg.bin"


# --- what was written


def test_reads_what_was_written(written: Written) -> None:
    root, drives = written
    dataset = NuScenesC()
    assert list(SPLITS) == [f"{c}-{level}" for c in NAMES for level in LEVEL_NAMES]
    for split, (corruption, level) in SPLITS.items():
        frames = iter(dataset.frames(root, split))
        for drive in drives:
            for position, moment in enumerate(drive.moments):
                frame, scan = next(frames), moment.scan
                token = lidar_token(drive, scan.timestamp_us)
                assert frame.id == f"{split}/{token}"
                assert frame.sequence == f"{split}/{drive.name}" and frame.index == position
                assert frame.timestamp_s == pytest.approx(scan.timestamp_us * 1e-6)
                noise = noise_of(0, corruption, level, token)
                expected = corrupted(clean_frame(scan), corruption, level, noise)
                sample = dataset.load(frame)
                np.testing.assert_array_equal(sample.points, expected.points)
                np.testing.assert_array_equal(sample.intensity, expected.intensity)
                np.testing.assert_array_equal(sample.labels, dataset.card.remap(expected.labels))
                assert sample.unknown_labels == {} and sample.condition == split
                pose = scan.ego_to_global @ scan.lidar_to_ego
                np.testing.assert_allclose(sample.lidar_to_global, pose, atol=1e-9)
                assert sample.boxes is not None and len(sample.boxes.centre) == 6
                assert sample.cameras == ()  # the corrupted set has no images
        assert next(frames, None) is None


def test_val_is_all_trees_in_order(written: Written) -> None:
    dataset, root = NuScenesC(), written[0]
    every = [frame.id for frame in dataset.frames(root, "val")]
    assert every == [frame.id for split in SPLITS for frame in dataset.frames(root, split)]
    assert len(set(every)) == len(every) == 24 * 6
    assert tuple(SPLITS) == dataset.card.conditions
    assert set(dataset.card.splits) == {*SPLITS, "val"}
    assert len({scenes for scenes in dataset.card.splits.values()}) == 1


def test_ring_is_lost_in_snow(written: Written) -> None:
    """Its column holds a state code there, which nobody may take for a beam."""
    dataset, root = NuScenesC(), written[0]
    for split in SPLITS:
        frame = dataset.frames(root, split)[0]
        ring = dataset.load(frame).ring
        if split.startswith("snow"):
            assert ring is None
            assert set(np.fromfile(files_of(root, frame)[0], "<f4")[4::5]) <= {0, 1, 2}
        else:
            assert ring is not None and ring.max() > 2


def test_label_map_is_total() -> None:
    card = NuScenesC.card
    clean = NuScenes.card
    assert card.labels == {**clean.labels, 41: IGNORE, 42: IGNORE, 43: IGNORE}
    assert [card.raw_names[raw] for raw in (41, 42, 43)] == ["fog", "snow", "crosstalk"]
    assert card.classes == clean.classes and card.splits["val"] == clean.splits["val"]
    raw = np.arange(256)
    np.testing.assert_array_equal(card.remap(raw[:32]), clean.remap(raw[:32]))
    assert (card.remap(raw[32:]) == IGNORE).all()
    assert set(card.unknown(raw)) == set(range(256)) - {*range(32), 41, 42, 43}


def test_added_labels_are_known_and_ignored(written: Written) -> None:
    dataset, root = NuScenesC(), written[0]
    for split, raw in (("fog-heavy", 41), ("snow-light", 42), ("crosstalk-heavy", 43)):
        seen = 0
        for frame in dataset.frames(root, split):
            sample = dataset.load(frame)
            values = np.fromfile(files_of(root, frame)[1], "u1")
            assert sample.labels is not None and sample.unknown_labels == {}
            assert (sample.labels[values == raw] == IGNORE).all()
            seen += int((values == raw).sum())
        assert seen > 0


def test_tables_from_the_clean_root(written: Written, tmp_path: Path) -> None:
    """The released set has no tables; those of nuScenes lie in the folder beside it."""
    root, drives = written
    shutil.copytree(root / FOLDER, tmp_path / "nuscenes_c" / FOLDER)
    clean = tmp_path / "nuscenes"
    shutil.copytree(root / "v1.0-synth", clean / "v1.0-synth")
    (clean / "splits.json").write_text(json.dumps({"train": [], "val": ["scene-0009"]}))
    image = drives[0].moments[0].pictures[0]
    rows = json.loads((clean / "v1.0-synth/sample_data.json").read_text())
    row = next(r for r in rows if "CAM_FRONT" in r["filename"])
    (clean / row["filename"]).parent.mkdir(parents=True)
    (clean / row["filename"]).write_bytes(b"an image")
    dataset = NuScenesC()
    frames = dataset.frames(tmp_path / "nuscenes_c", "fog-light")
    assert [frame.sequence for frame in frames] == ["fog-light/scene-0009"] * 3
    sample = dataset.load(frames[0])
    (camera,) = sample.cameras  # of those in the tables, the one that lies on disk
    assert camera.name == "CAM_FRONT" and camera.image == clean / row["filename"]
    pose = image.ego_to_global @ image.camera_to_ego
    np.testing.assert_allclose(camera.camera_to_global, pose, atol=1e-9)
    before = dataset.manifest(tmp_path / "nuscenes_c")
    (clean / "v1.0-synth/scene.json").write_text("[]")
    assert dataset.manifest(tmp_path / "nuscenes_c") != before


def test_labels_in_the_folder_of_the_tables_version(copied: Path) -> None:
    dataset = NuScenesC()
    frame = dataset.frames(copied, "fog-light")[0]
    before = dataset.load(frame).labels
    folder = copied / FOLDER / "fog/light/lidarseg"
    (folder / "v1.0-trainval").rename(folder / "v1.0-synth")
    np.testing.assert_array_equal(dataset.load(frame).labels, before)


# --- wrong input


def test_missing_root_tells_remedy(tmp_path: Path) -> None:
    (tmp_path / "nuscenes_c").mkdir()
    for root in (tmp_path / "nowhere" / "deep", tmp_path / "nuscenes_c"):
        for call in (lambda r: NuScenesC().frames(r, "val"), NuScenesC().manifest):
            with pytest.raises(UserError, match="LIMA_BENCH_DATA") as error:
                call(root)
            assert error.value.where == str(root)
    assert str(tmp_path / "nuscenes") in error.value.what  # says where it looked


def test_missing_split_folder(copied: Path) -> None:
    shutil.rmtree(copied / FOLDER / "snow/moderate")
    for split in ("snow-moderate", "val"):
        with pytest.raises(UserError, match="does not exist") as error:
            NuScenesC().frames(copied, split)
        assert error.value.where == str(copied / FOLDER / "snow/moderate")
        assert "fog-light" in error.value.how and "snow-moderate" not in error.value.how
    assert len(NuScenesC().frames(copied, "snow-light")) == 6


def test_unknown_split_names_the_nearest(written: Written) -> None:
    with pytest.raises(UserError, match='Did you mean "fog-light"'):
        NuScenesC().frames(written[0], "fog-ligth")


def test_truncated_scan(copied: Path) -> None:
    frame = NuScenesC().frames(copied, "wet_ground-light")[1]
    path = files_of(copied, frame)[0]
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(UserError, match=r"truncated.*no multiple of 20") as error:
        NuScenesC().load(frame)
    assert error.value.where == str(path)
    path.unlink()
    with pytest.raises(UserError, match="scan is missing"):
        NuScenesC().load(frame)


def test_empty_scan(copied: Path) -> None:
    frame = NuScenesC().frames(copied, "fog-heavy")[0]
    files_of(copied, frame)[0].write_bytes(b"")
    with pytest.raises(UserError, match="empty"):
        NuScenesC().load(frame)


def test_points_that_are_not_numbers(copied: Path) -> None:
    frame = NuScenesC().frames(copied, "crosstalk-light")[0]
    path = files_of(copied, frame)[0]
    rows = np.fromfile(path, "<f4").reshape(-1, 5)
    rows[[3, 7], [0, 2]] = np.nan, np.inf
    rows.tofile(path)
    with pytest.raises(UserError, match=f"2 of {len(rows)} points are not numbers"):
        NuScenesC().load(frame)


def test_labels_of_another_length(copied: Path) -> None:
    """As when clean labels are put beside a scan that has lost points."""
    frame = NuScenesC().frames(copied, "cross_sensor-heavy")[0]
    whole = NuScenesC().frames(copied, "motion_blur-light")[0]
    path = files_of(copied, frame)[1]
    shutil.copy(files_of(copied, whole)[1], path)
    with pytest.raises(UserError, match="labels of 1 bytes, but its scan has") as error:
        NuScenesC().load(frame)
    assert error.value.where == str(path)
    path.unlink()
    with pytest.raises(UserError, match="label file is missing"):
        NuScenesC().load(frame)


def test_unknown_raw_ids_are_counted_and_ignored(copied: Path) -> None:
    frame = NuScenesC().frames(copied, "fog-light")[0]
    path = files_of(copied, frame)[1]
    raw = np.fromfile(path, "u1")
    raw[:4] = [44, 44, 32, 255]
    raw.tofile(path)
    sample = NuScenesC().load(frame)
    assert sample.unknown_labels == {44: 2, 32: 1, 255: 1}
    assert sample.labels is not None and (sample.labels[:4] == IGNORE).all()


def test_manifest_notices_changes(copied: Path) -> None:
    dataset = NuScenesC()
    seen = {dataset.manifest(copied)}
    path = files_of(copied, dataset.frames(copied, "snow-light")[0])[0]
    path.write_bytes(path.read_bytes() + bytes(20))
    seen.add(dataset.manifest(copied))
    (copied / "splits.json").write_text('{"val": []}')
    seen.add(dataset.manifest(copied))
    table = copied / "v1.0-synth/ego_pose.json"
    table.write_text(table.read_text().replace("1", "2", 1))
    seen.add(dataset.manifest(copied))
    assert len(seen) == 4


def test_frames_travel_between_processes(written: Written) -> None:
    frame = pickle.loads(pickle.dumps(NuScenesC().frames(written[0], "val")[30]))
    assert NuScenesC().load(frame).points.shape[1] == 3


def test_variants_read_differently() -> None:
    """There is one reading: levels and corruptions are splits, and no card variant is offered."""
    assert NuScenesC.card.variants == {}
    with pytest.raises(UserError, match="no card variant"):
        open_dataset("nuscenes_c:light")


def test_only_val_is_corrupted(drive: Callable[..., Recording], tmp_path: Path) -> None:
    part = write_recording(drive("scene-0001", "train"), tmp_path)
    with pytest.raises(ValueError, match="no train scenes"):
        write_tables([part], tmp_path, pretrain=())


# --- from a clean nuScenes


def test_generated_from_a_clean_root(nuscenes_root: Written, tmp_path: Path) -> None:
    clean, drives = nuscenes_root
    (tmp_path / "nuscenes").symlink_to(clean)
    out, heard = tmp_path / "nuscenes_c", []
    trees = {name: SPLITS[name] for name in ("fog-heavy", "beam_missing-light")}
    count = write_corrupted(
        tmp_path / "nuscenes",
        out,
        trees=trees,
        report=lambda done, total: heard.append((done, total)),
    )
    assert count == 3 and heard == [(1, 3), (2, 3), (3, 3)]
    dataset = NuScenesC()
    (val,) = [d for d in drives if d.split == "val"]
    for split, (corruption, level) in trees.items():
        for frame, moment in zip(dataset.frames(out, split), val.moments, strict=True):
            noise = noise_of(0, corruption, level, frame.id.partition("/")[2])
            expected = corrupted(clean_frame(moment.scan), corruption, level, noise)
            sample = dataset.load(frame)
            np.testing.assert_array_equal(sample.points, expected.points)
            np.testing.assert_array_equal(sample.labels, dataset.card.remap(expected.labels))
            assert len(sample.cameras) == 2  # those of the clean set
    with pytest.raises(UserError, match="fog/light"):
        dataset.frames(out, "val")


def test_generating_needs_labels(nuscenes_root: Written, tmp_path: Path) -> None:
    clean = shutil.copytree(nuscenes_root[0], tmp_path / "nuscenes")
    (clean / "v1.0-synth/lidarseg.json").unlink()
    with pytest.raises(UserError, match="no lidarseg labels"):
        write_corrupted(clean, tmp_path / "nuscenes_c")


def test_real_recording(samples: Path, tmp_path: Path) -> None:
    """A real keyframe's tables and scan, with labels made from heights, corrupted and read."""
    source = samples / "nuscenes" / "frame_ca9a282c"
    root = tmp_path / "nuscenes"
    shutil.copytree(source / "v1.0-mini", root / "v1.0-mini")
    (root / "samples").symlink_to(source / "samples")
    (root / "splits.json").write_text('{"val": ["scene-0061"]}')
    scan = next((source / "samples/LIDAR_TOP").glob("*.pcd.bin"))
    rows = np.fromfile(scan, "<f4").reshape(-1, 5)
    labels = np.where(np.abs(rows[:, 2] + 1.84) < 0.25, 24, np.where(rows[:, 2] > 0, 28, 17))
    (frame,) = NuScenes().frames(root, "val")
    entry = {"token": frame.id, "sample_data_token": frame.id, "filename": "made_lidarseg.bin"}
    (root / "v1.0-mini/lidarseg.json").write_text(json.dumps([entry]))
    (root / "made_lidarseg.bin").write_bytes(labels.astype("u1").tobytes())
    out = tmp_path / "nuscenes_c"
    assert write_corrupted(root, out) == 1
    assert (out / FOLDER / "snow/heavy/samples/LIDAR_TOP" / scan.name).is_file()
    dataset = NuScenesC()
    frames = dataset.frames(out, "val")
    assert len(frames) == 24
    sizes = {}
    for corrupt in frames:
        sample = dataset.load(corrupt)
        assert len(sample.cameras) == 6 and sample.unknown_labels == {}
        sizes[sample.condition] = len(sample.points)
    assert sizes["motion_blur-heavy"] == 34_688
    assert sizes["cross_sensor-light"] == 34_688 * 24 // 32 // 2


# --- the world


def test_world_is_written_and_every_class_shows(tmp_path: Path) -> None:
    tiny = NuScenesDrive(train_scenes=2, pretrain_scenes=0, val_scenes=2, val_keyframes=1,
                         azimuths=240, cameras=())  # fmt: skip
    spec = WorldSpec(nuscenes=tiny, nuscenes_c=NuScenesCDrive(scenes=1))
    root = build_world(spec, tmp_path, datasets=("nuscenes_c",)) / "nuscenes_c"
    assert {path.name for path in root.iterdir()} == {
        FOLDER, "v1.0-synth", "maps", "splits.json", "manifest.json",
    }  # fmt: skip
    dataset = NuScenesC()
    clean = drive_world(spec, "nuscenes", "val", 0)  # the same street, as the clean set shows it
    for split in ("motion_blur-light", "fog-light", "beam_missing-light"):
        (frame,) = dataset.frames(root, split)
        assert frame.sequence == f"{split}/{clean.name}" == f"{split}/scene-0003"
        sample = dataset.load(frame)
        assert sample.labels is not None
        if split == "motion_blur-light":
            expected = dataset.card.remap(clean_frame(clean.moments[0].scan).labels)
            np.testing.assert_array_equal(sample.labels, expected)
            assert set(sample.labels.tolist()) - {IGNORE} == set(range(16))
    assert len(dataset.frames(root, "val")) == 24
