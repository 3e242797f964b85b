"""Point-pixel pairs: against the plain formula, at every bound, and on a real keyframe."""

import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lima_bench.common.errors import UserError
from lima_bench.datasets.nuscenes.reader import NuScenes
from lima_bench.datasets.rigid import rigid, rotation
from lima_bench.datasets.sample import Camera, Frame, Sample
from lima_bench.lima.pairs import image_points, project

WIDTH, HEIGHT, FOCAL = 80, 48, 60.0
INTRINSIC = np.array([[FOCAL, 0, 39.5], [0, FOCAL, 23.5], [0, 0, 1]])


def camera(to_global: np.ndarray, name: str = "CAM_FRONT") -> Camera:
    return Camera(name, name, Path("none"), INTRINSIC, to_global, WIDTH, HEIGHT)


def sample(points: np.ndarray, cameras: tuple[Camera, ...], pose: np.ndarray) -> Sample:
    frame = Frame("frame", "scene", 0, 0.0)
    n = len(points)
    return Sample(frame, points.astype(np.float32), np.zeros(n, np.float32), None, pose, cameras)


def at(u: float, v: float, depth: float) -> list[float]:
    """The point of the camera's frame that falls on (u, v)."""
    return [(u - 39.5) / FOCAL * depth, (v - 23.5) / FOCAL * depth, depth]


@pytest.fixture
def scene() -> Sample:
    """Random points far from the origin of the town, two cameras at other poses."""
    rng = np.random.default_rng(0)
    pose = rigid(rotation([0.9, 0.02, -0.01, 0.4]), [2000.0, -3000.0, 1.0])
    axes = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
    cameras = tuple(
        camera(pose @ rigid(rotation([1, 0, 0, z]) @ axes, [0.4, y, -0.3]), f"CAM_{y}")
        for z, y in ((0.0, 0.1), (0.3, -0.1))
    )
    return sample(rng.uniform(-30, 30, (4000, 3)), cameras, pose)


@pytest.mark.parametrize("rounding", ["round", "floor"])
def test_pairs_are_those_of_the_plain_formula(scene: Sample, rounding: str) -> None:
    pairs = project(scene, rounding=rounding)
    expected = []
    for number, cam in enumerate(scene.cameras):
        for i, point in enumerate(scene.points.astype(float)):
            world = scene.lidar_to_global @ [*point, 1]
            x, y, z, _ = np.linalg.solve(cam.camera_to_global, world)
            if z <= 1:
                continue
            u, v = FOCAL * x / z + 39.5, FOCAL * y / z + 23.5
            if 0 < u < WIDTH - 1 and 0 < v < HEIGHT - 1:
                whole = np.floor if rounding == "floor" else np.round
                expected.append((i, number, int(whole(v)), int(whole(u))))
    assert len(expected) > 200 and len({p for p, *_ in expected}) < len(expected)
    found = np.stack([pairs.point, pairs.camera, pairs.row, pairs.col], axis=1)
    np.testing.assert_array_equal(found, expected)
    assert len(pairs) == len(expected)
    assert {a.dtype for a in (pairs.point, pairs.camera, pairs.row, pairs.col)} == {
        np.dtype(np.int64)
    }


@pytest.mark.parametrize(
    ("u", "v", "depth", "kept"),
    [
        (10.5, 10.5, 2.0, True),
        (10.5, 10.5, 1.0, False),  # a depth of one metre is too near
        (10.5, 10.5, 1.01, True),
        (10.5, 10.5, -2.0, False),  # behind, though the formula gives a pixel
        (0.0, 23.5, 2.0, False),
        (0.25, 23.5, 2.0, True),
        (79.0, 23.5, 2.0, False),
        (78.75, 23.5, 2.0, True),
        (39.5, 0.0, 2.0, False),
        (39.5, 0.25, 2.0, True),
        (39.5, 47.0, 2.0, False),
        (39.5, 46.75, 2.0, True),
    ],
)
def test_bounds_are_strict(u: float, v: float, depth: float, kept: bool) -> None:
    focal_64 = INTRINSIC.copy()
    focal_64[0, 0] = focal_64[1, 1] = 64.0  # powers of two: image coordinates are exact
    point = [(u - 39.5) / 64 * depth, (v - 23.5) / 64 * depth, depth]
    cam = replace(camera(np.eye(4)), intrinsic=focal_64)
    pairs = project(sample(np.array([point]), (cam,), np.eye(4)), rounding="floor")
    assert len(pairs) == kept


def test_roundings_differ_as_documented() -> None:
    points = np.array([at(10.75, 20.25, 4.0), at(78.9, 46.9, 4.0)])
    one = sample(points, (camera(np.eye(4)),), np.eye(4))
    rounded, floored = (project(one, rounding=r) for r in ("round", "floor"))
    assert rounded.col.tolist() == [11, 79] and rounded.row.tolist() == [20, 47]
    assert floored.col.tolist() == [10, 78] and floored.row.tolist() == [20, 46]
    half = (24, 40)
    # round(11 / 2) is even: 6; round(79 / 2) = 40 lies outside and is cut off at 39
    assert rounded.resized(one.cameras, half, "round").col.tolist() == [6, 39]
    assert rounded.resized(one.cameras, half, "round").row.tolist() == [10, 23]
    assert floored.resized(one.cameras, half, "floor").col.tolist() == [5, 39]
    assert floored.resized(one.cameras, half, "floor").row.tolist() == [10, 23]
    larger = rounded.resized(one.cameras, (96, 160), "round")
    assert larger.col.tolist() == [22, 158] and larger.row.tolist() == [40, 94]
    np.testing.assert_array_equal(larger.point, rounded.point)


def test_cameras_of_several_sizes(scene: Sample) -> None:
    small = replace(scene.cameras[1], width=40, height=30)
    mixed = replace(scene, cameras=(scene.cameras[0], small))
    pairs = project(mixed, rounding="floor")
    resized = pairs.resized(mixed.cameras, (30, 40), "floor")
    second = pairs.camera == 1
    assert second.any() and not second.all()
    np.testing.assert_array_equal(resized.col[second], pairs.col[second])
    np.testing.assert_array_equal(resized.col[~second], pairs.col[~second] // 2)


def test_the_poses_own_times_matter(scene: Sample) -> None:
    """Cameras taken at the scan's pose see other pixels once the car has moved."""
    late = scene.cameras[0].camera_to_global.copy()
    late[:3, 3] += [0.5, 0.0, 0.0]
    moved = replace(scene, cameras=(replace(scene.cameras[0], camera_to_global=late),))
    still = replace(scene, cameras=scene.cameras[:1])
    first, second = (image_points(s, s.cameras[0])[0] for s in (still, moved))
    assert np.median(np.linalg.norm(first - second, axis=1)) > 0.5


def test_nothing_to_see(scene: Sample) -> None:
    blind, empty = replace(scene, cameras=()), replace(scene, points=scene.points[:0])
    for nothing in (project(blind, rounding="round"), project(empty, rounding="round")):
        assert len(nothing) == 0
        assert len(nothing.resized(scene.cameras, (24, 40), "round")) == 0
    assert len(project(replace(blind, lidar_to_global=None), rounding="round")) == 0
    with pytest.raises(UserError, match="images but no pose"):
        project(replace(scene, lidar_to_global=None), rounding="round")


# --- a real keyframe


@pytest.fixture(scope="module")
def real(samples: Path) -> Sample:
    dataset = NuScenes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (frame,) = dataset.frames(samples / "nuscenes" / "frame_ca9a282c", "mini_train")
    return dataset.load(frame)


@pytest.mark.parametrize("rounding", ["round", "floor"])
def test_real_pairs(real: Sample, rounding: str) -> None:
    pairs = project(real, rounding=rounding)
    counts = dict(zip([c.name for c in real.cameras], np.bincount(pairs.camera), strict=True))
    assert counts == {
        "CAM_FRONT": 3056,
        "CAM_FRONT_RIGHT": 3076,
        "CAM_FRONT_LEFT": 3700,
        "CAM_BACK": 4822,
        "CAM_BACK_LEFT": 4091,
        "CAM_BACK_RIGHT": 3370,
    }
    seen = np.bincount(pairs.point)
    assert (seen > 0).sum() == 20184 and (seen == 2).sum() == 1931 and seen.max() == 2
    resized = pairs.resized(real.cameras, (224, 448), rounding)
    assert resized.row.max() <= 223 and resized.col.max() <= 447
    if rounding == "floor":
        np.testing.assert_array_equal(resized.col, pairs.col * 448 // 1600)


def test_real_ego_motion(real: Sample, samples: Path) -> None:
    """Leaving the ego motion out moves points by the documented medians."""
    info = json.loads((samples / "nuscenes/frame_ca9a282c/info.json").read_text())["data_list"][0]
    medians = {}
    for cam in real.cameras:
        ego = np.array(info["ego2global"])
        still = replace(cam, camera_to_global=ego @ np.linalg.inv(_ego_to_camera(info, cam.name)))
        (with_motion, near), (without, _) = (image_points(real, c) for c in (cam, still))
        u, v = with_motion.T
        inside = (near > 1) & (u > 0) & (u < 1599) & (v > 0) & (v < 899)
        shift = np.linalg.norm(with_motion - without, axis=1)[inside]
        medians[cam.name] = round(float(np.median(shift)), 1)
    assert medians == {
        "CAM_FRONT": 13.5,
        "CAM_FRONT_RIGHT": 18.5,
        "CAM_FRONT_LEFT": 38.5,
        "CAM_BACK": 2.7,
        "CAM_BACK_LEFT": 0.7,
        "CAM_BACK_RIGHT": 14.3,
    }


def _ego_to_camera(info: dict, name: str) -> np.ndarray:
    return np.linalg.inv(np.array(info["images"][name]["cam2ego"]))


# --- lenses that bend


BEND = (0.04, -0.33, 0.001, -0.0016, 0.0)


def test_a_bending_lens_moves_pairs_as_the_formula_says(scene: Sample) -> None:
    k1, k2, p1, p2, k3 = BEND
    bending = replace(scene, cameras=tuple(replace(c, distortion=BEND) for c in scene.cameras))
    n_pairs = 0
    for cam in bending.cameras:
        places, depth = image_points(bending, cam)
        for i, point in enumerate(scene.points.astype(float)):
            world = scene.lidar_to_global @ [*point, 1]
            x, y, z, _ = np.linalg.solve(cam.camera_to_global, world)
            assert depth[i] == pytest.approx(z, abs=1e-6)
            if z <= 1 or np.hypot(x / z, y / z) > 0.8:
                continue
            x, y = x / z, y / z
            r2 = x * x + y * y
            radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
            u = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
            v = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
            np.testing.assert_allclose(places[i], [FOCAL * u + 39.5, FOCAL * v + 23.5], atol=1e-6)
            n_pairs += 1
    assert n_pairs > 100
    plain, moved = (project(each, rounding="round") for each in (scene, bending))
    assert len(plain) > 100 and not np.array_equal(plain.col, moved.col[: len(plain.col)])


def test_points_that_a_lens_would_fold_back_are_no_pairs() -> None:
    """At 53 degrees off the axis the polynomial shows a point inside the image again."""
    lens = replace(camera(np.eye(4)), distortion=BEND)
    far_aside = np.array([[1.32 * 5, 0.0, 5.0], [0.2 * 5, 0.1 * 5, 5.0], [0.0, 0.0, -5.0]])
    seen = sample(far_aside, (lens,), np.eye(4))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(project(seen, rounding="round").point, [1])


def test_a_lens_that_does_not_bend_is_a_pinhole(scene: Sample) -> None:
    flat = tuple(replace(c, distortion=(0.0, 0.0, 0.0, 0.0, 0.0)) for c in scene.cameras)
    one, other = (project(s, rounding="round") for s in (scene, replace(scene, cameras=flat)))
    for name in ("point", "camera", "row", "col"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
