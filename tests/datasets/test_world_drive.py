"""Recordings: same bits every time, right against themselves, and like the formats they feed."""

import hashlib
import inspect
import subprocess
import sys
from dataclasses import fields, is_dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from lima_bench.common.errors import UserError
from lima_bench.datasets.world.drive import drive
from lima_bench.datasets.world.drives import NUSCENES_CAMERAS, NuScenesDrive, SemanticKittiDrive
from lima_bench.datasets.world.expedition import expedition_of
from lima_bench.datasets.world.labels import IS_OBJECT, NAMES, SCORED_16, SCORED_19, Label
from lima_bench.datasets.world.materials import Material
from lima_bench.datasets.world.recording import LidarScan, Moment, Picture, Recording
from lima_bench.datasets.world.spec import WorldSpec

TINY = WorldSpec(
    nuscenes=NuScenesDrive(
        train_scenes=100,
        train_keyframes=1,
        pretrain_scenes=2,
        pretrain_keyframes=3,
        val_scenes=2,
        val_keyframes=2,
        detection_sweeps=1,
        image_height=84,
        image_width=144,
        azimuths=240,
    ),
    semantickitti=SemanticKittiDrive(
        train_scans=4, val_scans=3, image_height=60, image_width=200, azimuths=180
    ),
)


def content(part: Any) -> bytes:
    """Every bit of a recording, however its parts share memory."""
    if isinstance(part, np.ndarray):
        return f"{part.dtype}{part.shape}".encode() + part.tobytes()
    if isinstance(part, tuple):
        return b"".join(content(item) for item in part)
    if is_dataclass(part):
        return b"".join(content(getattr(part, field.name)) for field in fields(part))
    return repr(part).encode()


DIGEST = f"""
import hashlib, sys
from dataclasses import fields, is_dataclass
from typing import Any
import numpy as np
from lima_bench.datasets.world.drive import drive
from lima_bench.datasets.world.expedition import expedition_of
from lima_bench.datasets.world.spec import WorldSpec
{inspect.getsource(content)}
spec = WorldSpec.model_validate_json(sys.stdin.read())
for sensor, split, index in (("semantickitti", "val", 0), ("nuscenes", "val", 1)):
    print(hashlib.sha256(content(drive(spec, sensor, split, index))).hexdigest())
"""


@pytest.fixture(scope="module")
def nuscenes() -> Recording:
    return drive(TINY, "nuscenes", "val", 1)


@pytest.fixture(scope="module")
def nuscenes_0() -> Recording:
    return drive(TINY, "nuscenes", "val", 0)


@pytest.fixture(scope="module")
def kitti() -> Recording:
    return drive(TINY, "semantickitti", "val", 0)


def _global(scan: LidarScan) -> np.ndarray:
    pose = scan.ego_to_global @ scan.lidar_to_ego
    return scan.points.astype(np.float64) @ pose[:3, :3].T + pose[:3, 3]


def _in_camera(scan: LidarScan, picture: Picture) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distances (N,), pixels (N, 2) and whether they lie in the picture, of a scan's points."""
    camera = np.linalg.inv(picture.ego_to_global @ picture.camera_to_ego)
    own = _global(scan) @ camera[:3, :3].T + camera[:3, 3]
    pixel = own @ picture.intrinsic.T
    pixel = np.rint(pixel[:, :2] / np.maximum(pixel[:, 2:], 1e-9)).astype(np.int64)
    height, width = picture.label.shape
    seen = (own[:, 2] > 1) & (pixel >= 0).all(axis=1) & (pixel < [width, height]).all(axis=1)
    return np.linalg.norm(own, axis=1), pixel, seen


def test_another_process_and_order_give_the_same_bits(
    nuscenes: Recording, kitti: Recording
) -> None:
    run = subprocess.run(
        [sys.executable, "-c", DIGEST],
        input=TINY.model_dump_json(),
        capture_output=True,
        text=True,
        check=True,
    )
    here = [hashlib.sha256(content(r)).hexdigest() for r in (kitti, nuscenes)]
    assert run.stdout.split() == here


def test_seeds_splits_and_indices_show_different_streets(
    nuscenes: Recording, nuscenes_0: Recording
) -> None:
    other_seed = TINY.model_copy(update={"seed": 1})
    others = [
        drive(other_seed, "nuscenes", "val", 1),
        drive(TINY, "nuscenes", "train", 1),
        drive(TINY, "nuscenes", "teacher", 1),
        nuscenes_0,
    ]
    scans = [r.moments[0].scan.points.tobytes() for r in (nuscenes, *others)]
    assert len(set(scans)) == 5
    assert len({r.name for r in others[1:]}) == 3


def test_unknown_sensor_and_split_are_refused() -> None:
    with pytest.raises(UserError, match="waymoo"):
        drive(TINY, "waymoo", "val", 0)
    with pytest.raises(UserError, match="none with number 0"):
        drive(TINY, "nuscenes", "test", 0)
    with pytest.raises(UserError, match="none with number 2"):
        drive(TINY, "nuscenes", "val", 2)


def test_sizes_and_names_are_those_of_the_spec(nuscenes: Recording, kitti: Recording) -> None:
    assert len(expedition_of(TINY, "nuscenes").of("train")) == 100
    assert len(expedition_of(TINY, "semantickitti").of("train")) == 10
    assert len(nuscenes.moments) == 2
    assert len(kitti.moments) == 3
    assert (nuscenes.split, kitti.name) == ("val", "08")
    first, second = nuscenes.moments
    assert len(first.sweeps) == len(second.sweeps) == 1
    (before,) = first.sweeps
    assert before.timestamp_us == first.scan.timestamp_us - 50_000
    for moment in nuscenes.moments:
        assert tuple(p.camera for p in moment.pictures) == NUSCENES_CAMERAS
        assert all(p.pixels.shape == (84, 144, 3) for p in moment.pictures)
    assert kitti.moments[0].pictures[0].pixels.shape == (60, 200, 3)


def test_two_cameras_are_the_six_cameras_less_four(nuscenes: Recording) -> None:
    cameras = ("CAM_FRONT", "CAM_BACK")
    spec = TINY.model_copy(
        update={"nuscenes": TINY.nuscenes.model_copy(update={"cameras": cameras})}
    )
    few = drive(spec, "nuscenes", "val", 1)
    assert [p.camera for p in few.moments[0].pictures] == list(cameras)
    np.testing.assert_array_equal(few.moments[0].scan.points, nuscenes.moments[0].scan.points)
    np.testing.assert_array_equal(
        few.moments[0].pictures[0].pixels, nuscenes.moments[0].pictures[0].pixels
    )


def _scans(recording: Recording) -> list[LidarScan]:
    return [scan for m in recording.moments for scan in (*m.sweeps, m.scan)]


def test_scans_are_well_formed(nuscenes: Recording, kitti: Recording) -> None:
    for recording, beams in ((nuscenes, 32), (kitti, 64)):
        for scan in _scans(recording):
            count = len(scan.points)
            assert count > 2000
            assert scan.points.dtype == scan.intensity.dtype == np.float32
            assert np.isfinite(scan.points).all()
            assert scan.intensity.min() >= 0
            assert scan.intensity.max() <= 1
            assert set(np.unique(scan.ring)) <= set(range(beams))
            assert (scan.instance[~IS_OBJECT[scan.label]] == 0).all()
            assert (scan.instance[IS_OBJECT[scan.label]] > 0).all()
            for part in (scan.ring, scan.label, scan.instance, scan.moving, scan.intensity):
                assert part.shape == (count,)


def test_points_are_stored_column_by_column(nuscenes: Recording) -> None:
    """Rings rise within a column; one column is one direction; columns turn clockwise."""
    scan = nuscenes.moments[0].scan
    column = np.cumsum(np.diff(scan.ring, prepend=99) <= 0)
    assert column[-1] <= TINY.nuscenes.azimuths
    far = np.hypot(*scan.points[:, :2].T) > 4
    turn = np.unwrap(np.arctan2(scan.points[far, 1], scan.points[far, 0]))
    assert turn[-1] - turn[0] == pytest.approx(-2 * np.pi, abs=0.1)
    elevation = np.arcsin(scan.points[:, 2] / np.linalg.norm(scan.points, axis=1))
    for ring in (5, 20, 31):
        assert np.std(elevation[far & (scan.ring == ring) & (scan.label != Label.NOISE)]) < 0.005


def test_axes_are_those_of_the_formats(nuscenes: Recording, kitti: Recording) -> None:
    """nuScenes: the LiDAR's x points right and y ahead; KITTI: x ahead, y left."""
    right, ahead = nuscenes.moments[0].scan.lidar_to_ego[:3, :2].T
    np.testing.assert_allclose(right, [0, -1, 0], atol=0.03)
    np.testing.assert_allclose(ahead, [1, 0, 0], atol=0.03)
    np.testing.assert_allclose(kitti.moments[0].scan.lidar_to_ego[:3, :3], np.eye(3), atol=1e-9)
    ego = nuscenes.moments[0].scan
    below = ego.points[ego.label == Label.EGO]
    assert 10 < len(below) < 0.1 * len(ego.points)
    assert (np.hypot(*below[:, :2].T) < 1.2).all()


def test_ego_moves_ahead_at_town_speed(nuscenes: Recording, kitti: Recording) -> None:
    for recording in (nuscenes, kitti):
        for before, after in pairwise(_scans(recording)):
            seconds = (after.timestamp_us - before.timestamp_us) * 1e-6
            step = after.ego_to_global[:3, 3] - before.ego_to_global[:3, 3]
            assert seconds > 0
            assert 2.5 < np.linalg.norm(step) / seconds < 10
            assert step @ before.ego_to_global[:3, 0] > 0.95 * np.linalg.norm(step)
            rotation = after.ego_to_global[:3, :3]
            np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-9)


def test_cameras_fire_just_before_the_scan_ends(nuscenes: Recording) -> None:
    moment = nuscenes.moments[1]
    for picture in moment.pictures:
        assert 0 < moment.scan.timestamp_us - picture.timestamp_us < 50_000
        assert not np.allclose(picture.ego_to_global, moment.scan.ego_to_global, rtol=0, atol=1e-3)


def test_kitti_pictures_belong_to_the_scan(kitti: Recording) -> None:
    for moment in kitti.moments:
        (picture,) = moment.pictures
        assert picture.timestamp_us == moment.scan.timestamp_us
        np.testing.assert_array_equal(picture.ego_to_global, moment.scan.ego_to_global)


@pytest.mark.parametrize("sensor", ["nuscenes", "semantickitti"])
def test_points_fall_on_their_own_class_in_the_pictures(
    sensor: str, nuscenes: Recording, nuscenes_0: Recording, kitti: Recording
) -> None:
    """Where nothing hides a point from the camera, both sensors agree on what and how far."""
    recordings = (nuscenes, nuscenes_0) if sensor == "nuscenes" else (kitti,)
    scored = SCORED_16 if sensor == "nuscenes" else SCORED_19
    same, count, same_in_view, in_view = 0, 0, 0, 0
    for moment in (m for recording in recordings for m in recording.moments):
        scan = moment.scan
        usable = ~scan.moving & ~np.isin(scan.label, (Label.EGO, Label.NOISE))
        for picture in moment.pictures:
            distance, pixel, seen = _in_camera(scan, picture)
            u, v = pixel[seen & usable].T
            match = scored[picture.label[v, u]] == scored[scan.label[seen & usable]]
            near = abs(picture.depth[v, u] - distance[seen & usable]) < 0.3
            same, count = same + match.sum(), count + match.size
            same_in_view, in_view = same_in_view + (match & near).sum(), in_view + near.sum()
    assert count > 2000
    assert same / count > 0.90
    assert in_view / count > 0.75
    assert same_in_view / in_view > 0.97


def test_pictures_say_what_they_show(nuscenes: Recording) -> None:
    for picture in nuscenes.moments[0].pictures:
        sky = picture.material == Material.SKY
        np.testing.assert_array_equal(sky, np.isinf(picture.depth))
        np.testing.assert_array_equal(sky, picture.label == Label.NOTHING)
        assert picture.label.max() < len(Label)
        assert picture.material.max() < len(Material)
        assert picture.pixels.std() > 10


def test_annotations_hold_their_points(nuscenes: Recording) -> None:
    """Counts are those of the scan, boxes hold the points, labels are the boxes' categories."""
    for moment in nuscenes.moments:
        assert len(moment.annotations) > 8
        points = _global(moment.scan)
        for box in moment.annotations:
            on = moment.scan.instance == box.instance
            assert on.sum() == box.n_lidar_points > 0
            assert {NAMES[Label(i)].nuscenes for i in moment.scan.label[on]} == {box.category}
            assert 1 <= box.visibility <= 4
            if np.linalg.norm(box.velocity) > 0:
                continue  # points of movers lie where they were when their column fired
            cos, sin = np.cos(box.yaw), np.sin(box.yaw)
            off = points[on] - box.centre
            local = np.stack(
                [cos * off[:, 0] + sin * off[:, 1], cos * off[:, 1] - sin * off[:, 0], off[:, 2]]
            ).T
            inside = (abs(local) <= np.array(box.size) / 2 + 0.15).all(axis=1)
            assert inside.mean() > 0.95, box.category


def test_velocity_and_attributes_tell_the_same_story(nuscenes: Recording) -> None:
    first, second = ({box.instance: box for box in m.annotations} for m in nuscenes.moments)
    both = first.keys() & second.keys()
    speeds = []
    for instance in both:
        before, after = first[instance], second[instance]
        np.testing.assert_allclose(
            (after.centre - before.centre)[:2] / 0.5, before.velocity, atol=0.35
        )
        speeds.append(np.linalg.norm(before.velocity))
        moves = before.attribute.endswith((".moving", "with_rider"))
        assert moves == (speeds[-1] > 0) or not before.attribute
        scan = nuscenes.moments[0].scan
        assert (scan.moving[scan.instance == instance] == (speeds[-1] > 0)).all()
    assert len(both) > 5
    assert max(speeds) > 1


def test_teacher_drives_have_pictures() -> None:
    recording = drive(TINY, "nuscenes", "teacher", 0)
    moment: Moment = recording.moments[0]
    assert recording.split == "teacher"
    assert len(moment.pictures) == 6
    assert len({int(m) for p in moment.pictures for m in np.unique(p.material)}) > 12
