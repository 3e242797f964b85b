"""Boxes become corners where they are, from annotations and from result files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lima_bench.common.errors import UserError
from lima_bench.datasets.nuscenes.reader import NuScenes
from lima_bench.suites.pictures.looks import WEAKEST, strength
from lima_bench.suites.pictures.marks import EDGES, entries_of, marks_of_found, marks_of_truth
from tests.suites.pictures.scenes import FACTS, boxes, truth_as_found, write


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
        nearest, rows = apart.min(axis=1), apart.argmin(axis=1)
        assert len(ours) == len(truth) == len(set(rows))
        np.testing.assert_allclose(ours.middle[rows], truth.middle, atol=1e-5)
        # An annotation stands upright in the map, and its yaw in the LiDAR's tilted frame.
        diagonal = np.linalg.norm(truth.corners[:, 0] - truth.corners[:, 6], axis=1)
        assert (nearest < 0.02 * diagonal).all()
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
