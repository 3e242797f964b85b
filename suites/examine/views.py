"""The single views of a picture: from above, all around, through a camera, and the classes' shares.

Offers `draw_above`, `draw_around`, `draw_camera`, `draw_image`, `draw_shares`, `draw_boxes_list`
and `draw_scale`; each fills one set of axes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lima_bench.datasets.card import Card
from lima_bench.datasets.images import read_image
from lima_bench.datasets.sample import IGNORE, Camera, Float64, Int64, Sample
from lima_bench.lima.pairs import Pairs
from lima_bench.suites.examine.paint import (
    IGNORED,
    Paint,
    ahead_first,
    azimuth_deg,
    rainbow,
)

Axes = Any
"""Matplotlib's axes, which have no types."""

INK = "#2b2b2b"
PALE = "#8a8a86"
GROUND = "#f6f6f4"

_BAR = {"height": 0.74, "edgecolor": "#cfcfca", "linewidth": 0.5}  # white is a colour too
LEAST_LINES = 14

WIDEST_M = 70.0
"""Half the side of the view from above at most; beyond it points are too sparse to show."""


def reach_m(sample: Sample) -> float:
    """Half the side of the view from above: what holds nearly all points, in steps of 5 m."""
    apart = np.abs(sample.points[:, :2]).max(axis=1)
    return float(np.clip(5 * np.ceil(np.percentile(apart, 97) / 5), 15, WIDEST_M))


def draw_above(axes: Axes, sample: Sample, card: Card, colour: Float64, order: Int64) -> None:
    """Points (N, 3) and boxes from above, the way ahead up."""
    reach = reach_m(sample)
    points = ahead_first(card, sample.points)[order]
    size = _dot_size(axes, len(points), densest=0.35)
    axes.scatter(-points[:, 1], points[:, 0], s=size, c=colour[order], linewidths=0)
    if sample.boxes is not None and len(sample.boxes.yaw):
        _draw_boxes(axes, sample, card)
    axes.plot(0, 0, marker=(3, 0, 0), markersize=9, color=INK, markeredgecolor="white")
    axes.set_xlim(-reach, reach)
    axes.set_ylim(-reach, reach)
    axes.set_aspect("equal")
    axes.set_facecolor(GROUND)
    axes.set_xlabel("metres to the right", fontsize=8, color=PALE)
    axes.set_ylabel("metres ahead", fontsize=8, color=PALE)
    plain(axes)


def draw_around(axes: Axes, sample: Sample, card: Card, paint: Paint) -> None:
    """Every point by the direction in which the LiDAR sees it."""
    points = ahead_first(card, sample.points)
    flat = np.hypot(points[:, 0], points[:, 1])
    azimuth = azimuth_deg(points)
    elevation = np.degrees(np.arctan2(points[:, 2], np.maximum(flat, 1e-9)))
    order = np.argsort(-flat, kind="stable")
    size = _dot_size(axes, len(points), densest=1.0)
    axes.scatter(-azimuth[order], elevation[order], s=size, c=paint.colour[order], linewidths=0)
    low, high = np.percentile(elevation, (0.5, 99.8))
    axes.set_xlim(-180, 180)
    axes.set_ylim(low - 1, high + 1)
    ticks = {-180: "behind", -90: "left", 0: "ahead", 90: "right", 180: "behind"}
    axes.set_xticks(list(ticks), list(ticks.values()))
    axes.set_ylabel("elevation (degrees)", fontsize=8, color=PALE)
    axes.set_facecolor(GROUND)
    plain(axes)


def draw_camera(axes: Axes, sample: Sample, pairs: Pairs, place: int, paint: Paint) -> None:
    """One image, pale, and on it the points that it sees; without labels by their distance.

    Raises:
        UserError: The image cannot be read.
    """
    camera = sample.cameras[place]
    mine = np.flatnonzero(pairs.camera == place)
    point = pairs.point[mine]
    distance = np.linalg.norm(sample.points[point], axis=1)
    far_first = np.argsort(-distance, kind="stable")
    colour = paint.colour[point] if paint.by_class else rainbow(np.log(distance + 1), 1, 4)
    pale = 255 - (255 - read_image(camera).astype(np.float64)) * 0.75
    axes.imshow(pale.astype(np.uint8), interpolation="bilinear")
    axes.scatter(
        pairs.col[mine][far_first],
        pairs.row[mine][far_first],
        s=_dot_size(axes, len(mine), densest=0.25),
        c=colour[far_first],
        linewidths=0,
    )
    axes.set_xlim(-0.5, camera.width - 0.5)
    axes.set_ylim(camera.height - 0.5, -0.5)
    told = "" if paint.by_class else ", coloured by distance"
    axes.set_title(f"{camera.name}   {len(mine):,} points{told}", **TITLE)
    axes.set_xticks([])
    axes.set_yticks([])
    plain(axes)


def draw_image(axes: Axes, camera: Camera) -> None:
    """One image as it is.

    Raises:
        UserError: The image cannot be read.
    """
    axes.imshow(read_image(camera), interpolation="bilinear")
    axes.set_title(f"{camera.name}   {camera.width} x {camera.height} pixels", **TITLE)
    axes.set_xticks([])
    axes.set_yticks([])
    plain(axes)


def draw_shares(axes: Axes, card: Card, classes: Mapping[int, int], title: str) -> None:
    """A bar a class in its colour, and its share of the points; it is the legend too.

    Bars are logarithmic, from one point in ten thousand: rare classes matter as much.
    """
    total = sum(classes.values())
    rows = [(info.name, info.colour, classes.get(i, 0)) for i, info in enumerate(card.classes)]
    rows.append(("ignored", IGNORED, classes.get(IGNORE, 0)))
    for line, (name, colour, count) in enumerate(rows):
        share = count / total if total else 0.0
        length = max(0.0, np.log10(share * 1e4) / 4) if share > 0 else 0.0
        paint = tuple(part / 255 for part in colour)
        axes.barh(line, 0.04, left=-0.045, color=paint, **_BAR)
        axes.barh(line, 0.56 * length, left=0.49, color=paint, **_BAR)
        ink = INK if count else PALE
        axes.text(0.01, line, name.replace("_", " "), fontsize=8, va="center", color=ink)
        text = f"{share:.2%}" if count else "none"
        axes.text(0.5 + 0.56 * length, line, text, fontsize=8, va="center", color=ink)
    axes.set_xlim(-0.05, 1.2)
    axes.set_ylim(max(len(rows), LEAST_LINES) - 0.4, -0.6)
    axes.set_title(title, **TITLE)
    axes.axis("off")


def draw_boxes_list(axes: Axes, categories: Mapping[str, int]) -> None:
    """How many boxes of each category there are, in place of classes."""
    lines = ["no labels here", ""]
    lines += [f"{count:4}  {name}" for name, count in sorted(categories.items())]
    axes.set_title("boxes" if categories else "", **TITLE)
    axes.text(0, 1, "\n".join(lines), va="top", fontsize=9, color=INK, family="monospace")
    axes.axis("off")


def draw_scale(axes: Axes, low: float, high: float) -> None:
    """What the colours mean where they tell a height or an intensity."""
    ramp = rainbow(np.linspace(low, high, 128), low, high)
    axes.imshow(ramp[None], aspect="auto", extent=(0, 1, 0, 1))
    axes.set_yticks([])
    axes.set_xticks([0, 1], [f"{low:.3g}", f"{high:.3g}"])
    axes.xaxis.tick_top()
    plain(axes)


TITLE: dict[str, Any] = {"fontsize": 10, "loc": "left", "color": INK}


def plain(axes: Axes) -> None:
    """Thin pale frame and small ticks."""
    for spine in axes.spines.values():
        spine.set_color("#d8d8d4")
    axes.tick_params(labelsize=7, colors=PALE, length=2)


def _draw_boxes(axes: Axes, sample: Sample, card: Card) -> None:
    """Outlines of boxes; a line from the middle tells the heading."""
    boxes = sample.boxes
    assert boxes is not None
    corners = np.array([[1, 1], [1, -1], [-1, -1], [-1, 1], [1, 1], [1, 0], [0, 0]]) / 2
    for centre, size, yaw in zip(boxes.centre, boxes.size, boxes.yaw, strict=True):
        flat = corners * size[:2]
        turn = np.array([[np.cos(yaw), np.sin(yaw)], [-np.sin(yaw), np.cos(yaw)]])
        outline = np.column_stack([flat @ turn + centre[:2], np.full(len(flat), centre[2])])
        seen = ahead_first(card, outline)
        axes.plot(-seen[:, 1], seen[:, 0], color=INK, linewidth=0.7, alpha=0.8)


def _dot_size(axes: Axes, count: int, *, densest: float) -> float:
    """Area of a dot in square points: all dots together cover about `densest` of the axes."""
    box = axes.get_position()
    width, height = axes.figure.get_size_inches() * 72
    area = box.width * width * box.height * height
    return float(np.clip(densest * area / max(count, 1), 0.6, 12))
