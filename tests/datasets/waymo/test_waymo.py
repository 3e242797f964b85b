"""Waymo Open: both formats give back what was written."""

import pickle
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from lima_bench.datasets.api import open_dataset
from lima_bench.datasets.images import read_image
from lima_bench.datasets.label_shares import resolve
from lima_bench.datasets.rigid import apply
from lima_bench.datasets.sample import IGNORE, EncodedImage, Sample
from lima_bench.datasets.waymo.develop import HALF_TURN_US
from lima_bench.datasets.waymo.expedition import expedition
from lima_bench.datasets.waymo.raw_ids import RAW
from lima_bench.datasets.waymo.reader import Waymo
from lima_bench.datasets.world.build import build_world
from lima_bench.datasets.world.drives import WaymoDrive
from lima_bench.datasets.world.recording import Moment, Recording
from lima_bench.datasets.world.spec import WorldSpec, named_spec
from lima_bench.lima.pairs import image_points, project

FORMATS = ("parquet", "tfrecord")


def component(root: Path, name: str, folder: str = "validation") -> Path:
    (path,) = (root / folder / name).glob("*.parquet")
    return path


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


# --- around


def test_frames_travel_between_processes(roots: dict[str, Path]) -> None:
    for root in roots.values():
        frame = pickle.loads(pickle.dumps(Waymo().frames(root, "val")[0]))
        sample = pickle.loads(pickle.dumps(Waymo().load(frame)))
        assert len(pickle.dumps(sample.cameras)) < 5000  # places, not pixels
        assert read_image(sample.cameras[0]).ndim == 3


def test_one_frame_reads_one_row_group(roots: dict[str, Path]) -> None:
    file = pq.ParquetFile(component(roots["parquet"], "lidar"))
    assert file.num_row_groups == 3
    assert {file.metadata.row_group(i).num_rows for i in range(3)} == {5}


def test_world_is_written_and_every_class_shows(tmp_path: Path) -> None:
    small = WaymoDrive(
        train_segments=1,
        val_segments=1,
        frames=2,
        azimuths=180,
        side_azimuths=20,
        side_beams=10,
        image_height=24,
        image_width=36,
        max_range_m=40.0,
    )
    data = build_world(WorldSpec(waymo=small), tmp_path / "data", datasets=("waymo",))
    dataset = Waymo()
    for split in ("train", "val"):
        counts = np.zeros(256, int)
        for frame in dataset.frames(data / "waymo", split):
            counts += np.bincount(dataset.load(frame).labels, minlength=256)
        assert (counts[:22] > 0).all(), (split, counts[:22])
    assert len(dataset.frames(data / "waymo", "pretrain")) == 2
