"""RELLIS-3D: what wrong input gets."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lima_bench.common.errors import UserError
from lima_bench.datasets.images import read_image
from lima_bench.datasets.rellis3d.reader import Rellis3d
from lima_bench.datasets.rellis3d.writer import write_recording, write_tables
from lima_bench.datasets.sample import IGNORE
from lima_bench.datasets.splits import IncompleteData
from lima_bench.datasets.world.recording import Recording

Written = tuple[Path, list[Recording]]


@pytest.fixture
def copied(rellis3d_root: Written, tmp_path: Path) -> Path:
    """A copy that a test may break."""
    return Path(shutil.copytree(rellis3d_root[0], tmp_path / "rellis3d"))


@pytest.fixture
def scan_path(copied: Path) -> Path:
    return copied / "00000/os1_cloud_node_kitti_bin/000003.bin"


def test_missing_root_tells_remedy(tmp_path: Path) -> None:
    for root in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(UserError, match="LIMA_BENCH_DATA") as error:
            Rellis3d().frames(root, "train")
        assert "pt_train.lst" in error.value.how
    with pytest.raises(UserError, match="LIMA_BENCH_DATA"):
        Rellis3d().manifest(tmp_path / "nowhere")


def test_missing_split_folder(copied: Path) -> None:
    shutil.rmtree(copied / "00001")
    with pytest.warns(IncompleteData, match="1 of 2 sequences of RELLIS-3D train"):
        frames = Rellis3d().frames(copied, "train")
    assert {frame.sequence for frame in frames} == {"00000"}
    with pytest.raises(UserError, match="None of the 3 scans of RELLIS-3D test lies here") as error:
        Rellis3d().frames(copied, "test")
    assert error.value.where == str(copied / "00001/os1_cloud_node_kitti_bin")


def test_unknown_split_names_the_nearest(copied: Path) -> None:
    with pytest.raises(UserError, match='Did you mean "train"'):
        Rellis3d().frames(copied, "trian")


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("00000/os1_cloud_node_kitti_bin/000003.bin", "this one has 1"),
        ("../a/000003.bin ../b/000003.label", "leads out of the data root"),
        ("/a/b/000003.bin /a/c/000003.label", "leads out of the data root"),
        ("00000/bin/000003.bin 00000/label/000004.label", "labels of the same scan"),
        ("00000/bin/000003.bin 00001/label/000003.label", "labels of the same scan"),
        ("00000/bin/abc.bin 00000/label/abc.label", "labels of the same scan"),
    ],
)
def test_broken_list(copied: Path, line: str, what: str) -> None:
    path = copied / "pt_val.lst"
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(UserError, match=what) as error:
        Rellis3d().frames(copied, "val")
    assert error.value.where == f"{path}:4"


def test_lists_that_are_empty_or_repeat_themselves(copied: Path) -> None:
    path = copied / "pt_val.lst"
    path.write_text(2 * path.read_text())
    with pytest.raises(UserError, match=r"000003\.bin is listed twice"):
        Rellis3d().frames(copied, "val")
    path.write_text("\n")
    with pytest.raises(UserError, match="list is empty"):
        Rellis3d().frames(copied, "val")


def test_truncated_scan(copied: Path, scan_path: Path) -> None:
    dataset = Rellis3d()
    frame = dataset.frames(copied, "val")[0]
    scan_path.write_bytes(scan_path.read_bytes()[:-4])
    with pytest.raises(UserError, match=r"truncated.*no multiple of 16") as error:
        dataset.load(frame)
    assert error.value.where == str(scan_path)


def test_empty_scan(copied: Path, scan_path: Path) -> None:
    dataset = Rellis3d()
    frame = dataset.frames(copied, "val")[0]
    rows = np.fromfile(scan_path, "<f4").reshape(-1, 4)
    rows[:, :3] = 0
    for content in (rows.tobytes(), b""):
        scan_path.write_bytes(content)
        with pytest.raises(UserError, match="This scan is empty") as error:
            dataset.load(frame)
        assert error.value.where == str(scan_path)


def test_points_that_are_not_numbers(copied: Path, scan_path: Path) -> None:
    rows = np.fromfile(scan_path, "<f4").reshape(-1, 4)
    rows[5, 1], rows[7, 3] = np.nan, np.inf
    rows.tofile(scan_path)
    dataset = Rellis3d()
    with pytest.raises(UserError, match="2 of 2880 points are not numbers"):
        dataset.load(dataset.frames(copied, "val")[0])


def test_labels_of_another_length(copied: Path) -> None:
    dataset = Rellis3d()
    frame = dataset.frames(copied, "val")[0]
    path = copied / "00000/os1_cloud_node_semantickitti_label_id/000003.label"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(UserError, match="labels of 4 bytes, but its scan has") as error:
        dataset.load(frame)
    assert error.value.where == str(path)
    path.unlink()
    with pytest.raises(UserError, match="label file is missing"):
        dataset.load(frame)


def test_unknown_raw_ids_are_counted_and_ignored(copied: Path, scan_path: Path) -> None:
    path = copied / "00000/os1_cloud_node_semantickitti_label_id/000003.label"
    values, rows = np.fromfile(path, "<u4"), np.fromfile(scan_path, "<f4").reshape(-1, 4)
    echo, nothing = rows[:, :3].any(axis=1), ~rows[:, :3].any(axis=1)
    values[np.flatnonzero(echo)[:3]] = [(7 << 16) | 2, 2, 99]
    values[np.flatnonzero(nothing)[0]] = 77  # no point, so no unknown point either
    values.tofile(path)
    sample = Rellis3d().load(Rellis3d().frames(copied, "val")[0])
    assert sample.unknown_labels == {2: 2, 99: 1}
    assert sample.labels is not None and (sample.labels[:3] == IGNORE).all()


def test_absent_calibration(copied: Path) -> None:
    folder = copied / "00000"
    (folder / "transforms.yaml").write_text("os1_cloud_node-pylon_camera_node: {q: {w: 1}}\n")
    with pytest.raises(UserError, match="with q: w x y z and t: x y z is not here"):
        Rellis3d().frames(copied, "val")
    (folder / "transforms.yaml").unlink()
    with pytest.raises(UserError, match="camera against the Ouster is absent") as error:
        Rellis3d().frames(copied, "val")
    assert error.value.where == str(folder / "transforms.yaml")
    shutil.copy(copied / "00001/transforms.yaml", folder)
    (folder / "camera_info.txt").write_text("1 2 3\n")
    with pytest.raises(UserError, match="4 numbers here, this one has 3"):
        Rellis3d().frames(copied, "val")
    (folder / "camera_info.txt").unlink()
    with pytest.raises(UserError, match="fx fy cx cy are absent"):
        Rellis3d().frames(copied, "val")


def test_scans_and_labels_alone_need_no_calibration(copied: Path) -> None:
    dataset = Rellis3d()
    for name in ("00000", "00001"):
        for text in ("camera_info.txt", "transforms.yaml", "calib.txt"):
            (copied / name / text).unlink()
        shutil.rmtree(copied / name / "pylon_camera_node")
        shutil.rmtree(copied / name / "pylon_camera_node_label_id")
    frame = dataset.frames(copied, "val")[0]
    sample = dataset.load(frame)
    assert sample.lidar_to_global is not None and sample.cameras == ()
    assert dataset.pixel_labels(frame) is None
    with pytest.raises(UserError, match="No train frame has an image and a pose"):
        dataset.frames(copied, "pretrain")


def test_pretraining_needs_image_and_pose(copied: Path) -> None:
    dataset = Rellis3d()
    next((copied / "00000/pylon_camera_node").glob("frame000001*")).unlink()
    (copied / "00001/poses.txt").unlink()
    assert [f.id for f in dataset.frames(copied, "pretrain")] == ["00000/000000", "00000/000002"]
    frames = {frame.id: frame for frame in dataset.frames(copied, "train")}
    assert dataset.load(frames["00000/000001"]).cameras == ()
    lost = dataset.load(frames["00001/000001"])
    assert lost.lidar_to_global is None and lost.cameras == ()


def test_poses_that_jump(copied: Path) -> None:
    """Only frames of one list are compared: what lies between belongs to another."""
    path = copied / "00000/poses.txt"
    rows = np.loadtxt(path)
    rows[4, 3] += 50
    np.savetxt(path, rows)
    with pytest.raises(UserError, match=r"jumps by .* between scan 000003 and scan 000004"):
        Rellis3d().frames(copied, "val")
    Rellis3d().frames(copied, "train")
    np.savetxt(path, rows[:4])
    with pytest.raises(UserError, match="has 4 rows, none for scan 000004"):
        Rellis3d().frames(copied, "val")
    path.write_text(path.read_text().replace("e", "x", 1))
    with pytest.raises(UserError, match="This is not a number") as error:
        Rellis3d().frames(copied, "val")
    assert error.value.where == f"{path}:1"


def test_broken_images(copied: Path) -> None:
    dataset = Rellis3d()
    frame = dataset.frames(copied, "val")[1]
    path = next((copied / "00000/pylon_camera_node_label_id").glob("frame000004*"))
    Image.new("RGB", (80, 48)).save(path)
    with pytest.raises(UserError, match="has colours, not ids"):
        dataset.pixel_labels(frame)
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(UserError, match="cannot be read") as error:
        dataset.pixel_labels(frame)
    assert error.value.where == str(path)
    (camera,) = dataset.load(frame).cameras
    camera.image.write_bytes(b"no image")
    with pytest.raises(UserError, match="cannot be read"):
        read_image(camera)
    shutil.copy(camera.image, camera.image.with_name("frame000004-1_002.jpg"))
    with pytest.raises(UserError, match="Two files here belong to frame 000004"):
        dataset.frames(copied, "val")


def test_manifest_notices_changes(copied: Path) -> None:
    dataset = Rellis3d()
    seen = {dataset.manifest(copied)}
    for path in (
        copied / "pt_val.lst",
        copied / "00000/poses.txt",
        copied / "00001/transforms.yaml",
    ):
        path.write_text(path.read_text().replace("0", "1", 1))
        seen.add(dataset.manifest(copied))
    (copied / "00001/os1_cloud_node_semantickitti_label_id/000000.label").unlink()
    seen.add(dataset.manifest(copied))
    moved = copied.rename(copied.parent / "elsewhere")
    assert len(seen) == 5 and dataset.manifest(moved) in seen


def test_writer_refuses_what_the_format_cannot_say(
    rellis3d_drive: Callable[..., Recording], tmp_path: Path
) -> None:
    good = rellis3d_drive("00000/000000")
    first = good.moments[0]
    twice = replace(first.scan, ring=0 * first.scan.ring, column=0 * first.scan.column)
    late = rellis3d_drive("00000/000000", late_us=30_000)
    moved = replace(first.scan, lidar_to_ego=first.scan.lidar_to_ego @ np.diag([1, -1, -1, 1.0]))
    for recording, why in (
        (replace(good, moments=(replace(first, scan=twice),)), "one row a beam"),
        (replace(good, moments=(first, replace(first, scan=moved))), "fix the sensors"),
        (replace(good, moments=(replace(first, pictures=first.pictures * 2),)), "one camera"),
        (late, "one pose a scan"),
    ):
        with pytest.raises(ValueError, match=why):
            write_recording(recording, tmp_path)
    assert not list(tmp_path.iterdir())
    part = write_recording(good, tmp_path)
    with pytest.raises(ValueError, match="every train recording with images"):
        write_tables([part], tmp_path, pretrain=[])
    with pytest.raises(ValueError, match="the scans before it are 0"):
        write_tables([replace(part, name="00000/000007", split="val")], tmp_path, pretrain=[])
