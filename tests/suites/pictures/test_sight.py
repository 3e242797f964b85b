"""Edges are cut where the image ends, lenses bend them."""

from __future__ import annotations

import numpy as np

from lima_bench.datasets.lens import distort
from lima_bench.datasets.rigid import apply, inverse
from lima_bench.datasets.sample import Camera
from lima_bench.suites.pictures.marks import EDGES, marks_of_truth
from lima_bench.suites.pictures.sight import seen_edges
from tests.suites.pictures.scenes import FACTS, boxes, camera


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
    around, behind = (marks_of_truth(boxes((0, y, np.pi / 2)), FACTS) for y in (1, -9))
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
