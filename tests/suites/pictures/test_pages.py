"""What lies ahead is up on the map, and in its place in an image."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from lima_bench.results.render.pages import styled
from lima_bench.suites.pictures.above import figure_above
from lima_bench.suites.pictures.looks import FOUND, TRUTH
from lima_bench.suites.pictures.marks import marks_of_truth
from lima_bench.suites.pictures.overlay import figure_cameras
from tests.suites.pictures.scenes import (
    CAPTION,
    CARD,
    FACTS,
    as_page,
    boxes,
    camera,
    drawn_above,
    on_map,
    pixels,
    scene,
)


def test_from_above_ahead_is_up_and_right_is_right() -> None:
    nothing, car = marks_of_truth(None, FACTS), marks_of_truth(boxes((27, 27, 0)), FACTS)
    blue = on_map(pixels(drawn_above(car, nothing), TRUTH))
    red = on_map(pixels(drawn_above(nothing, car), FOUND))
    for places in (blue, red):
        middle = places.mean(axis=0)
        assert middle == pytest.approx((0.018 + 0.716 * 0.75, 0.083 + 0.894 * 0.25), abs=0.02)
    assert not len(on_map(pixels(drawn_above(nothing, nothing), TRUTH)))
    assert drawn_above(car, nothing) == drawn_above(car, nothing)


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
        blue = pixels(as_page(page), TRUTH)
        assert figure_cameras(scene(), CARD, car, nothing, CAPTION) is None
    blue = blue[blue[:, 1] > 0.12]  # above it is the legend
    right = (2 * 60 / 12 + 50) / 100
    assert blue[:, 0].mean() == pytest.approx(right, abs=0.05)
    assert 0.4 < blue[:, 1].mean() < 0.75
