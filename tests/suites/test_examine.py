"""What an examination counts, and what it calls wrong: by hand-made samples."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lima_bench.common.errors import UserError
from lima_bench.datasets.card import Card
from lima_bench.datasets.sample import IGNORE, Boxes, Camera, Frame, Sample
from lima_bench.suites.examine.alignment import Alignment, inside_counts
from lima_bench.suites.examine.examine import examine, spread
from lima_bench.suites.examine.extent import shortened
from lima_bench.suites.examine.findings import Findings
from lima_bench.suites.examine.paint import IGNORED, ahead_first, paint_of
from lima_bench.suites.examine.picture import abreast
from lima_bench.suites.examine.progress import begin_on
from lima_bench.suites.examine.report import to_json
from lima_bench.suites.examine.tally import Tally, n_places

CARD = Card.model_validate(
    {
        "name": "toy",
        "title": "Toy",
        "licence": "none",
        "citation": "none",
        "sensor": "none",
        "frame_axes": "x ahead, y left, z up",
        "intensity": {"minimum": 0, "maximum": 1},
        "classes": [
            {"name": "floor", "colour": (255, 0, 0)},
            {"name": "wall", "colour": (0, 0, 255)},
        ],
        "labels": {1: 0, 2: 1},
        "splits": {"train": ["a"], "val": ["b"]},
    }
)
CAMERA_AXES = np.array([[0.0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]])


def sample(n_points: int = 400, *, sequence: str = "a", index: int = 0) -> Sample:
    """Points all around, half of them floor, without pose."""
    rng = np.random.default_rng(index)
    points = rng.uniform(-20, 20, (n_points, 3)).astype(np.float32)
    return Sample(
        frame=Frame(f"{sequence}/{index}", sequence, index, float(index)),
        points=points,
        intensity=rng.uniform(0, 1, n_points).astype(np.float32),
        labels=(points[:, 2] > 0).astype(np.int64),
    )


def camera(name: str = "front", yaw_deg: float = 0.0, x_m: float = 0.0) -> Camera:
    yaw = np.radians(yaw_deg)
    pose = np.eye(4)
    pose[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
    pose[0, 3] = x_m
    intrinsic = np.array([[40.0, 0, 39.5], [0, 40, 29.5], [0, 0, 1]])
    return Camera(name, name, Path("none.png"), intrinsic, pose @ CAMERA_AXES, 80, 60)


def seen(*cameras: Camera, index: int = 0, x_m: float = 0.0) -> Sample:
    pose = np.eye(4)
    pose[0, 3] = x_m
    return replace(sample(index=index), lidar_to_global=pose, cameras=cameras or (camera(),))


class Toy:
    """Two frames of each split; what it gives may be changed."""

    card = CARD
    version = 1

    def __init__(self, **changes: object) -> None:
        self.changes = changes

    def frames(self, root: Path, split: str) -> Sequence[Frame]:
        if split not in self.card.splits:
            raise UserError(root, "There is no such split.")
        (sequence,) = self.card.splits[split]
        return [sample(sequence=sequence, index=index).frame for index in range(2)]

    def load(self, frame: Frame) -> Sample:
        loaded = sample(sequence=frame.sequence, index=frame.index)
        return replace(loaded, **self.changes)  # type: ignore[arg-type]

    def manifest(self, root: Path) -> str:
        return "0" * 64

    def pixel_labels(self, frame: Frame) -> np.ndarray:
        return np.where(np.arange(60)[:, None] < 30, 2, 1) + np.zeros((60, 80), np.int64)

    def pixel_classes(self, raw: np.ndarray) -> np.ndarray:
        return self.card.remap(raw)


def told(reader: Toy, tmp_path: Path) -> list[tuple[str, str]]:
    found = examine(reader, tmp_path, n_frames=5)
    return [(finding.level, finding.what) for finding in found.findings.all]


# --- counts


def test_a_tally_counts() -> None:
    tally = Tally()
    one = sample()
    points = one.points.copy()
    points[:2] = 0
    points[3] = points[4]
    labels = one.labels.copy()
    labels[:10] = IGNORE
    tally.add(replace(one, points=points, labels=labels, n_dropped=7, condition="snow"), CARD)
    tally.add(replace(sample(300, index=1), labels=None), CARD)
    assert (tally.n_loaded, tally.n_points, tally.total_points) == (2, [400, 300], 700)
    assert (tally.n_zeros, tally.n_duplicates, tally.n_dropped) == (2, 2, 7)
    assert (tally.n_labelled, tally.n_annotated, tally.classes[IGNORE]) == (1, 400, 10)
    assert tally.classes.total() == 400
    assert tally.conditions == {"snow": 1}
    reach = np.linalg.norm(points.astype(float), axis=1).max()
    assert tally.reaches_m[0] == pytest.approx(reach)


def test_places_with_minus_zero_are_the_same() -> None:
    points = np.array([[0, 0, 1], [-0.0, 0, 1], [0, 1, 0]], dtype=np.float32)
    assert n_places(points) == 2


def test_boxes_count_their_points() -> None:
    """A turned box, against the same test written with matrices."""
    rng = np.random.default_rng(1)
    points = rng.uniform(-6, 6, (5000, 3))
    yaw = np.array([0.7, -2.0])
    centre = np.array([[1.0, 2, 0], [-2, -1, 1]])
    size = np.array([[6.0, 2, 3], [2, 5, 1]])
    none = yaw.astype(int)
    boxes = Boxes(centre, size, yaw, np.zeros((2, 2)), ("", ""), ("", ""), yaw > 9, none, none)
    expected = []
    for box in range(2):
        cos, sin = np.cos(yaw[box]), np.sin(yaw[box])
        turned = (points - centre[box]) @ np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
        expected.append(int((np.abs(turned) <= size[box] / 2).all(axis=1).sum()))
    assert min(expected) > 20
    assert inside_counts(points, boxes).tolist() == expected


def test_frames_are_spread_with_both_ends() -> None:
    frames = [Frame(str(i), "a", i, float(i)) for i in range(101)]
    assert [frame.index for frame in spread(frames, 5)] == [0, 25, 50, 75, 100]
    assert [frame.index for frame in spread(frames[:2], 5)] == [0, 1]
    assert [frame.index for frame in spread(frames, 1)] == [0]
    assert spread([], 5) == []


def test_long_lists_of_names_are_shortened() -> None:
    assert shortened(list("abcdefg")) == "a, b, c, d, e, f, g"
    assert shortened(list("abcdefgh")) == "a, b, c, d, e, f and 2 more"


# --- what is wrong


def test_a_sound_set_has_no_findings(tmp_path: Path) -> None:
    assert told(Toy(), tmp_path) == []


@pytest.mark.parametrize(
    ("changes", "level", "what"),
    [
        ({"labels": None}, "fault", "2 of the 2 frames looked at have no labels."),
        ({"labels": np.full(400, IGNORE)}, "fault", "Not one point has a class that is scored."),
        ({"labels": np.full(400, 2)}, "fault", "There are labels [2] but no such classes."),
        ({"labels": np.zeros(399, int)}, "fault", "There are 400 points, but 399 of labels."),
        ({"unknown_labels": {9: 1}}, "warning", "0.25% of the points carry raw ids"),
        ({"unknown_labels": {9: 40}}, "fault", "9 (80 points)"),
        ({"points": np.zeros((400, 3), np.float32)}, "warning", "100.0% of the points lie at the"),
        ({"points": np.full((400, 3), np.nan, np.float32)}, "fault", "800 of 800 points are not"),
        ({"intensity": np.linspace(0, 255, 400)}, "warning", "from 0 to 255; the card says 0 to 1"),
        ({"intensity": np.linspace(0, 1 / 255, 400)}, "warning", "reaches 0.00392157 only"),
        ({"intensity": np.ones(400)}, "warning", "Intensity is 1 everywhere."),
        ({"lidar_to_global": np.full((4, 4), np.nan)}, "fault", "not a rotation and a translation"),
        ({"lidar_to_global": np.diag([1.0, 1, -1, 1])}, "fault", "not a rotation and a translat"),
    ],
)
def test_what_is_wrong_with_content(
    changes: dict[str, object], level: str, what: str, tmp_path: Path
) -> None:
    findings = told(Toy(**changes), tmp_path)
    assert any(found == level and what in text for found, text in findings), findings


def test_a_frame_that_is_trained_and_scored(tmp_path: Path) -> None:
    class Mixed(Toy):
        card = CARD.model_copy(update={"splits": {"train": ("a",), "val": ("a",)}})

    assert ("fault", "2 frames belong to train and to val, a/0 first.") in told(Mixed(), tmp_path)


def test_many_broken_frames_are_told_shortly(tmp_path: Path) -> None:
    class Broken(Toy):
        def frames(self, root: Path, split: str) -> Sequence[Frame]:
            return [Frame(f"{split}{i}", split, i, float(i)) for i in range(9)]

        def load(self, frame: Frame) -> Sample:
            raise UserError(frame.id, "This scan is empty.")

    found = examine(Broken(), tmp_path, n_frames=9)
    val = [f.what for f in found.findings.all if "val" in f.where]
    assert val == ["This scan is empty."] * 3 + ["6 more of the frames looked at cannot be read."]
    assert found.portrait is None
    assert to_json(found)["splits"]["val"]["refused"] == 9


def test_time_that_goes_back(tmp_path: Path) -> None:
    class Backwards(Toy):
        def frames(self, root: Path, split: str) -> Sequence[Frame]:
            return super().frames(root, split)[::-1]

    assert ("warning", "Time goes back from frame a/1 to a/0.") in told(Backwards(), tmp_path)


# --- alignment


def judged(*samples: Sample) -> list[str]:
    alignment, findings = Alignment(), Findings()
    for one in samples:
        alignment.add(Toy(), one)
    alignment.judge("toy", findings)
    return [finding.what for finding in findings.all]


def test_points_agree_with_their_pixels() -> None:
    alignment = Alignment()
    alignment.add(Toy(), seen())
    assert alignment.n_pixels == alignment.n_seen > 50
    assert alignment.n_agreeing > 0.9 * alignment.n_pixels
    upside_down = replace(seen(), labels=1 - seen().labels)
    assert "carry the class of the pixel that sees them" in judged(upside_down)[0]


def test_cameras_that_see_nothing() -> None:
    high = camera(x_m=0.0)
    high.camera_to_global[2, 3] = 500.0
    assert "Not one point falls into an image." in judged(seen(high))
    told = judged(seen(camera(), replace(high, name="other")))
    assert any("No point falls into the 1 images of other" in text for text in told)
    assert any("other is 500 m away from the LiDAR." in text for text in told)


def test_poses_that_no_car_has() -> None:
    near = seen(camera(x_m=50.0), index=1, x_m=50.0)
    assert judged(seen(index=0), near) == []
    far = seen(camera(x_m=70.0), index=1, x_m=70.0)
    assert judged(seen(index=0), far)[0].startswith("No car gets from the pose of a/0")


def test_boxes_of_another_order() -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform(-10, 10, (20_000, 3)).astype(np.float32)
    size = np.array([[8.0, 2.0, 4.0]] * 3)
    centre = np.array([[0.0, 0, 0], [5, 5, 0], [-5, -5, 0]])
    boxes = Boxes(
        centre, size, np.zeros(3), np.zeros((3, 2)), ("",) * 3, ("",) * 3,
        np.zeros(3, bool), np.zeros(3, int), np.zeros(3, int),
    )  # fmt: skip
    right = replace(boxes, n_points=inside_counts(points.astype(float), boxes))
    wrong = replace(right, size=np.array([[4.0, 8.0, 2.0]] * 3), yaw=np.full(3, 0.8))
    one = replace(sample(), points=points, intensity=points[:, 0], labels=None)
    assert judged(replace(one, boxes=right)) == []
    assert "boxes hold about as many points" in judged(replace(one, boxes=wrong))[0]
    assert judged(replace(one, boxes=wrong, condition="fog-heavy")) == []


# --- how it is drawn


@pytest.mark.parametrize(
    ("axes", "ahead"),
    [
        ("x ahead, y left, z up", [1, 0, 0]),
        ("x right, y ahead, z up", [0, 1, 0]),
        ("x back, y right, z up (the camera looks along -x)", [-1, 0, 0]),
    ],
)
def test_ahead_is_ahead(axes: str, ahead: list[float]) -> None:
    card = CARD.model_copy(update={"frame_axes": axes})
    left = np.cross([0, 0, 1], ahead)
    turned = ahead_first(card, np.array([ahead, left, [0, 0, 1]], dtype=np.float64))
    np.testing.assert_array_equal(turned, np.eye(3))


def test_colours_are_the_cards_and_rare_classes_come_last() -> None:
    one = sample()
    labels = np.zeros(400, np.int64)
    labels[:100], labels[100:103] = IGNORE, 1
    paint = paint_of(replace(one, labels=labels), CARD)
    np.testing.assert_allclose(paint.colour[102] * 255, (0, 0, 255))
    np.testing.assert_allclose(paint.colour[0] * 255, IGNORED)
    drawn = labels[paint.order]
    assert (drawn[:100] == IGNORE).all() and (drawn[-3:] == 1).all()
    assert not paint_of(replace(one, labels=None), CARD).by_class


def test_cameras_stand_as_a_driver_sees_them() -> None:
    yaws = {"f": 0, "fr": -55, "br": -110, "b": 180, "bl": 110, "fl": 55}
    one = seen(*(camera(name, yaw) for name, yaw in yaws.items()))
    names = [[one.cameras[place].name for place in row] for row in abreast(one, CARD)]
    assert names == [["fl", "f", "fr"], ["bl", "b", "br"]]
    assert abreast(sample(), CARD) == []


def test_progress_is_a_line_a_part_off_the_terminal() -> None:
    stream = io.StringIO()
    with begin_on(stream, quiet=False) as begin:
        begin("files")(3, 9)
    assert stream.getvalue() == "files …\n"
    with begin_on(stream, quiet=True) as begin:
        begin("lists")(3, 9)
    assert stream.getvalue() == "files …\n"
