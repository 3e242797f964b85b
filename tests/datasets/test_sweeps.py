"""The scans before a frame: read as written, latest first, fewer where a recording begins."""

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lima_bench.common.errors import UserError
from lima_bench.datasets.api import DATASETS, Swept, open_dataset
from lima_bench.datasets.join import joined
from lima_bench.datasets.nuscenes.expedition import expedition
from lima_bench.datasets.sample import Source, Sweep
from lima_bench.datasets.world.build import build_world
from lima_bench.datasets.world.drives import NuScenesDrive
from lima_bench.datasets.world.recording import LidarScan, Recording
from lima_bench.datasets.world.spec import SPECS, WorldSpec

Written = tuple[Path, list[Recording]]


def _source(name: str, root: Path, split: str = "val") -> Source:
    reader = open_dataset(name)
    assert isinstance(reader, Swept)
    return Source(reader.card, reader.frames(root, split), reader.load, sweeps=reader.sweeps)


def _is(sweep: Sweep, scan: LidarScan, *, start: np.ndarray | None = None) -> None:
    """Whether `scan` was read; `start` undoes its format's own origin of the global frame."""
    np.testing.assert_array_equal(sweep.points, scan.points)
    pose = scan.ego_to_global @ scan.lidar_to_ego
    expected = pose if start is None else np.linalg.inv(start) @ pose
    np.testing.assert_allclose(sweep.lidar_to_global, expected, atol=1e-8)


@pytest.mark.parametrize("asked", [1, 2, 3, 9])
def test_reads_what_was_written(nuscenes_root: Written, asked: int) -> None:
    """Keyframes are sweeps of the next ones; the scene's beginning ends the chain."""
    root, drives = nuscenes_root
    source = _source("nuscenes", root)
    (drive,) = (one for one in drives if one.split == "val")
    assert source.sweeps is not None
    for number, frame in enumerate(source.frames):
        earlier = [s for m in drive.moments[:number] for s in (*m.sweeps, m.scan)]
        earlier += drive.moments[number].sweeps
        expected = earlier[::-1][:asked]
        found = source.sweeps(frame, asked)
        assert len(found) == len(expected) == min(asked, 2 * number)
        for sweep, scan in zip(found, expected, strict=True):
            _is(sweep, scan)
            assert sweep.timestamp_s == pytest.approx(scan.timestamp_us * 1e-6, abs=1e-6)
            np.testing.assert_array_equal(sweep.intensity, np.rint(scan.intensity * 255))
            assert sweep.timestamp_s < frame.timestamp_s


def test_scans_at_ten_a_second_are_their_own_sweeps(semantickitti_root: Written) -> None:
    root, drives = semantickitti_root
    source = _source("semantickitti", root)
    (drive,) = (one for one in drives if one.split == "val")
    scans = [moment.scan for moment in drive.moments]
    start = scans[0].ego_to_global @ scans[0].lidar_to_ego
    assert source.sweeps is not None
    for number, frame in enumerate(source.frames):
        found = source.sweeps(frame, 2)
        assert len(found) == min(number, 2)
        for sweep, scan in zip(found, scans[:number][::-1], strict=False):
            _is(sweep, scan, start=start)
        times = [sweep.timestamp_s for sweep in found]
        assert times == sorted(times, reverse=True) and all(t < frame.timestamp_s for t in times)


@pytest.mark.parametrize(("name", "pattern"), [("nuscenes", "sweeps"), ("semantickitti", "000001")])
def test_a_lost_sweep_is_named(
    request: pytest.FixtureRequest, tmp_path: Path, name: str, pattern: str
) -> None:
    root, _ = request.getfixturevalue(f"{name}_root")
    copy = shutil.copytree(root, tmp_path / name)
    source = _source(name, copy)
    assert source.sweeps is not None
    (lost, *_) = (path for path in copy.rglob("*.bin") if pattern in path.as_posix())
    for path in copy.rglob(lost.name if name == "semantickitti" else "sweeps/LIDAR_TOP/*.bin"):
        path.unlink()
    with pytest.raises(UserError, match=r"is not here|is missing") as caught:
        source.sweeps(source.frames[2], 2)
    assert pattern in caught.value.where
    assert source.sweeps(source.frames[0], 2) == ()


def test_poses_are_needed(semantickitti_root: Written, tmp_path: Path) -> None:
    copy = shutil.copytree(semantickitti_root[0], tmp_path / "semantickitti")
    for path in copy.rglob("poses.txt"):
        path.unlink()
    source = _source("semantickitti", copy)
    assert source.sweeps is not None
    with pytest.raises(UserError, match=r"poses\.txt"):
        source.sweeps(source.frames[2], 1)


def test_the_kept_index_and_the_manifest_do_not_change(
    nuscenes_root: Written, tmp_path: Path
) -> None:
    """Tables name sweeps already: that their files arrive makes nothing stale."""
    root, _ = nuscenes_root
    copy = shutil.copytree(root, tmp_path / "nuscenes")
    reader = open_dataset("nuscenes")
    before = reader.manifest(copy)
    shutil.rmtree(copy / "sweeps")
    assert reader.manifest(copy) == before


def test_several_sets_hand_on_what_all_of_them_have(
    nuscenes_root: Written, semantickitti_root: Written
) -> None:
    parts = {
        "nuscenes": _source("nuscenes", nuscenes_root[0]),
        "semantickitti": _source("semantickitti", semantickitti_root[0]),
    }
    both = pickle.loads(pickle.dumps(joined(parts)))
    frames = [frame for part in parts.values() for frame in part.frames]
    for frame, own in zip(both.frames, frames, strict=True):
        found, alone = both.sweeps(frame, 2), parts[frame.dataset].sweeps(own, 2)
        assert len(found) == len(alone)
        for one, other in zip(found, alone, strict=True):
            np.testing.assert_array_equal(one.points, other.points)
    still = Source(both.card, parts["nuscenes"].frames, parts["nuscenes"].load)
    assert joined({**parts, "nuscenes": still}).sweeps is None


def test_who_has_sweeps() -> None:
    swept = {name for name in DATASETS.names() if issubclass(DATASETS.get(name), Swept)}
    assert swept == {"nuscenes", "semantickitti", "scribblekitti", "waymo"}


@pytest.mark.parametrize(("name", "detection"), [("embedded", 2), ("smoke", 1)])
def test_the_world_has_sweeps_where_somebody_reads_them(name: str, detection: int) -> None:
    """Two where students are pretrained; and where detectors learn and are scored."""
    trips, pretrain = expedition(SPECS[name]).trips, set(expedition(SPECS[name]).pretrain)
    detected = {trip.name for trip in trips if trip.split == "val" or int(trip.name[-4:]) % 5 == 0}
    assert not pretrain & detected
    for trip in trips:
        expected = 2 if trip.name in pretrain else detection if trip.name in detected else 0
        assert trip.sweeps == expected, trip.name
        assert trip.lead_in == (trip.name in detected), trip.name


def test_where_two_readers_meet_the_larger_number_counts() -> None:
    drive = NuScenesDrive(train_scenes=5, pretrain_scenes=5, pretrain_sweeps=3, detection_sweeps=2)
    assert [drive.sweeps("train", i) for i in range(5)] == [3] * 5
    more = drive.model_copy(update={"detection_sweeps": 6})
    assert [more.sweeps("train", i) for i in range(5)] == [3, 3, 3, 3, 6]
    assert more.sweeps("val", 0) == 6
    # Methods that ask for sweeps find the same as ever where students are taught.
    assert not any(more.leads_in("train", i) for i in range(5)) and more.leads_in("val", 0)
    assert not more.model_copy(update={"detection_sweeps": 0}).leads_in("val", 0)
    plain = NuScenesDrive(train_scenes=5, pretrain_scenes=0, sweeps_per_keyframe=9)
    assert [plain.sweeps("train", i) for i in range(5)] == [9] * 5


def test_sweeps_of_detection_change_no_keyframe_file(tmp_path: Path) -> None:
    """Scans, labels and images of keyframes are the same bytes with and without them."""
    own = NuScenesDrive(
        train_scenes=5, train_keyframes=2, pretrain_scenes=1, pretrain_keyframes=2,
        val_scenes=1, val_keyframes=2, sweeps_per_keyframe=0, image_height=28, image_width=48,
        azimuths=60, cameras=("CAM_FRONT",),
    )  # fmt: skip
    files = {}
    for n in (0, 3):
        spec = WorldSpec(nuscenes=own.model_copy(update={"detection_sweeps": n}))
        root = build_world(spec, tmp_path / str(n), processes=1, datasets=("nuscenes",))
        files[n] = {
            path.relative_to(root).as_posix(): path.read_bytes()
            for folder in ("samples", "lidarseg", "sweeps")
            for path in root.glob(f"nuscenes/{folder}/**/*")
            if path.is_file()
        }
    swept = {name for name in files[3] if "/sweeps/" in name}
    # Scene 0001 is pretrained on; 0005 and 0006 are detected in, from before the first keyframe.
    assert len(swept) == 2 + 2 * 2 * 3
    keyframes = {name: content for name, content in files[3].items() if "/samples/" in name}
    assert len(keyframes) == 2 * 2 * 6
    for name, content in files[0].items():
        assert files[3][name] == content, name
    assert len(files[3]) == len(files[0]) + 12


def test_sweeps_change_no_keyframe(drive_of_world: Callable[[int], Recording]) -> None:
    without, swept = drive_of_world(0), drive_of_world(2)
    for one, other in zip(without.moments, swept.moments, strict=True):
        np.testing.assert_array_equal(one.scan.points, other.scan.points)
        np.testing.assert_array_equal(one.scan.intensity, other.scan.intensity)
    lags = [
        [sweep.timestamp_us - moment.scan.timestamp_us for sweep in moment.sweeps]
        for moment in swept.moments
    ]
    assert lags == [[], [-100_000, -50_000]]


@pytest.fixture
def drive_of_world() -> Callable[[int], Recording]:
    """The first pretraining scene of a small world with so many sweeps."""
    from lima_bench.datasets.world.drive import drive

    def make(sweeps: int) -> Recording:
        base = SPECS["smoke"]
        sizes = {"pretrain_sweeps": sweeps, "pretrain_keyframes": 2, "cameras": (), "azimuths": 60}
        own = base.nuscenes.model_copy(update=sizes)
        return drive(base.model_copy(update={"nuscenes": own}), "nuscenes", "train", 0)

    return make
