"""Waymo's files and formulas against published vectors, plain formulas and the official numbers."""

import json
import math
import zlib
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from lima_bench.common import optional as optional_module
from lima_bench.common.errors import UserError
from lima_bench.datasets.images import read_image
from lima_bench.datasets.rigid import inverse
from lima_bench.datasets.waymo import records
from lima_bench.datasets.waymo.capture import LaserCalibration
from lima_bench.datasets.waymo.crc32c import crc32c, masked_crc32c
from lima_bench.datasets.waymo.names import TO_WAYMO_AXES
from lima_bench.datasets.waymo.parquet import TIMESTAMP, matrix, read_keys, read_rows
from lima_bench.datasets.waymo.protos import messages
from lima_bench.datasets.waymo.range_images import (
    column_azimuths,
    pose_angles,
    pose_matrices,
    row_inclinations,
    to_points,
)
from lima_bench.datasets.waymo.reader import Waymo
from lima_bench.datasets.waymo.tfrecord import read_record, record_places, write_records
from lima_bench.datasets.waymo.wire import fields
from lima_bench.downstream.scores.miou import ConfusionMatrix, mean_iou
from lima_bench.lima.pairs import image_points

# --- checksums, records, messages


@pytest.mark.parametrize(
    ("data", "crc"),
    [
        (b"", 0x00000000),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_checksum_vectors(data: bytes, crc: int) -> None:
    """RFC 3720, B.4."""
    assert crc32c(data) == crc


@pytest.mark.parametrize("length", [1023, 1024, 1025, 5000])
def test_lanes_are_one_checksum(length: int) -> None:
    data = np.random.default_rng(length).bytes(length)
    state = 0xFFFFFFFF
    for byte in data:
        state ^= byte
        for _ in range(8):
            state = (state >> 1) ^ (0x82F63B78 if state & 1 else 0)
    crc = state ^ 0xFFFFFFFF
    assert crc32c(data) == crc
    rotated = (crc >> 15) | (crc << 17 & 0xFFFFFFFF)
    assert masked_crc32c(data) == (rotated + 0xA282EAD8) % 2**32


def test_records_round_trip(tmp_path: Path) -> None:
    path, wanted = tmp_path / "x.tfrecord", [b"one", b"", bytes(3000)]
    write_records(path, wanted)
    places = record_places(path)
    assert [read_record(path, place) for place in reversed(places)] == wanted[::-1]


def test_places_in_a_message_are_those_of_its_parts() -> None:
    frame = messages()["Frame"](timestamp_micros=2**40 + 5)
    frame.context.name = "somewhere"
    for camera in (3, 1):
        frame.images.add(name=camera, image=bytes([camera]) * 300)
    data = frame.SerializeToString()
    found = list(fields(data, 0, len(data)))
    assert [field.number for field in found] == [1, 2, 4, 4]
    assert found[1].value == 2**40 + 5
    jpegs = records._jpeg_places(data)
    assert {camera: data[at : at + n] for camera, (at, n) in jpegs.items()} == {
        camera: bytes([camera]) * 300 for camera in (1, 3)
    }
    for broken in (data[:-1], b"\x22\xff", b"\x0b\x00"):
        with pytest.raises(ValueError, match=r"message|short|wire type"):
            list(fields(broken, 0, len(broken)))


def test_without_protobuf_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    find = optional_module.importlib.util.find_spec

    def absent(name: str) -> object:
        if name.startswith("google"):
            raise ModuleNotFoundError("No module named 'google'")
        return find(name)

    monkeypatch.setattr(optional_module.importlib.util, "find_spec", absent)
    messages.cache_clear()
    try:
        with pytest.raises(UserError, match=r"lima-bench\[waymo\]"):
            messages()
    finally:
        messages.cache_clear()


# --- range images


def calibration(extrinsic: np.ndarray, inclinations: list[float] | None = None) -> LaserCalibration:
    return LaserCalibration(1, extrinsic, np.array(inclinations or []), -1.2, 0.4)


def turned(yaw: float, place: tuple[float, float, float]) -> np.ndarray:
    pose = np.eye(4)
    pose[:2, :2] = [[math.cos(yaw), -math.sin(yaw)], [math.sin(yaw), math.cos(yaw)]]
    pose[:3, 3] = place
    return pose


def test_inclinations_are_reversed() -> None:
    listed = calibration(np.eye(4), [-0.3, -0.1, 0.0, 0.02])
    np.testing.assert_array_equal(row_inclinations(listed, 4), [0.02, 0.0, -0.1, -0.3])


def test_inclinations_without_a_list_are_centres_of_rows() -> None:
    # Four rows share -1.2 .. 0.4: 0.4 each, the highest first.
    rows = row_inclinations(calibration(np.eye(4)), 4)
    np.testing.assert_allclose(rows, [0.2, -0.2, -0.6, -1.0], atol=1e-12)


@pytest.mark.parametrize("yaw", [0.0, math.radians(148), -math.pi / 2])
def test_first_column_looks_back_whatever_the_lidars_heading(yaw: float) -> None:
    extrinsic = turned(yaw, (1.4, 0.0, 2.2))
    in_vehicle = column_azimuths(extrinsic, 8) + yaw
    steps = [math.pi - (c + 0.5) * 2 * math.pi / 8 for c in range(8)]
    np.testing.assert_allclose(in_vehicle, steps, atol=1e-12)  # clockwise, from behind


def test_points_are_those_of_the_plain_formula() -> None:
    rng = np.random.default_rng(0)
    height, width = 5, 12
    ranges = rng.uniform(2, 70, (height, width)).astype(np.float32)
    ranges[1, 3], ranges[4, 0] = -1.0, 0.0
    inclinations = [-0.3, -0.2, -0.11, -0.02, 0.04]
    extrinsic = turned(math.radians(148), (1.43, 0.0, 2.18))
    frame_pose = turned(0.4, (900.0, -1500.0, 12.0))
    about = np.array([0.0, 0.0, 0.4, 900.0, -1500.0, 12.0])
    poses = (about + rng.uniform(-0.1, 0.1, (height, width, 6))).astype(np.float32)
    points, rows, columns = to_points(
        ranges, calibration(extrinsic, inclinations), poses, frame_pose
    )
    assert len(points) == height * width - 2
    for point, row, column in zip(points, rows, columns, strict=True):
        r = float(ranges[row, column])
        inclination = inclinations[height - 1 - row]
        azimuth = ((width - column - 0.5) / width * 2 - 1) * math.pi - math.radians(148)
        own = [
            math.cos(azimuth) * math.cos(inclination) * r,
            math.sin(azimuth) * math.cos(inclination) * r,
            math.sin(inclination) * r,
            1.0,
        ]
        roll, pitch, yaw, x, y, z = poses[row, column].astype(float)
        about_x = [[1, 0, 0], [0, math.cos(roll), -math.sin(roll)],
                   [0, math.sin(roll), math.cos(roll)]]  # fmt: skip
        about_y = [[math.cos(pitch), 0, math.sin(pitch)], [0, 1, 0],
                   [-math.sin(pitch), 0, math.cos(pitch)]]  # fmt: skip
        then = turned(yaw, (x, y, z))
        then[:3, :3] = then[:3, :3] @ about_y @ about_x
        world = then @ extrinsic @ own
        np.testing.assert_allclose(point, np.linalg.solve(frame_pose, world)[:3], atol=1e-8)


def test_points_without_a_pose_per_pixel_stay_in_the_vehicle() -> None:
    ranges = np.array([[10.0, 10.0]], np.float32)
    extrinsic = turned(0.0, (4.0, 0.0, 0.7))
    points, _, _ = to_points(ranges, calibration(extrinsic, [0.0]), None, turned(1.0, (5, 6, 7)))
    # Two columns look 90 degrees to the left and to the right.
    np.testing.assert_allclose(points, [[4, 10, 0.7], [4, -10, 0.7]], atol=1e-12)


def test_pose_angles_undo_pose_matrices() -> None:
    angles = np.random.default_rng(0).uniform(-1.4, 1.4, (50, 6))
    np.testing.assert_allclose(pose_angles(pose_matrices(angles)), angles, atol=1e-12)


def test_camera_axes() -> None:
    """Waymo: x ahead, y left, z up. Ours: x right, y down, z ahead."""
    ahead, left, up = np.eye(3)
    np.testing.assert_array_equal(TO_WAYMO_AXES[:3, :3] @ [0, 0, 1], ahead)
    np.testing.assert_array_equal(TO_WAYMO_AXES[:3, :3] @ [-1, 0, 0], left)
    np.testing.assert_array_equal(TO_WAYMO_AXES[:3, :3] @ [0, -1, 0], up)


# --- real recordings


@pytest.fixture
def real(samples: Path, tmp_path: Path) -> Path:
    """The one-frame record as a data root."""
    (tmp_path / "training").mkdir()
    source = samples / "waymo/v1/pvps_data_one_frame.tfrecord"
    (tmp_path / "training" / source.name).symlink_to(source)
    return tmp_path


def test_real_recording(real: Path) -> None:
    (path,) = (real / "training").iterdir()
    ((offset, length),) = record_places(path)
    assert (offset, length) == (12, 2_168_758)
    frame = messages()["Frame"].FromString(read_record(path, (offset, length)))
    assert frame.context.name == "1024360143612057520_3580_000_3600_000"
    assert len(frame.images) == 5 and len(frame.lasers) == 5 and len(frame.laser_labels) == 75
    (frame_,) = Waymo().frames(real, "pretrain")
    assert frame_.timestamp_s == pytest.approx(frame.timestamp_micros * 1e-6)
    top = next(entry for entry in frame.context.laser_calibrations if entry.name == 1)
    found = records._laser_calibration("x", top)
    assert len(found.inclinations) == 64
    assert (found.inclinations[0], found.inclinations[-1]) == pytest.approx(
        (-0.306, 0.0437), abs=1e-3
    )
    rows = row_inclinations(found, 64)
    assert (np.diff(rows) < 0).all()  # row 0 is the highest beam
    others = [entry for entry in frame.context.laser_calibrations if entry.name != 1]
    assert all(not entry.beam_inclinations for entry in others)
    spans = {(e.beam_inclination_min, e.beam_inclination_max) for e in others}
    assert spans == {(-math.pi / 2, math.pi / 6)}


def test_real_cameras(real: Path) -> None:
    (path,) = (real / "training").iterdir()
    (place,) = record_places(path)
    frame = messages()["Frame"].FromString(read_record(path, place))
    shots = records._shots(path, "x", frame, read_record(path, place), place)
    sizes = {}
    for shot in shots:
        lens = shot.calibration
        sizes[lens.name] = (lens.width, lens.height)
        assert lens.intrinsic[5] < -0.29 and any(lens.intrinsic[4:])  # not undistorted
        data = shot.image.read()
        assert data[:2] == b"\xff\xd8" and data[-2:] == b"\xff\xd9"
        # At rest or not, each image has a pose of its own time, near the frame's.
        apart = inverse(np.array(frame.pose.transform).reshape(4, 4)) @ shot.pose
        assert np.linalg.norm(apart[:3, 3]) < 3.0
    front, side = (1920, 1280), (1920, 886)
    assert sizes == {1: front, 2: front, 3: front, 4: side, 5: side}


def test_real_boxes_fall_into_the_images(real: Path) -> None:
    """Boxes of people and cars ahead project into an image with the bending lens."""
    from lima_bench.datasets.card import Card
    from lima_bench.datasets.sample import Frame, Sample
    from lima_bench.datasets.waymo.assemble import _cameras

    (path,) = (real / "training").iterdir()
    (place,) = record_places(path)
    message = messages()["Frame"].FromString(read_record(path, place))
    shots = tuple(records._shots(path, "x", message, read_record(path, place), place))
    centres = np.array(
        [[b.box.center_x, b.box.center_y, b.box.center_z] for b in message.laser_labels]
    )
    pose = np.array(message.pose.transform).reshape(4, 4)
    card: Card = Waymo.card
    frame = Frame("x/1", "x", 0, 0.0)
    cameras = tuple(_cameras(shots, frame, card))
    sample = Sample(frame, centres.astype(np.float32), np.zeros(75, np.float32),
                    lidar_to_global=pose, cameras=cameras)  # fmt: skip
    angles = {"FRONT": 0, "FRONT_LEFT": 45, "FRONT_RIGHT": -45, "SIDE_LEFT": 90, "SIDE_RIGHT": -90}
    n_seen = 0
    for camera in cameras:
        uv, depth = image_points(sample, camera)
        inside = (
            (depth > 1) & (uv > 0).all(axis=1) & (uv < [camera.width, camera.height]).all(axis=1)
        )
        bearing = np.degrees(np.arctan2(centres[inside, 1], centres[inside, 0]))
        assert (np.abs(bearing - angles[camera.name]) < 35).all()
        n_seen += int(inside.sum())
        assert read_image(camera).shape == (camera.height, camera.width, 3)
    assert n_seen > 20


@pytest.mark.parametrize("name", ["v1/pvps_data_one_frame", "mmdet3d_fixture/val"])
def test_stripped_range_images(samples: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "testing").mkdir()
    path = tmp_path / "testing" / "segment-a_with_camera_labels.tfrecord"
    path.symlink_to(samples / f"waymo/{name}.tfrecord")
    (frame,) = Waymo().frames(tmp_path, "test")
    assert frame.sequence == "a"
    with pytest.raises(UserError, match="stripped") as error:
        Waymo().load(frame)
    assert str(path) in error.value.where


def test_real_vehicle_poses(samples: Path) -> None:
    (path,) = (samples / "waymo/v2/vehicle_pose").glob("*.parquet")
    places = read_keys(path, [TIMESTAMP], {})
    assert len(places) == 199
    steps_ms = np.diff(sorted(key[0] for key in places)) / 1000
    assert steps_ms.min() > 99.8 and steps_ms.max() < 100.2
    column = "[VehiclePoseComponent].world_from_vehicle.transform"
    assert pq.read_schema(path).field(column).type.value_type == "float"  # the schema says double
    rows = dict(read_rows(path, list(places.values()), [column]))
    poses = np.array([matrix(path, rows[places[key]], column) for key in sorted(places)])
    assert poses.dtype == np.float64
    turns = poses[:, :3, :3]
    assert np.abs(turns @ turns.transpose(0, 2, 1) - np.eye(3)).max() < 1e-6
    path_m = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1).sum()
    assert path_m == pytest.approx(7.55, abs=0.02)


def test_real_intensity_has_no_bound(samples: Path) -> None:
    """Why it is fed as its hyperbolic tangent."""
    rows = np.concatenate(
        [
            np.fromfile(samples / f"waymo/mmdet3d_fixture/{name}.bin", "<f4").reshape(-1, 6)
            for name in ("0000000", "1000000")
        ]
    )
    assert rows[:, 3].min() >= 0 and rows[:, 3].max() == pytest.approx(27.1, abs=0.1)
    assert (rows[:, 3] <= Waymo.card.intensity.maximum).mean() > 0.9
    assert json.loads((samples / "waymo/mmdet3d_fixture/waymo_infos_train.json").read_text())


# --- the official metric


def label_images(samples: Path, name: str) -> np.ndarray:
    """Classes of all frames, both returns, in the order of the file."""
    data = (samples / f"waymo/metrics/fake_segmentation_{name}.bin").read_bytes()
    found = []
    for frame in messages()["SegmentationFrameList"].FromString(data).frames:
        for laser in frame.segmentation_labels:
            for image in (laser.ri_return1, laser.ri_return2):
                label = messages()["MatrixInt32"].FromString(
                    zlib.decompress(image.segmentation_label_compressed)
                )
                assert list(label.shape.dims) == [50, 1000]
                found.append(np.array(label.data))
    return np.concatenate(found)


def test_official_metric_fixture(samples: Path) -> None:
    card = Waymo.card
    truth = card.remap(label_images(samples, "groundtruths"))
    prediction = card.remap(label_images(samples, "predictions"))
    assert len(truth) == 6 * 2 * 50_000
    matrix = ConfusionMatrix(22)
    matrix.add(truth, prediction)
    iou = dict(zip(card.class_names, matrix.iou(), strict=True))
    assert iou.pop("car") == pytest.approx(0.0434833, abs=5e-8)
    assert iou.pop("pedestrian") == pytest.approx(0.0434833, abs=5e-8)
    assert set(iou.values()) == {0.0}  # every class is true somewhere, so none is absent
    assert mean_iou(matrix, card.metric) == pytest.approx(0.0039530, abs=5e-8)


def test_official_metric_counts_an_absent_class_as_one() -> None:
    matrix = ConfusionMatrix(22)
    matrix.add(np.array([0, 1, 255]), np.array([0, 0, 3]))
    # Car: 1 of 2; truck: 0 of 1; the other twenty occur in neither truth nor prediction.
    assert mean_iou(matrix, Waymo.card.metric) == pytest.approx((0.5 + 0 + 20) / 22)
