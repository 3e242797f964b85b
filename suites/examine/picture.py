"""One picture of a data set: a frame from above, all around and through its cameras.

Offers `draw`. Points have their class's colour; the shares beside them are the legend.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lima_bench.common.files import write_atomic
from lima_bench.datasets.card import Card
from lima_bench.datasets.sample import Sample
from lima_bench.lima.pairs import project
from lima_bench.suites.examine import views
from lima_bench.suites.examine.examine import Examination, Portrait
from lima_bench.suites.examine.paint import Paint, ahead_first, azimuth_deg, paint_of, rainbow

DOTS_PER_INCH = 110
WIDTH, EDGE, GAP, HEADING = 15.0, 0.55, 0.3, 0.38  # inches, as everything below
TOP, SIDE, AROUND, TALLEST_IMAGE = 1.0, 4.9, 1.9, 4.6
MOST_ABREAST = 5

BEHIND_DEG = 100.0
"""Cameras that look farther round than this have a row of their own."""


@dataclass(frozen=True)
class _Sheet:
    """Places axes by inches from the upper left corner."""

    figure: Any
    height: float

    def axes(self, left: float, top: float, width: float, height: float) -> Any:
        bottom = self.height - top - height
        place = (left / WIDTH, bottom / self.height, width / WIDTH, height / self.height)
        return self.figure.add_axes(place)

    def text(self, left: float, top: float, text: str, **style: Any) -> None:
        self.figure.text(left / WIDTH, 1 - top / self.height, text, va="top", **style)


def draw(found: Examination, portrait: Portrait, title: str, path: Path) -> None:
    """Write the picture of `portrait` to a PNG file.

    Args:
        found: Whence the shares of the classes come.
        portrait: The frame.
        title: What this is a picture of.
        path: The file.

    Raises:
        UserError: An image of the frame cannot be read, or one cannot write there.
    """
    from matplotlib.figure import Figure

    sample, card = portrait.sample, found.reader.card
    ranks = [_rank(sample, places) for places in abreast(sample, card)]
    around_top = TOP + HEADING + SIDE + 0.75
    cameras_top = around_top + AROUND + 0.35
    height = cameras_top + sum(rank.height + HEADING for rank in ranks) + 0.15
    sheet = _Sheet(Figure(figsize=(WIDTH, height), facecolor="white"), height)
    paint = paint_of(sample, card)
    sheet.text(EDGE, 0.2, title, fontsize=16, fontweight="bold", color=views.INK)
    sheet.text(EDGE, 0.6, "     ".join(_facts(found, portrait)), fontsize=9.5, color=views.PALE)
    _draw_top(sheet, found, portrait, paint)
    around = sheet.axes(EDGE, around_top, WIDTH - 2 * EDGE, AROUND)
    views.draw_around(around, sample, card, paint)
    around.set_title("all around", **views.TITLE)
    _draw_ranks(sheet, cameras_top, ranks, sample, paint)
    buffer = io.BytesIO()
    sheet.figure.savefig(buffer, dpi=DOTS_PER_INCH, format="png")
    write_atomic(path, buffer.getvalue())


def abreast(sample: Sample, card: Card) -> list[list[int]]:
    """Rows of cameras, each from left to right as one who drives turns the head."""
    if sample.lidar_to_global is None or not sample.cameras:
        return []
    to_lidar = np.linalg.inv(sample.lidar_to_global)[:3, :3]
    looks = np.array([to_lidar @ camera.camera_to_global[:3, 2] for camera in sample.cameras])
    angles = azimuth_deg(ahead_first(card, looks)).tolist()
    ahead = [place for place, angle in enumerate(angles) if abs(angle) <= BEHIND_DEG]
    behind = [place for place in range(len(angles)) if place not in ahead]
    ahead.sort(key=lambda place: -angles[place])
    behind.sort(key=lambda place: angles[place] % 360)
    cut = [
        row[i : i + MOST_ABREAST]
        for row in (ahead, behind)
        for i in range(0, len(row), MOST_ABREAST)
    ]
    return [row for row in cut if row]


@dataclass(frozen=True)
class _Rank:
    """Cameras side by side, and how large each is drawn."""

    places: Sequence[int]
    width: float
    height: float


def _rank(sample: Sample, places: Sequence[int]) -> _Rank:
    """As wide as the sheet; an image that is alone is drawn with and without points."""
    count = max(len(places), 2)
    width = (WIDTH - 2 * EDGE - GAP * (count - 1)) / count
    shape = max(sample.cameras[place].height / sample.cameras[place].width for place in places)
    height = min(width * shape, TALLEST_IMAGE)
    return _Rank(places, width, height)


def _draw_ranks(
    sheet: _Sheet, top: float, ranks: Sequence[_Rank], sample: Sample, paint: Paint
) -> None:
    pairs = project(sample, rounding="floor") if ranks else None
    for rank in ranks:
        assert pairs is not None
        top += HEADING
        for number, place in enumerate(rank.places):
            left = EDGE + number * (rank.width + GAP)
            axes = sheet.axes(left, top, rank.width, rank.height)
            views.draw_camera(axes, sample, pairs, place, paint)
        if len(rank.places) == 1:
            axes = sheet.axes(EDGE + rank.width + GAP, top, rank.width, rank.height)
            views.draw_image(axes, sample.cameras[rank.places[0]])
        top += rank.height


def _draw_top(sheet: _Sheet, found: Examination, portrait: Portrait, paint: Paint) -> None:
    """From above in two colourings, and what the colours mean."""
    sample, card, top = portrait.sample, found.reader.card, TOP + HEADING
    order = paint.order
    classes = sheet.axes(EDGE, top, SIDE, SIDE)
    views.draw_above(classes, sample, card, paint.colour, order)
    classes.set_title("from above: " + ("classes" if paint.by_class else "height"), **views.TITLE)
    low, high = np.percentile(sample.intensity, (2, 98)).tolist()
    second = EDGE + SIDE + 0.6
    bright = sheet.axes(second, top, SIDE, SIDE)
    by_value = np.argsort(sample.intensity, kind="stable")
    views.draw_above(bright, sample, card, rainbow(sample.intensity, low, high), by_value)
    bright.set_ylabel("")
    bright.set_title("from above: intensity", **views.TITLE)
    views.draw_scale(sheet.axes(second + SIDE - 1.8, top - 0.12, 1.8, 0.07), low, high)
    third = second + SIDE + 0.3
    right = sheet.axes(third, top, WIDTH - third - EDGE, SIDE)
    if paint.by_class:
        tally = found.splits[portrait.split].tally
        frames = f"{tally.n_loaded} frame{'s' * (tally.n_loaded > 1)}"
        heading = f"share of the points, {frames} of {portrait.split}, log bars"
        views.draw_shares(right, card, tally.classes, heading)
    else:
        views.draw_scale(sheet.axes(EDGE + SIDE - 1.8, top - 0.12, 1.8, 0.07), *paint.heights_m)
        views.draw_boxes_list(right, Counter(sample.boxes.category if sample.boxes else ()))


def _name(sample: Sample) -> str:
    frame = sample.frame
    return frame.id if frame.sequence in frame.id else f"{frame.sequence}, {frame.id}"


def _facts(found: Examination, portrait: Portrait) -> list[str]:
    """The line below the title."""
    sample, alignment = portrait.sample, found.splits[portrait.split].alignment
    facts = [
        f"{portrait.split}, {_name(sample)}",
        f"{len(sample.points):,} points",
    ]
    if sample.condition:
        facts.append(sample.condition)
    if alignment.n_points:
        facts.append(f"{alignment.n_seen / alignment.n_points:.0%} of the points in an image")
    if alignment.n_boxes:
        facts.append(f"{alignment.n_exact} of {alignment.n_boxes} boxes hold exactly their points")
    if alignment.n_pixels:
        facts.append(f"{alignment.n_agreeing / alignment.n_pixels:.0%} agree with their pixel")
    return facts
