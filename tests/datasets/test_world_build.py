"""The world on disk: whole or absent, once, the same however many processes wrote it."""

import json
from pathlib import Path

import pytest

from lima_bench.common.errors import UserError
from lima_bench.datasets.api import DATASETS
from lima_bench.datasets.world import build
from lima_bench.datasets.world.build import build_world
from lima_bench.datasets.world.drives import DatasetId, NuScenesDrive, SemanticKittiDrive
from lima_bench.datasets.world.spec import WorldSpec

TINY = WorldSpec(
    nuscenes=NuScenesDrive(
        train_scenes=3,
        train_keyframes=1,
        pretrain_scenes=1,
        pretrain_keyframes=2,
        val_scenes=1,
        val_keyframes=1,
        image_height=28,
        image_width=48,
        azimuths=120,
    ),
    semantickitti=SemanticKittiDrive(
        train_scans=1, val_scans=2, image_height=20, image_width=64, azimuths=90
    ),
)

BUILT: tuple[DatasetId, ...] = ("nuscenes", "semantickitti")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_world(TINY, tmp_path_factory.mktemp("world"), processes=1, datasets=BUILT)


def _files(root: Path) -> dict[str, str]:
    files: dict[str, str] = json.loads((root / "manifest.json").read_text())["files"]
    return files


def test_both_data_sets_can_be_read(world: Path) -> None:
    nuscenes, kitti = DATASETS.get("nuscenes")(), DATASETS.get("semantickitti")()
    frames = nuscenes.frames(world / "nuscenes", "train")
    assert len(frames) == 2 + 1 + 1
    assert len(nuscenes.frames(world / "nuscenes", "pretrain")) == 2
    assert len(nuscenes.load(frames[0]).cameras) == 6
    assert len(kitti.frames(world / "semantickitti", "train")) == 10
    scans = kitti.frames(world / "semantickitti", "val")
    assert len(scans) == 2
    assert not kitti.load(scans[0]).unknown_labels


def test_manifest_lists_every_file(world: Path) -> None:
    for name in BUILT:
        root = world / name
        lying = {p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()}
        assert lying == {*_files(root), "manifest.json"}


def test_processes_do_not_change_a_byte(world: Path, tmp_path: Path) -> None:
    heard: list[tuple[int, int]] = []
    build_world(
        TINY,
        tmp_path,
        processes=2,
        report=lambda done, total, metrics=None: heard.append((done, total)),
        datasets=("nuscenes",),
    )
    assert _files(tmp_path / "nuscenes") == _files(world / "nuscenes")
    assert heard[0] == (1, 4)
    assert heard[-1] == (4, 4)
    assert not (tmp_path / "semantickitti").exists()


def test_second_build_renders_nothing(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError("rendered again")

    monkeypatch.setattr(build, "_record", refuse)
    assert build_world(TINY, world, datasets=BUILT) == world


def test_another_world_is_not_overwritten(world: Path) -> None:
    with pytest.raises(UserError, match="other settings"):
        build_world(TINY.model_copy(update={"seed": 9}), world)


def test_a_lost_file_is_told(world: Path) -> None:
    lost = world / "semantickitti" / "dataset" / "sequences" / "08" / "calib.txt"
    kept = lost.read_bytes()
    lost.unlink()
    try:
        with pytest.raises(UserError, match=r"calib\.txt"):
            build_world(TINY, world, datasets=BUILT)
    finally:
        lost.write_bytes(kept)


def test_a_foreign_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "nuscenes").mkdir()
    (tmp_path / "nuscenes" / "mine.txt").write_text("keep")
    with pytest.raises(UserError, match="no built-in world"):
        build_world(TINY, tmp_path)
    assert (tmp_path / "nuscenes" / "mine.txt").read_text() == "keep"


def test_interrupted_builds_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(spec: WorldSpec, root: Path, job: build.Job) -> None:
        (root / "half.bin").write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(build, "_record", stop)
    with pytest.raises(KeyboardInterrupt):
        build_world(TINY, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == [".nuscenes.lock"]


def test_a_failing_child_leaves_nothing(tmp_path: Path) -> None:
    spec = TINY.model_copy(update={"nuscenes": TINY.nuscenes.model_copy(update={"azimuths": -1})})
    with pytest.raises(ValueError, match="negative"):
        build_world(spec, tmp_path / "world", processes=2, datasets=("nuscenes",))
    assert [p.name for p in (tmp_path / "world").iterdir()] == [".nuscenes.lock"]
