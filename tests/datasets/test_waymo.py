"""Waymo Open: both formats give back what was written; wrong input is named."""

import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lima_bench.common.errors import UserError
from lima_bench.datasets.api import open_dataset
from lima_bench.datasets.images import read_image
from lima_bench.datasets.label_shares import resolve
from lima_bench.datasets.rigid import apply
from lima_bench.datasets.sample import IGNORE, EncodedImage, Sample
from lima_bench.datasets.waymo import tfrecord_writer, writer
from lima_bench.datasets.waymo.develop import HALF_TURN_US
from lima_bench.datasets.waymo.expedition import expedition, segment_name
from lima_bench.datasets.waymo.raw_ids import RAW
from lima_bench.datasets.waymo.reader import Waymo
from lima_bench.datasets.waymo.tfrecord import record_places
from lima_bench.datasets.world.build import build_world
from lima_bench.datasets.world.drive import record
from lima_bench.datasets.world.drives import WaymoDrive
from lima_bench.datasets.world.recording import Moment, Recording
from lima_bench.datasets.world.spec import WorldSpec, named_spec
from lima_bench.lima.pairs import image_points, project

SMALL = WaymoDrive(
    train_segments=2,
    val_segments=1,
    frames=3,
    unlabelled=1,
    azimuths=90,
    side_azimuths=20,
    side_beams=10,
    image_height=24,
    image_width=36,
    max_range_m=40.0,
)
FORMATS = ("parquet", "tfrecord")


@pytest.fixture(scope="module")
def drives() -> list[Recording]:
    """Two train segments and one of val, in the order of their names."""
    spec = WorldSpec(waymo=SMALL)
    trips = expedition(spec)
    return [
        record(spec, trips, replace(trip, all_classes=False, keyframes=SMALL.frames))
        for trip in trips.trips
    ]


@pytest.fixture(scope="module")
def roots(drives: list[Recording], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same recordings in both formats."""
    found = {}
    for name, module in (("parquet", writer), ("tfrecord", tfrecord_writer)):
        found[name] = root = tmp_path_factory.mktemp(name)
        parts = [module.write_recording(drive, root) for drive in drives]
        writer.write_tables(parts, root, pretrain=[drives[1].name])
    return found


@pytest.fixture
def copied(roots: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the components that a test may break."""
    return Path(shutil.copytree(roots["parquet"], tmp_path / "waymo"))


@pytest.fixture
def recorded(roots: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the records that a test may break."""
    return Path(shutil.copytree(roots["tfrecord"], tmp_path / "records"))


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


def expected(moment: Moment) -> dict[str, np.ndarray]:
    """What should be read of a moment: LiDAR by LiDAR, return by return, from the highest row."""
    points, intensity, raw, ring = [], [], [], []
    first_ring = 0
    for scan in (moment.scan, *moment.more_scans):
        order = np.lexsort((scan.column, -scan.ring, scan.second))
        points.append(apply(scan.lidar_to_ego, scan.points[order]))
        intensity.append(np.arctanh(np.minimum(scan.intensity[order], 0.99)))
        labelled = scan.lidar == "TOP"
        raw.append(RAW[scan.label[order]] if labelled else np.zeros(len(order), int))
        ring.append(first_ring + scan.ring[order])
        first_ring += len(scan.beams.elevations_rad)
    parts = (np.concatenate(part) for part in (points, intensity, raw, ring))
    return dict(zip(("points", "intensity", "raw", "ring"), parts, strict=True))


def check(sample: Sample, moment: Moment) -> None:
    want = expected(moment)
    assert sample.points.dtype == np.float32 and sample.intensity.dtype == np.float32
    # Ranges and the poses of pixels are stored as float32, the latter hundreds of metres away.
    np.testing.assert_allclose(sample.points, want["points"], atol=4e-4)
    np.testing.assert_allclose(sample.intensity, want["intensity"], rtol=1e-6)
    np.testing.assert_array_equal(sample.ring, want["ring"])
    np.testing.assert_allclose(sample.lidar_to_global, moment.scan.ego_to_global, atol=1e-12)
    if moment.labelled:
        np.testing.assert_array_equal(sample.labels, Waymo.card.remap(want["raw"]))
    else:
        assert sample.labels is None
    assert sample.unknown_labels == {}


# --- what was written


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("split", ["train", "val", "pretrain"])
def test_reads_what_was_written(
    roots: dict[str, Path], drives: list[Recording], kind: str, split: str
) -> None:
    dataset = Waymo()
    recordings = {"train": drives[:2], "val": drives[2:], "pretrain": drives[1:2]}[split]
    frames = dataset.frames(roots[kind], split)
    moments = [
        (drive, i, moment)
        for drive in recordings
        for i, moment in enumerate(drive.moments)
        if moment.labelled or split == "pretrain"
    ]
    assert len(frames) == len(moments) == len(recordings) * (3 if split == "pretrain" else 2)
    for frame, (drive, index, moment) in zip(frames, moments, strict=True):
        time_us = moment.scan.timestamp_us - HALF_TURN_US
        assert (frame.sequence, frame.index) == (drive.name, index)
        assert frame.id == f"{drive.name}/{time_us}"
        assert frame.timestamp_s == pytest.approx(time_us * 1e-6)
        check(dataset.load(frame), moment)


@pytest.mark.parametrize("kind", FORMATS)
def test_reads_written_cameras(roots: dict[str, Path], drives: list[Recording], kind: str) -> None:
    dataset = Waymo()
    sample = dataset.load(dataset.frames(roots[kind], "val")[1])
    pictures = drives[2].moments[2].pictures
    assert [camera.name for camera in sample.cameras] == list(dataset.card.cameras)
    for camera, picture in zip(sample.cameras, pictures, strict=True):
        assert camera.id == f"{sample.frame.id}/{picture.camera}"
        np.testing.assert_allclose(camera.intrinsic, picture.intrinsic, atol=1e-9)
        pose = picture.ego_to_global @ picture.camera_to_ego
        np.testing.assert_allclose(camera.camera_to_global, pose, atol=1e-9)
        assert camera.distortion == pytest.approx(picture.distortion)
        assert isinstance(camera.image, EncodedImage) and camera.file.is_file()
        pixels = read_image(camera)
        assert pixels.shape == picture.pixels.shape
        assert np.abs(pixels.astype(int) - picture.pixels).mean() < 12  # JPEG of a tiny image
    # All cameras look at other times and places: their poses differ from the frame's.
    places = [camera.camera_to_global[:3, 3] for camera in sample.cameras]
    assert np.linalg.norm(places[3] - places[4]) > 0.3


def test_both_formats_give_the_same(roots: dict[str, Path]) -> None:
    ours, theirs = (
        [dataset.load(f) for f in dataset.frames(roots[kind], "train")]
        for dataset, kind in ((Waymo(), kind) for kind in FORMATS)
    )
    for one, other in zip(ours, theirs, strict=True):
        assert one.frame.id == other.frame.id
        for name in ("points", "intensity", "ring", "labels", "lidar_to_global"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
        for a, b in zip(one.cameras, other.cameras, strict=True):
            np.testing.assert_array_equal(read_image(a), read_image(b))


def test_second_returns_are_behind_first_ones(drives: list[Recording]) -> None:
    n_second = 0
    for scan in (moment.scan for drive in drives for moment in drive.moments):
        place = scan.ring * 1000 + scan.column
        assert len(np.unique(place[~scan.second])) == (~scan.second).sum()
        n_second += int(scan.second.sum())
        first = dict(zip(place[~scan.second], np.flatnonzero(~scan.second), strict=True))
        for i in np.flatnonzero(scan.second):
            near = scan.points[first[place[i]]].astype(float)  # KeyError: no first return
            far = scan.points[i].astype(float)
            assert np.linalg.norm(far) > np.linalg.norm(near)
    assert n_second > 60


def test_projections_are_those_of_the_pairs(roots: dict[str, Path]) -> None:
    """The component that nobody needs agrees with how points are paired with pixels."""
    dataset = Waymo()
    frame = dataset.frames(roots["parquet"], "val")[0]
    sample = dataset.load(frame)
    table = pq.read_table(component(roots["parquet"], "lidar_camera_projection"))
    row = table.column("key.frame_timestamp_micros").to_pylist().index(frame.handle["time_us"])
    name = "[LiDARCameraProjectionComponent].range_image_return1"
    shape = table.column(f"{name}.shape")[row].as_py()
    image = np.array(table.column(f"{name}.values")[row].as_py()).reshape(shape)
    lidar = pq.read_table(component(roots["parquet"], "lidar"))
    ranges = np.array(lidar.column("[LiDARComponent].range_image_return1.values")[row].as_py())
    told = image[ranges.reshape(*shape[:2], 4)[..., 0] > 0]
    for number, camera in enumerate(sample.cameras, start=1):
        place, depth = image_points(sample, camera)
        mine = told[:, 0] == number
        assert mine.any() and (depth[: len(told)][mine] > 0).all()
        off = place[: len(told)][mine] + 0.5 - told[mine, 1:3]
        assert off.min() > -0.01 and off.max() < 1.01


def test_pixels_show_what_points_lie_on(roots: dict[str, Path], drives: list[Recording]) -> None:
    """Pairing through the bending lens meets the class that the picture was drawn with."""
    dataset = Waymo()
    agree = total = 0
    for frame in dataset.frames(roots["parquet"], "val"):
        sample = dataset.load(frame)
        pictures = drives[2].moments[frame.index].pictures
        pairs = project(sample, rounding="round")
        for number, picture in enumerate(pictures):
            mine = pairs.camera == number
            seen = RAW[picture.label[pairs.row[mine], pairs.col[mine]]]
            labels = sample.labels[pairs.point[mine]]
            kept = (labels != IGNORE) & (seen > 0)
            agree += (dataset.card.remap(seen)[kept] == labels[kept]).sum()
            total += kept.sum()
    assert total > 1000 and agree / total > 0.75


# --- the card


def test_label_map_is_total() -> None:
    card = Waymo.card
    assert set(card.labels) == set(card.raw_names) == set(range(23))
    assert card.labels == {0: IGNORE} | {raw: raw - 1 for raw in range(1, 23)}
    assert all(card.class_names[raw - 1] == card.raw_names[raw] for raw in range(1, 23))
    assert (card.remap(np.arange(23, 1 << 16)) == IGNORE).all()
    assert set(RAW[RAW > 0]) == set(range(1, 23))
    assert card.protocol == "assumed" and card.intensity.unit == "tanh"


def test_variants_read_differently(roots: dict[str, Path]) -> None:
    whole, top, first = (open_dataset(f"waymo{v}") for v in ("", ":top", ":first"))
    samples = [d.load(d.frames(roots["parquet"], "val")[0]) for d in (whole, top, first)]
    n_rings = [len(np.unique(sample.ring)) for sample in samples]
    assert n_rings[0] > n_rings[1] and n_rings[1] <= 64
    np.testing.assert_array_equal(samples[1].points, samples[0].points[: len(samples[1].points)])
    assert len(samples[2].points) < len(samples[0].points)
    assert open_dataset("waymo:scenes").card.label_shares == {"default": "slidr-scene"}
    titles = {v.title for v in whole.card.variants.values()} | {whole.card.title}
    assert len(titles) == 4


def test_shares_are_every_hundredth_labelled_frame(roots: dict[str, Path]) -> None:
    dataset = Waymo()
    frames = dataset.frames(roots["parquet"], "train")
    share = resolve(dataset.card, frames, "50%")
    assert share.convention == "stride"
    assert [frame.id for frame in share.frames] == sorted(frame.id for frame in frames)[::2]


def test_trips_in_the_one_percent_share_show_every_class() -> None:
    spec = named_spec("embedded")
    trips = expedition(spec).of("train")
    assert [trip.name for trip in trips] == sorted(trip.name for trip in trips)
    labelled = [trip for trip in trips for _ in range(trip.keyframes - trip.unlabelled)]
    assert len(labelled) >= 200
    assert all(trip.all_classes for trip in labelled[::100])
    assert sum(trip.all_classes for trip in trips) == len(labelled[::100])


# --- wrong input


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


# --- around


def test_frames_travel_between_processes(roots: dict[str, Path]) -> None:
    for root in roots.values():
        frame = pickle.loads(pickle.dumps(Waymo().frames(root, "val")[0]))
        sample = pickle.loads(pickle.dumps(Waymo().load(frame)))
        assert len(pickle.dumps(sample.cameras)) < 5000  # places, not pixels
        assert read_image(sample.cameras[0]).ndim == 3


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


def test_one_frame_reads_one_row_group(roots: dict[str, Path]) -> None:
    file = pq.ParquetFile(component(roots["parquet"], "lidar"))
    assert file.num_row_groups == 3
    assert {file.metadata.row_group(i).num_rows for i in range(3)} == {5}


def test_world_is_written_and_every_class_shows(tmp_path: Path) -> None:
    small = SMALL.model_copy(update={"train_segments": 1, "frames": 2, "azimuths": 180})
    data = build_world(WorldSpec(waymo=small), tmp_path / "data", datasets=("waymo",))
    dataset = Waymo()
    for split in ("train", "val"):
        counts = np.zeros(256, int)
        for frame in dataset.frames(data / "waymo", split):
            counts += np.bincount(dataset.load(frame).labels, minlength=256)
        assert (counts[:22] > 0).all(), (split, counts[:22])
    assert len(dataset.frames(data / "waymo", "pretrain")) == 2
