"""What detectors found is drawn where it is: corners, edges cut at the image, pages and files."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lima_bench.common.errors import UserError
from lima_bench.datasets.lens import distort
from lima_bench.datasets.nuscenes.reader import NuScenes
from lima_bench.datasets.rigid import apply, inverse
from lima_bench.datasets.sample import Boxes, Camera, Frame, Sample
from lima_bench.datasets.splits import IncompleteData
from lima_bench.datasets.world.build import build_world
from lima_bench.datasets.world.drives import NuScenesDrive
from lima_bench.datasets.world.spec import WorldSpec
from lima_bench.results.record import Record
from lima_bench.results.render.pages import as_png, styled
from lima_bench.results.store import Store
from lima_bench.suites.pictures.above import figure_above
from lima_bench.suites.pictures.looks import FOUND, TRUTH, WEAKEST, Caption, strength
from lima_bench.suites.pictures.marks import (
    EDGES,
    Marks,
    entries_of,
    marks_of_found,
    marks_of_truth,
)
from lima_bench.suites.pictures.overlay import figure_cameras
from lima_bench.suites.pictures.sight import seen_edges
from lima_bench.suites.session import Request, open_session

Call = Callable[..., tuple[int, str, str]]
CARD = NuScenes.card
FACTS = CARD.detection
CAPTION = Caption("a detector", "a frame", 0.3)
CAMERA_AXES = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # nuScenes' LiDAR: x right, y ahead
SEEN = np.array([[60.0, 0, 49.5], [0, 60, 39.5], [0, 0, 1]])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    drive = NuScenesDrive(
        sweeps_per_keyframe=0,
        train_scenes=1,
        train_keyframes=1,
        pretrain_scenes=1,
        pretrain_keyframes=2,
        val_scenes=2,
        val_keyframes=1,
        image_height=28,
        image_width=48,
        azimuths=120,
    )
    folder = tmp_path_factory.mktemp("world")
    return build_world(WorldSpec(nuscenes=drive), folder, processes=1, datasets=("nuscenes",))


def truth_as_found(tables: Path, score: float = 0.9) -> dict[str, list[dict]]:
    """Annotations of every sample as predictions, straight from the tables."""

    def rows(name: str) -> list[dict]:
        return json.loads((tables / f"{name}.json").read_text())

    category = {row["token"]: row["name"] for row in rows("category")}
    of = {row["token"]: category[row["category_token"]] for row in rows("instance")}
    found: dict[str, list[dict]] = {row["token"]: [] for row in rows("sample")}
    for row in rows("sample_annotation"):
        name = of[row["instance_token"]]
        if name in FACTS.label_of:
            box = {key: row[key] for key in ("sample_token", "translation", "size", "rotation")}
            kind = {"detection_name": FACTS.names[FACTS.label_of[name]], "detection_score": score}
            found[row["sample_token"]].append(box | kind)
    return found


def write(path: Path, found: dict[str, list[dict]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"meta": {}, "results": found}))
    return path


def boxes(*places: tuple[float, ...]) -> Boxes:
    """Cars at x, y with a yaw."""
    x, y, yaw = np.array(places, float).reshape(-1, 3).T
    n = len(x)
    return Boxes(
        np.stack([x, y, 0 * x], axis=1),
        np.tile([4.0, 2.0, 1.5], (n, 1)),
        yaw,
        np.zeros((n, 2)),
        ("vehicle.car",) * n,
        tuple(map(str, range(n))),
        np.zeros(n, bool),
        np.ones(n, np.int64),
        np.zeros(n, np.int64),
    )


def scene(found: Boxes | None = None, *cameras: Camera) -> Sample:
    points = np.random.default_rng(0).uniform(-30, 30, (200, 3)).astype(np.float32)
    frame = Frame("a", "a", 0, 0.0, alias="a")
    one = np.ones(200, np.float32)
    return Sample(frame, points, one, lidar_to_global=np.eye(4), cameras=cameras, boxes=found)


def camera(image: Path | None = None, **changes: object) -> Camera:
    pose = np.eye(4)
    pose[:3, :3] = CAMERA_AXES
    return Camera("front", "front", image, SEEN, pose, 100, 80, **changes)


# --- corners


def test_truth_as_prediction_has_the_corners_of_truth(world: Path) -> None:
    root, reader = world / "nuscenes", NuScenes()
    found = truth_as_found(next(root.glob("v1.0-*")))
    n_boxes = 0
    for frame in reader.frames(root, "val"):
        sample = reader.load(frame)
        truth = marks_of_truth(sample.boxes, FACTS)
        ours = marks_of_found(found[frame.alias], sample.lidar_to_global, FACTS, 0.3, "here")
        n_boxes += len(truth)
        apart = np.linalg.norm(truth.corners[:, None] - ours.corners[None], axis=-1).max(axis=2)
        assert len(ours) == len(truth) and (apart.min(axis=1) < 0.05).all()
        assert sorted(ours.label) == sorted(truth.label)
    assert n_boxes > 10


def test_corners_headings_and_edges() -> None:
    marks = marks_of_truth(boxes((10, 5, np.pi / 2)), FACTS)
    np.testing.assert_allclose(marks.corners[0, 0], (9, 7, -0.75), atol=1e-12)  # front left, low
    np.testing.assert_allclose(marks.corners[0, 5], (11, 7, 0.75), atol=1e-12)
    np.testing.assert_allclose(marks.headings[0], [(10, 5, -0.75), (10, 7, -0.75)], atol=1e-12)
    one, other = marks.corners[0, EDGES[:, 0]], marks.corners[0, EDGES[:, 1]]
    lengths = np.linalg.norm(one - other, axis=1)
    assert sorted(lengths.round(9)) == [1.5] * 4 + [2.0] * 4 + [4.0] * 4
    assert len(marks_of_truth(None, FACTS)) == 0


def test_found_boxes_are_thresholded_and_the_best_lies_on_top() -> None:
    def entry(score: float, name: str = "car") -> dict:
        place = {"translation": [1, 2, 3], "size": [2, 4, 1], "rotation": [1, 0, 0, 0]}
        return place | {"detection_name": name, "detection_score": score}

    entries = [entry(0.9), entry(0.29), entry(0.3, "bus"), entry(0.5)]
    marks = marks_of_found(entries, np.eye(4), FACTS, 0.3, "here")
    assert marks.score.tolist() == [0.3, 0.5, 0.9] and marks.label.tolist() == [2, 0, 0]
    np.testing.assert_allclose(np.ptp(marks.corners[0], axis=0), (4, 2, 1))  # width comes first
    for broken in (entry(0.9, "tram"), {"detection_score": 0.9}, entry(0.9) | {"size": [1, 2]}):
        with pytest.raises(UserError, match=r"here\n  A box in it is broken"):
            marks_of_found([broken], np.eye(4), FACTS, 0.3, "here")
    np.testing.assert_allclose(strength(np.array([0.3, 1.0, 0.1]), 0.3), [WEAKEST, 1, WEAKEST])


def test_single_frames_are_taken_out_of_a_result_file(tmp_path: Path) -> None:
    many = [{"sample_token": "b", "translation": [n] * 3} for n in range(5000)]
    path = write(tmp_path / "r.json", {"a": [], "b": many, "c": [{"sample_token": "c"}]})
    assert entries_of(path, ["c", "b", "a"]) == {"a": [], "b": many, "c": [{"sample_token": "c"}]}
    with pytest.raises(UserError, match="says nothing of frame d"):
        entries_of(path, ["d"])
    whole = path.read_text()
    path.write_text(whole[: len(whole) // 2])
    assert entries_of(path, ["a"]) == {"a": []}
    for broken in ("b", "c"):
        with pytest.raises(UserError):
            entries_of(path, [broken])
    path.write_text("")
    with pytest.raises(UserError, match="cannot be read"):
        entries_of(path, ["a"])
    with pytest.raises(UserError, match="cannot be read"):
        entries_of(tmp_path / "none.json", ["a"])


# --- edges in images


def _sampled(ends: np.ndarray, lens: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of many points of an edge, and which of them are in front and in the image."""
    steps = np.linspace(0, 1, 4001)[:, None]
    there = apply(inverse(lens.camera_to_global), ends[0] + steps * (ends[1] - ends[0]))
    with np.errstate(all="ignore"):
        pixels = (there @ lens.intrinsic.T)[:, :2] / there[:, 2:]
    inside = (pixels > -0.5).all(axis=1) & (pixels < (lens.width - 0.5, lens.height - 0.5)).all(1)
    return pixels, inside & (there[:, 2] > 0.1)


def test_edges_are_cut_where_the_image_ends() -> None:
    """Against many points of each edge, some of them behind, beside or around the camera."""
    rng = np.random.default_rng(0)
    ends, lens = rng.uniform(-12, 12, (600, 2, 3)), camera()
    lines, seen = seen_edges(ends, np.eye(4), lens)
    assert len(lines) == seen.sum() and 50 < seen.sum() < 550
    drawn = iter(lines)
    for edge, is_seen in zip(ends, seen, strict=True):
        pixels, inside = _sampled(edge, lens)
        if not is_seen:
            assert inside.sum() <= 1
            continue
        line = next(drawn)
        assert (line >= -0.5 - 1e-6).all()
        assert (line <= np.array([99.5, 79.5]) + 1e-6).all()
        if inside.sum() > 1:
            places = pixels[inside][[0, -1]]
            assert np.abs(line - places).max() < 3.0  # the last sampled point lies just inside
            way = line[1] - line[0]
            across = np.array([-way[1], way[0]]) / np.linalg.norm(way)
            assert np.abs((places - line[0]) @ across).max() < 1e-6


def test_a_box_around_the_camera_and_one_behind_it() -> None:
    around, behind = (marks_of_truth(boxes(place), FACTS) for place in ((0, 0, 0), (0, -9, 0)))
    lines, seen = seen_edges(around.corners[0, EDGES], np.eye(4), camera())
    assert 0 < seen.sum() < 12 and np.isfinite(lines).all()
    assert not seen_edges(behind.corners[0, EDGES], np.eye(4), camera())[1].any()


def test_a_lens_bends_edges() -> None:
    bent = (-0.3, 0.1, 0.001, 0.0, 0.0)
    ends = np.array([[[-3.0, 6, 1], [3, 6, 1]]])
    lines, _ = seen_edges(ends, np.eye(4), camera(distortion=bent))
    steps = np.linspace(-3, 3, lines.shape[1]) / 6
    places = distort(np.stack([steps, np.full_like(steps, -1 / 6)], axis=1), bent)
    np.testing.assert_allclose(lines[0], places * 60 + (49.5, 39.5))
    assert np.ptp(lines[0, :, 1]) > 0.3


# --- pages


def _pixels(png: bytes, colour: str) -> np.ndarray:
    """Columns and rows, as shares of the page, of pixels of just this colour."""
    page = np.array(Image.open(io.BytesIO(png)).convert("RGB"))
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    rows, columns = np.nonzero((np.abs(page.astype(int) - wanted) <= 2).all(axis=2))
    return np.stack([columns / page.shape[1], rows / page.shape[0]], axis=1)


def _above(truth: Marks, found: Marks) -> bytes:
    with styled():
        return as_png(figure_above(scene(), CARD, truth, found, CAPTION))


def _on_map(shares: np.ndarray) -> np.ndarray:
    return shares[shares[:, 0] < 0.72]  # beside it is the legend


def test_from_above_ahead_is_up_and_right_is_right() -> None:
    nothing, car = marks_of_truth(None, FACTS), marks_of_truth(boxes((27, 27, 0)), FACTS)
    blue = _on_map(_pixels(_above(car, nothing), TRUTH))
    red = _on_map(_pixels(_above(nothing, car), FOUND))
    for places in (blue, red):
        middle = places.mean(axis=0)
        assert middle == pytest.approx((0.018 + 0.716 * 0.75, 0.083 + 0.894 * 0.25), abs=0.02)
    assert not len(_on_map(_pixels(_above(nothing, nothing), TRUTH)))
    assert _above(car, nothing) == _above(car, nothing)


def test_what_lies_beyond_the_map_is_not_counted() -> None:
    car = marks_of_truth(boxes((10, 10, 0), (70, 0, 0)), FACTS)
    with styled():
        figure = figure_above(scene(), CARD, car, car.only(car.score > 1), CAPTION)
    texts = [text.get_text() for text in figure.axes[1].texts]
    assert "truth (1)" in texts and "found, score 0.3 or more (0)" in texts


def test_through_a_camera(tmp_path: Path) -> None:
    Image.new("RGB", (100, 80), "white").save(tmp_path / "front.png")
    lens = camera(tmp_path / "front.png")
    nothing, car = marks_of_truth(None, FACTS), marks_of_truth(boxes((2, 12, 0)), FACTS)
    with styled():
        page = figure_cameras(scene(None, lens), CARD, car, nothing, CAPTION)
        assert page is not None
        blue = _pixels(as_png(page), TRUTH)
        assert figure_cameras(scene(), CARD, car, nothing, CAPTION) is None
    blue = blue[blue[:, 1] > 0.12]  # above it is the legend
    right = (2 * 60 / 12 + 50) / 100
    assert blue[:, 0].mean() == pytest.approx(right, abs=0.05)
    assert 0.4 < blue[:, 1].mean() < 0.75


# --- a suite


@pytest.fixture
def finished(world: Path, tmp_path: Path, command_line: Call) -> tuple[Call, Path]:
    """A store in which two detectors of table 3 have found the truth; `command_line` to ask it."""
    request = Request(suite="table3", profile="smoke", only="random-*", store=tmp_path / "runs")
    session = open_session(request, write=True)
    store = Store.open(tmp_path / "runs")
    found = truth_as_found(next((world / "nuscenes").glob("v1.0-*")))
    for job in session.expansion.jobs.values():
        made = store.artifact(job.key)
        if job.stage == "world":
            made.parent.mkdir(parents=True, exist_ok=True)
            made.symlink_to(world)
        if job.stage == "detect":
            write(made / "results_nusc.json", found)
            scores = {"map": 100.0, "nds": 100.0}
            store.put(
                Record(job.key, job.stage, job.version, job.config, job.seed, job.inputs, scores)
            )
    return command_line, tmp_path


def test_export_draws_the_detectors_of_a_suite(finished: tuple[Call, Path]) -> None:
    call, folder = finished
    words = ("export", "table3", "--profile", "smoke", "--only", "random-*")
    code, out, err = call(*words, "--figures", "f", "--frames", "1")
    assert (code, err) == (0, "")
    names = sorted(path.name for path in (folder / "f").iterdir())
    written = [Path(line.removeprefix("Written: ")).name for line in out.splitlines()]
    assert sorted(written) == names
    pictures = [name for name in names if "random-" in name]
    assert len(pictures) == 2 * 3
    assert pictures[0].startswith("table3.smoke.random-centerpoint.nuscenes-20%.scene-")
    (above, _) = (folder / "f" / name for name in pictures if name.endswith("above.png"))
    assert len(_pixels(above.read_bytes(), FOUND)) > 50
    before = {path.name: path.read_bytes() for path in (folder / "f").iterdir()}
    call(*words, "--figures", "g", "--frames", "1")
    assert {path.name: path.read_bytes() for path in (folder / "g").iterdir()} == before


def test_a_threshold_above_all_scores_draws_truth_alone(finished: tuple[Call, Path]) -> None:
    call, folder = finished
    words = ("--only", "random-second", "--columns", "5%-map", "--frames", "1", "--score", "0.95")
    assert call("export", "table3", "--profile", "smoke", *words, "--figures", "f")[0] == 0
    (above,) = (folder / "f").glob("*nuscenes-5%*.above.png")
    assert not len(_on_map(_pixels(above.read_bytes(), FOUND)))
    assert len(_on_map(_pixels(above.read_bytes(), TRUTH)))


def test_what_is_gone_is_said(finished: tuple[Call, Path]) -> None:
    call, folder = finished
    words = ("export", "table3", "--profile", "smoke", "--only", "random-second", "--figures", "f")
    for path in (folder / "runs").rglob("results_nusc.json"):
        path.unlink()
    code, out, err = call(*words)
    assert code == 0 and "random-second" not in out
    assert "Not drawn: Random, SECOND, 20% of nuscenes: its boxes are gone" in err


@pytest.mark.parametrize("words", [("--score", "1.5"), ("--score", "-1"), ("--frames", "0")])
def test_numbers_that_mean_nothing_are_refused(finished: tuple[Call, Path], words) -> None:
    code, _, err = finished[0]("export", "table3", "--profile", "smoke", "--figures", "f", *words)
    assert code == 2 and words[0] in err


def test_a_real_keyframe(samples: Path, tmp_path: Path) -> None:
    root, reader = samples / "nuscenes" / "frame_ca9a282c", NuScenes()
    with pytest.warns(IncompleteData):
        (frame,) = reader.frames(root, "mini_train")
    path = write(tmp_path / "r.json", truth_as_found(next(root.glob("v1.0-*"))))
    sample = reader.load(frame)
    truth = marks_of_truth(sample.boxes, FACTS)
    entries = entries_of(path, [frame.alias])[frame.alias]
    found = marks_of_found(entries, sample.lidar_to_global, FACTS, 0.3, path)
    assert len(found) == len(truth) == 68
    np.testing.assert_allclose(
        found.middle[found.middle[:, 0].argsort()],
        truth.middle[truth.middle[:, 0].argsort()],
        atol=1e-6,
    )
    ends = np.concatenate([found.corners[:, EDGES]]).reshape(-1, 2, 3)
    shown = [seen_edges(ends, sample.lidar_to_global, one)[1].sum() for one in sample.cameras]
    assert min(shown) >= 12
    small = replace(sample, points=sample.points[:100])
    with styled():
        assert len(as_png(figure_above(small, CARD, truth, found, CAPTION))) > 20_000
