"""nuScenes: an index that is kept says what the tables say, and never outlives them."""

import dataclasses
import shutil
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from lima_bench.common.errors import UserError
from lima_bench.datasets.nuscenes import index as module
from lima_bench.datasets.nuscenes import json_rows, tables
from lima_bench.datasets.nuscenes.index import build_index, open_index
from lima_bench.datasets.nuscenes.index_store import (
    LooseIndex,
    columns_of,
    index_of,
    kept_index,
)
from lima_bench.datasets.nuscenes.reader import CARD, NuScenes
from lima_bench.datasets.nuscenes.tables import stamp
from lima_bench.datasets.sample import Sample
from lima_bench.datasets.world.recording import Recording

Written = tuple[Path, list[Recording]]


@pytest.fixture
def copied(nuscenes_root: Written, tmp_path: Path) -> Path:
    """A copy that a test may break."""
    return Path(shutil.copytree(nuscenes_root[0], tmp_path / "nuscenes"))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache folder, and an index that is kept however small the tables are."""
    monkeypatch.setenv("LIMA_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "LARGE", 0)
    open_index.cache_clear()
    yield tmp_path / "cache" / "nuscenes"
    open_index.cache_clear()


def opened(root: Path, split: str = "train") -> list[Sample]:
    """Every sample of a split, as a new process would read it; any warning is an error."""
    open_index.cache_clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = NuScenes()
        return [dataset.load(frame) for frame in dataset.frames(root, split)]


def assert_equal(one: object, other: object) -> None:
    """The same, to the last bit."""
    if dataclasses.is_dataclass(one):
        assert type(one) is type(other)
        for field in dataclasses.fields(one):
            if field.name != "handle":
                assert_equal(getattr(one, field.name), getattr(other, field.name))
    elif isinstance(one, np.ndarray):
        assert isinstance(other, np.ndarray) and one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    elif isinstance(one, tuple | list):
        assert isinstance(other, tuple | list) and len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_equal(a, b)
    else:
        assert one == other


def kept(cache: Path) -> list[Path]:
    return sorted(path for path in cache.glob("*/*") if path.is_dir())


def test_a_kept_index_says_the_same(
    copied: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path: path.stat().st_mtime_ns for path in copied.rglob("*")}
    monkeypatch.setattr(module, "LARGE", 1 << 40)
    loose = opened(copied)
    assert not cache.exists()
    monkeypatch.setattr(module, "LARGE", 0)
    first = opened(copied)
    assert len(kept(cache)) == 1
    assert_equal(loose, first)
    second = opened(copied)
    assert_equal(loose, second)
    assert before == {path: path.stat().st_mtime_ns for path in copied.rglob("*")}
    sample = second[0]
    assert sample.boxes is not None
    for array in (
        sample.lidar_to_global,
        sample.cameras[0].intrinsic,
        sample.cameras[0].camera_to_global,
        sample.boxes.size,
        sample.boxes.moving,
    ):
        assert array.flags.writeable  # a sample belongs to whoever loaded it


def test_a_kept_index_needs_no_large_table(
    copied: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(copied)

    def refuse(path: Path) -> None:
        raise AssertionError(f"{path} was read")

    monkeypatch.setattr(tables, "rows_of", refuse)
    assert len(opened(copied)) == 6


def test_tables_that_change_are_read_again(copied: Path, cache: Path) -> None:
    opened(copied)
    (old,) = kept(cache)
    path = copied / "v1.0-synth/scene.json"
    path.write_text(path.read_text().replace("scene-0005", "scene-0007"))
    splits = copied / "splits.json"
    splits.write_text(splits.read_text().replace("scene-0005", "scene-0007"))
    assert [sample.frame.sequence for sample in opened(copied)][-1] == "scene-0007"
    (new,) = kept(cache)
    assert new != old and new.parent == old.parent


def test_the_index_of_tables_that_are_gone_goes(
    nuscenes_root: Written, copied: Path, cache: Path
) -> None:
    opened(copied)
    (old,) = kept(cache)
    shutil.rmtree(copied)
    opened(nuscenes_root[0])
    (new,) = kept(cache)
    assert new.parent != old.parent


@pytest.mark.parametrize(
    "harm",
    [
        lambda folder: (folder / "files.token.text.npy").write_bytes(b""),
        lambda folder: (folder / "lidar.npy").write_bytes(b"PK\x03\x04 no array"),
        lambda folder: (folder / "files.sensor_to_global.npy").unlink(),
        lambda folder: (folder / "annotations.centre.npy").unlink(),
        lambda folder: np.save(folder / "lidar.npy", np.arange(3)),
        lambda folder: np.save(folder / "sweeps.npy", np.array([[], {}], dtype=object)),
        lambda folder: _cut(folder / "files.sensor_to_global.npy"),
        lambda folder: [path.unlink() for path in folder.iterdir()],
    ],
)
def test_a_broken_index_is_built_again_and_said_once(
    copied: Path, cache: Path, harm: Callable[[Path], object]
) -> None:
    whole = opened(copied)
    (folder,) = kept(cache)
    harm(folder)
    open_index.cache_clear()
    with pytest.warns(LooseIndex, match="is broken .* it is built again") as said:
        frames = NuScenes().frames(copied, "train")
    assert len(said) == 1 and str(folder) in str(said[0].message)
    assert [frame.id for frame in frames] == [sample.frame.id for sample in whole]
    assert_equal(opened(copied), whole)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def test_a_cache_that_cannot_be_written_is_said_and_does_without(
    copied: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole = opened(copied)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LIMA_BENCH_CACHE", str(tmp_path / "file"))
    open_index.cache_clear()
    with pytest.warns(LooseIndex, match=r"cannot be kept.*LIMA_BENCH_CACHE") as said:
        dataset = NuScenes()
        samples = [dataset.load(frame) for frame in dataset.frames(copied, "train")]
    assert len(said) == 1
    assert_equal(samples, whole)


def test_nothing_is_kept_of_broken_tables(copied: Path, cache: Path) -> None:
    (copied / "v1.0-synth/ego_pose.json").write_text("[]")
    with pytest.raises(UserError, match="have no ego pose"):
        opened(copied)
    assert not kept(cache)


def test_the_card_is_part_of_what_is_kept(copied: Path, cache: Path, tmp_path: Path) -> None:
    """Cameras come from the card: another card, another index."""
    folder = copied / "v1.0-synth"
    fewer = tmp_path / "card.yaml"
    text = CARD.read_text()
    assert "cameras: [CAM_FRONT, " in text
    fewer.write_text(text.replace("cameras: [CAM_FRONT, ", "cameras: ["))
    one, other = (open_index(folder, stamp(folder), card) for card in (CARD, fewer))
    assert one.cameras.shape[1] == 6 and other.cameras.shape[1] == 5
    assert len(kept(cache)) == 2


def test_whoever_comes_second_waits_instead_of_building(copied: Path, cache: Path) -> None:
    folder = copied / "v1.0-synth"
    built, found = [], []
    first_builds = threading.Event()

    def build() -> module.Index:
        built.append(1)
        first_builds.set()
        second.join(0.3)  # it cannot end before this one has
        return build_index(folder, NuScenes.card)

    def ask() -> None:
        found.append(kept_index(folder, stamp(folder), {}, build))

    second = threading.Thread(target=lambda: first_builds.wait() and ask())
    second.start()
    ask()
    second.join()
    assert len(built) == 1 and len(found) == 2
    assert_equal(found[0], found[1])


def test_columns_and_back(copied: Path) -> None:
    folder = copied / "v1.0-synth"
    index = build_index(folder, NuScenes.card)
    assert_equal(index_of(columns_of(index)), index)
    bare = dataclasses.replace(index, annotations=None)
    assert index_of(columns_of(bare)).annotations is None
    columns = columns_of(index)
    assert not any(column.dtype == object for column in columns.values())
    for name in columns:
        with pytest.raises(KeyError):
            index_of({key: value for key, value in columns.items() if key != name})


def test_sweeps_are_all_scans_in_time_order(nuscenes_root: Written) -> None:
    root, drives = nuscenes_root
    folder = root / "v1.0-synth"
    index = build_index(folder, NuScenes.card)
    assert list(index.scenes) == [drive.name for drive in drives]
    frame = 0
    for scene, drive in enumerate(drives):
        rows = index.sweeps[index.sweep_starts[scene] : index.sweep_starts[scene + 1]]
        scans = [scan for moment in drive.moments for scan in (*moment.sweeps, moment.scan)]
        assert index.files.timestamp_us[rows].tolist() == [scan.timestamp_us for scan in scans]
        for row, scan in zip(rows.tolist(), scans, strict=True):
            np.testing.assert_allclose(
                index.files.sensor_to_global[row],
                scan.ego_to_global @ scan.lidar_to_ego,
                atol=1e-9,
            )
            assert (root / index.files.filename[row]).is_file()
        keys = [row for row in rows.tolist() if row in set(index.lidar.tolist())]
        assert keys == index.lidar[frame : frame + len(drive.moments)].tolist()
        frame += len(drive.moments)
    assert index.sweep_starts[-1] == len(index.sweeps) == 15


def test_a_frame_knows_its_sample_token(nuscenes_root: Written) -> None:
    """Published lists name samples, not scans."""
    root, _ = nuscenes_root
    rows = list(json_rows.rows_of(root / "v1.0-synth/sample_data.json"))
    sample_of = {row["token"]: row["sample_token"] for row in rows}
    frames = NuScenes().frames(root, "train")
    assert [frame.alias for frame in frames] == [sample_of[frame.id] for frame in frames]
