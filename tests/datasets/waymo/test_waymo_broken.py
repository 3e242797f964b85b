"""Waymo Open: what wrong input gets, in both formats."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lima_bench.common.errors import UserError
from lima_bench.datasets.images import read_image
from lima_bench.datasets.sample import IGNORE
from lima_bench.datasets.waymo.expedition import segment_name
from lima_bench.datasets.waymo.reader import Waymo
from lima_bench.datasets.waymo.tfrecord import record_places


def component(root: Path, name: str, folder: str = "validation") -> Path:
    (path,) = (root / folder / name).glob("*.parquet")
    return path


def edit(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    pq.write_table(change(pq.read_table(path)), path)


def edit_list(
    path: Path, name: str, change: Callable[[np.ndarray], np.ndarray], row: int = 0
) -> None:
    """Change the list in one row of a column."""

    def swap(table: pa.Table) -> pa.Table:
        place = table.schema.get_field_index(name)
        values = [None if v is None else np.array(v) for v in table.column(name).to_pylist()]
        values[row] = change(values[row])
        return table.set_column(place, name, pa.array(values, type=table.schema.types[place]))

    edit(path, swap)


def test_unknown_raw_ids_are_counted_and_ignored(copied: Path) -> None:
    dataset = Waymo()
    frame = dataset.frames(copied, "val")[0]
    before = dataset.load(frame).labels

    def strange(values: np.ndarray) -> np.ndarray:
        values.reshape(-1, 2)[:, 1][values.reshape(-1, 2)[:, 1] == 18] = 30
        return values

    edit_list(
        component(copied, "lidar_segmentation"),
        "[LiDARSegmentationLabelComponent].range_image_return1.values",
        strange,
    )
    sample = dataset.load(frame)
    assert set(sample.unknown_labels) == {30} and sample.unknown_labels[30] > 50
    changed = before != sample.labels
    assert changed.sum() == sample.unknown_labels[30]
    assert (sample.labels[changed] == IGNORE).all() and (before[changed] == 17).all()


def test_missing_root_tells_remedy(tmp_path: Path) -> None:
    for root in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(UserError, match="LIMA_BENCH_DATA") as error:
            Waymo().frames(root, "train")
        assert str(root) in str(error.value) and "training/lidar" in error.value.how
    with pytest.raises(UserError, match="LIMA_BENCH_DATA"):
        Waymo().manifest(tmp_path / "nowhere")


def test_missing_split_folder(copied: Path) -> None:
    (copied / "splits.json").unlink()
    assert len(Waymo().frames(copied, "val")) == 2
    shutil.rmtree(copied / "validation")
    with pytest.raises(UserError, match="no segments of Waymo Open") as error:
        Waymo().frames(copied, "val")
    assert error.value.where.endswith("validation")
    assert len(Waymo().frames(copied, "pretrain")) == 6


def test_folders_are_the_splits_without_a_list(copied: Path, recorded: Path) -> None:
    listed = [frame.id for frame in Waymo().frames(copied, "train")]
    for root in (copied, recorded):
        if (root / "splits.json").is_file():
            (root / "splits.json").unlink()
        assert [frame.id for frame in Waymo().frames(root, "train")] == listed


def test_missing_component(copied: Path) -> None:
    dataset = Waymo()
    frame = dataset.frames(copied, "val")[0]
    for name in ("lidar_pose", "lidar_calibration", "camera_calibration"):
        moved = component(copied, name).rename(copied / name)
        with pytest.raises(UserError, match=f'component "{name}" of this segment is missing') as e:
            dataset.load(frame)
        assert f"Download the folder {name}" in e.value.how
        moved.rename(copied / "validation" / name / f"{frame.sequence}.parquet")
    dataset.load(frame)
    shutil.rmtree(copied / "validation" / "lidar")
    (copied / "splits.json").unlink()
    with pytest.raises(UserError, match='component "lidar" is missing'):
        dataset.frames(copied, "val")


def test_images_are_optional(copied: Path) -> None:
    shutil.rmtree(copied / "validation" / "camera_image")
    shutil.rmtree(copied / "validation" / "lidar_camera_projection")
    dataset = Waymo()
    assert dataset.load(dataset.frames(copied, "val")[0]).cameras == ()
    (copied / "splits.json").write_text(f'{{"pretrain": ["{segment_name("val", 0)}"]}}')
    with pytest.raises(UserError, match="No frame of split pretrain has images"):
        dataset.frames(copied, "pretrain")


def test_labels_are_needed_only_where_learnt_from(copied: Path) -> None:
    shutil.rmtree(copied / "training" / "lidar_segmentation")
    dataset = Waymo()
    with pytest.raises(UserError, match="No frame of split train has point labels"):
        dataset.frames(copied, "train")
    assert dataset.load(dataset.frames(copied, "pretrain")[0]).labels is None


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("lidar", "[LiDARComponent].range_image_return1.values"),
        ("lidar", "[LiDARComponent].range_image_return2.shape"),
        ("lidar_calibration", "[LiDARCalibrationComponent].extrinsic.transform"),
        ("lidar_calibration", "key.laser_name"),
        ("camera_image", "[CameraImageComponent].pose.transform"),
    ],
)
def test_parquet_without_a_column(copied: Path, name: str, column: str) -> None:
    dataset = Waymo()
    frame = dataset.frames(copied, "val")[0]
    path = component(copied, name)
    edit(path, lambda table: table.drop_columns([column]))
    with pytest.raises(UserError) as error:
        dataset.load(frame)
    assert error.value.where == str(path) and f'"{column}" is missing' in error.value.what


def test_truncated_scan(copied: Path) -> None:
    dataset = Waymo()
    frame = dataset.frames(copied, "val")[0]
    path = component(copied, "lidar")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="no whole parquet file") as error:
        dataset.load(frame)
    assert error.value.where == str(path)
    path.write_bytes(whole)
    name = "[LiDARComponent].range_image_return1.values"
    edit_list(path, name, lambda values: values[:-4], row=5)  # 5 LiDARs a frame; the second frame
    with pytest.raises(UserError, match=r"truncated: \d+ values for an image of 64 x 90 x 4"):
        dataset.load(frame)


def test_damaged_bytes(copied: Path) -> None:
    """Zeros in the middle of the data: an error that names the file, never silently other data."""
    dataset = Waymo()
    frame = dataset.frames(copied, "val")[0]
    path = component(copied, "lidar")
    data = bytearray(path.read_bytes())
    data[len(data) // 4 : 3 * len(data) // 4] = bytes(len(data) // 2)
    path.write_bytes(data)
    with pytest.raises(UserError, match="no whole parquet file") as error:
        dataset.load(frame)
    assert error.value.where == str(path)


def test_empty_scan(copied: Path) -> None:
    dataset = Waymo()
    frame = dataset.frames(copied, "val")[0]
    for number in (1, 2):
        for row in range(5, 10):
            name = f"[LiDARComponent].range_image_return{number}.values"
            edit_list(component(copied, "lidar"), name, lambda v: np.full_like(v, -1.0), row=row)
    with pytest.raises(UserError, match="empty: it holds no points") as error:
        dataset.load(frame)
    assert "lidar" in error.value.where


def test_points_that_are_not_numbers(copied: Path) -> None:
    dataset = Waymo()
    frame = dataset.frames(copied, "val")[0]
    path = component(copied, "lidar")

    def strange(values: np.ndarray) -> np.ndarray:
        pixels = values.reshape(-1, 4)
        here = np.flatnonzero(pixels[:, 0] > 0)
        pixels[here[3], 0], pixels[here[4], 1] = np.nan, np.inf
        return values

    edit_list(path, "[LiDARComponent].range_image_return1.values", strange, row=5)
    with pytest.raises(UserError, match=r"2 of \d+ points are not numbers"):
        dataset.load(frame)


def test_labels_of_another_length(copied: Path) -> None:
    dataset = Waymo()
    frame = dataset.frames(copied, "val")[0]
    path = component(copied, "lidar_segmentation")
    name = "[LiDARSegmentationLabelComponent].range_image_return1"
    edit_list(path, f"{name}.values", lambda values: values[: 63 * 90 * 2])
    edit_list(path, f"{name}.shape", lambda shape: np.array([63, 90, 2]))
    with pytest.raises(UserError, match=r"labels of LiDAR 1 are \(63, 90\) pixels.*\(64, 90\)"):
        dataset.load(frame)


def test_inclinations_of_another_number(copied: Path) -> None:
    dataset = Waymo()
    frame = dataset.frames(copied, "val")[0]
    name = "[LiDARCalibrationComponent].beam_inclination.values"
    edit_list(component(copied, "lidar_calibration"), name, lambda values: values[1:])
    with pytest.raises(UserError, match="64 rows but 63 beam inclinations"):
        dataset.load(frame)


def test_unknown_split_names_the_nearest(copied: Path) -> None:
    with pytest.raises(UserError, match='Did you mean "train"'):
        Waymo().frames(copied, "trian")
    (copied / "splits.json").unlink()
    with pytest.raises(UserError, match='Did you mean "train"'):
        Waymo().frames(copied, "trian")


def test_early_release_types(copied: Path) -> None:
    """Transforms in float32, cameras by name: cast, never refused."""
    dataset = Waymo()
    frame = dataset.frames(copied, "val")[0]
    before = dataset.load(frame)
    names = ("UNKNOWN", *dataset.card.cameras)
    for name in ("camera_image", "camera_calibration", "vehicle_pose"):

        def cast(table: pa.Table) -> pa.Table:
            for place, field in enumerate(table.schema):
                column = table.column(place)
                if field.name == "key.camera_name":
                    column = pa.array([names[i] for i in column.to_pylist()])
                elif field.type == pa.list_(pa.float64(), 16):
                    column = column.cast(pa.list_(pa.float32(), 16))
                table = table.set_column(place, field.name, column)
            return table

        edit(component(copied, name), cast)
    after = dataset.load(dataset.frames(copied, "val")[0])
    assert after.lidar_to_global.dtype == np.float64
    np.testing.assert_allclose(after.lidar_to_global, before.lidar_to_global, atol=1e-3)
    assert [camera.name for camera in after.cameras] == [camera.name for camera in before.cameras]


def test_unreadable_image(copied: Path) -> None:
    dataset = Waymo()
    path = component(copied, "camera_image")

    def break_it(table: pa.Table) -> pa.Table:
        name = "[CameraImageComponent].image"
        images = [image[:100] for image in table.column(name).to_pylist()]
        return table.set_column(table.schema.get_field_index(name), name, pa.array(images))

    edit(path, break_it)
    camera = dataset.load(dataset.frames(copied, "val")[0]).cameras[2]
    with pytest.raises(UserError, match="cannot be read") as error:
        read_image(camera)
    assert error.value.where.startswith(str(path)) and "camera 3" in error.value.where


def test_poses_that_jump(copied: Path) -> None:
    def jump(values: np.ndarray) -> np.ndarray:
        values[3] += 50.0
        return values

    path = component(copied, "vehicle_pose")
    edit_list(path, "[VehiclePoseComponent].world_from_vehicle.transform", jump, row=1)
    with pytest.raises(UserError, match=r"pose jumps by \d+\.\d m in 0\.10 s") as error:
        Waymo().frames(copied, "val")
    assert error.value.where == str(path)


def test_both_formats_in_one_folder(copied: Path, roots: dict[str, Path]) -> None:
    for path in (roots["tfrecord"] / "validation").iterdir():
        shutil.copy(path, copied / "validation")
    with pytest.raises(UserError, match="Both components") as error:
        Waymo().frames(copied, "val")
    assert error.value.where.endswith("validation")


# --- records


def test_record_with_a_broken_checksum(recorded: Path) -> None:
    (path,) = (recorded / "validation").glob("*.tfrecord")
    dataset = Waymo()
    frames = dataset.frames(recorded, "val")
    data = bytearray(path.read_bytes())
    offset, length = record_places(path)[1]
    data[offset + length // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match="fails its checksum") as error:
        dataset.load(frames[0])
    assert error.value.where == str(path)
    assert dataset.load(frames[1]).labels is not None  # other records are as good as before
    data[offset - 12] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"length of record 1, at byte \d+, fails its checksum"):
        dataset.frames(recorded, "val")


@pytest.mark.parametrize("cut", [1, 7, 100_000])
def test_truncated_records(recorded: Path, cut: int) -> None:
    (path,) = (recorded / "validation").glob("*.tfrecord")
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(UserError, match=r"truncated: it ends in record \d") as error:
        Waymo().frames(recorded, "val")
    assert error.value.where == str(path)


def test_empty_record_file(recorded: Path) -> None:
    (path,) = (recorded / "validation").glob("*.tfrecord")
    path.write_bytes(b"")
    with pytest.raises(UserError, match="holds no records"):
        Waymo().frames(recorded, "val")


def test_manifest_notices_changes(copied: Path) -> None:
    dataset = Waymo()
    seen = {dataset.manifest(copied)}
    path = component(copied, "lidar")
    edit(path, lambda table: table.slice(5))
    seen.add(dataset.manifest(copied))
    (copied / "splits.json").write_text('{"train": []}')
    seen.add(dataset.manifest(copied))
    shutil.rmtree(copied / "training")
    assert len({*seen, dataset.manifest(copied)}) == 4
